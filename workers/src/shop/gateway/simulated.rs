//! A gateway that decides by a hash of the order, or by what the payment method says, in the manner of test cards.

use async_trait::async_trait;
use saga_model::state::Failure;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::entries::{Entries, Entry, EntryKind};
use super::{Captured, Charge, Doubt, Gateway, Refund, Refunded};
use crate::trouble::Trouble;

/// How it is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// None was named: the success rate decides.
    Unnamed,
    Approve,
    Decline,
    /// Not now at attempts 1 and 2, then approved.
    Flaky,
    /// Charged; the worker keeps silent about it at attempt 1.
    Timeout,
    /// Charged; the worker never answers.
    Hang,
    /// As `Hang`, and the refund is refused at attempts 1 to 12.
    RefundFails,
    /// One that this gateway does not know.
    Unknown(String),
}

impl Method {
    /// The method of that name.
    pub fn named(name: Option<&str>) -> Self {
        match name {
            None => Self::Unnamed,
            Some("pm_approve") => Self::Approve,
            Some("pm_decline") => Self::Decline,
            Some("pm_flaky") => Self::Flaky,
            Some("pm_timeout") => Self::Timeout,
            Some("pm_hang") => Self::Hang,
            Some("pm_refund_fails") => Self::RefundFails,
            Some(other) => Self::Unknown(other.to_owned()),
        }
    }
}

/// The share of orders without a payment method whose payment succeeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate(f64);

impl SuccessRate {
    /// All of them.
    pub const ALL: Self = Self(1.0);
    /// Four of five: for trying out.
    pub const MOST: Self = Self(0.8);

    /// `None` unless it is from 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether that order is among them: the same answer for the same order, for ever.
    fn includes(self, order: Uuid) -> bool {
        let digest = Sha256::digest(order.as_hyphenated().to_string());
        let (first, _) = digest.split_at(4);
        let drawn = first.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(drawn) < self.0 * (f64::from(u32::MAX) + 1.0)
    }
}

/// Attempts of a flaky charge that fail, and of a failing refund.
const FLAKY_ATTEMPTS: u32 = 2;
const FAILING_REFUNDS: u32 = 12;

/// Gateway and bank in one, with its books in the workers' database.
#[derive(Debug, Clone)]
pub struct SimulatedGateway {
    entries: Entries,
    rate: SuccessRate,
}

impl SimulatedGateway {
    pub fn new(entries: Entries, rate: SuccessRate) -> Self {
        Self { entries, rate }
    }

    /// What it makes of a charge, before it looks into its books.
    fn mood(&self, charge: &Charge) -> Captured {
        let declined = |why: &str| Captured::Declined(Failure::new("PAYMENT_DECLINED", why));
        match &charge.method {
            Method::Unnamed if !self.rate.includes(charge.order) => declined("the bank declined this payment"),
            Method::Decline => declined("the card was declined"),
            Method::Unknown(name) => declined(&format!("payment method {name} is not known")),
            Method::Flaky if charge.attempt <= FLAKY_ATTEMPTS => {
                Captured::Retry(Failure::new("GATEWAY_BUSY", "the payment gateway is busy; nothing was charged"))
            }
            Method::Unnamed
            | Method::Approve
            | Method::Flaky
            | Method::Timeout
            | Method::Hang
            | Method::RefundFails => Captured::Yes,
        }
    }
}

#[async_trait]
impl Gateway for SimulatedGateway {
    async fn capture(&self, charges: &[Charge]) -> Result<Vec<Captured>, Trouble> {
        let mut captured: Vec<Captured> = charges.iter().map(|charge| self.mood(charge)).collect();
        let approved = || captured.iter().zip(charges).filter(|(mood, _)| **mood == Captured::Yes);
        let entries: Vec<Entry> = approved().map(|(_, charge)| Entry::capture(charge)).collect();
        let first = charges.iter().all(|charge| charge.attempt == 1);
        let mut kinds = self.entries.add(&entries, first).await?.into_iter();
        for mood in captured.iter_mut().filter(|mood| **mood == Captured::Yes) {
            match kinds.next() {
                Some(EntryKind::Void) => {
                    let why = "this charge was called off before it arrived";
                    *mood = Captured::Declined(Failure::new("COMPENSATED_ALREADY", why));
                }
                Some(EntryKind::Capture | EntryKind::Refund) => {}
                None => return Err(Trouble::Poison("the books answered fewer charges than asked".to_owned())),
            }
        }
        Ok(captured)
    }

    async fn settle(&self, doubts: &[Doubt]) -> Result<Vec<bool>, Trouble> {
        let voids: Vec<Entry> = doubts.iter().map(|doubt| Entry::void(&doubt.key, doubt.order)).collect();
        let kinds = self.entries.add(&voids, false).await?;
        Ok(kinds.into_iter().map(|kind| kind == EntryKind::Capture).collect())
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<Vec<Refunded>, Trouble> {
        let fails = |refund: &&Refund| refund.method == Method::RefundFails && refund.attempt <= FAILING_REFUNDS;
        let works: Vec<&Refund> = refunds.iter().filter(|refund| !fails(refund)).collect();
        let mut there = self.entries.refund(&works).await?.into_iter();
        let answer = |refund: &Refund| {
            if fails(&refund) {
                return Ok(Refunded::Retry(Failure::new("REFUND_FAILED", "the payment gateway failed; try again")));
            }
            let short = || Trouble::Poison("the books answered fewer refunds than asked".to_owned());
            there.next().map(|was_there| Refunded::Done { was_there }).ok_or_else(short)
        };
        refunds.iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_a_share_of_all_orders_and_the_same_for_each() {
        let orders: Vec<Uuid> = (0..10_000).map(|n| Uuid::from_u128(n << 64 | n)).collect();
        let count = |rate| orders.iter().filter(|order| SuccessRate::new(rate).unwrap().includes(**order)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((7_800..8_200).contains(&count(0.8)), "{}", count(0.8));
        assert_eq!(count(0.8), count(0.8));
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SuccessRate::new(bad), None);
        }
    }
}
