//! The orders of a run, and how each has to end.

use fastrand::Rng;
use serde_json::json;

use crate::support::Json;

/// How an order is paid for, as the test methods of the gateway have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// None said: the gateway approves.
    Unnamed,
    Approve,
    Decline,
    Flaky,
    Timeout,
    Hang,
    RefundFails,
}

impl Method {
    /// Of a hundred orders.
    const MIX: [(Self, u32); 7] = [
        (Self::Approve, 50),
        (Self::Decline, 15),
        (Self::Unnamed, 10),
        (Self::Flaky, 10),
        (Self::Timeout, 8),
        (Self::Hang, 5),
        (Self::RefundFails, 2),
    ];

    fn any(rng: &mut Rng) -> Self {
        let mut left = rng.u32(..100);
        for (method, share) in Self::MIX {
            if left < share {
                return method;
            }
            left -= share;
        }
        Self::Approve
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Unnamed => None,
            Self::Approve => Some("pm_approve"),
            Self::Decline => Some("pm_decline"),
            Self::Flaky => Some("pm_flaky"),
            Self::Timeout => Some("pm_timeout"),
            Self::Hang => Some("pm_hang"),
            Self::RefundFails => Some("pm_refund_fails"),
        }
    }

    /// How an order must end that got its units.
    fn end(self) -> End {
        match self {
            Self::Unnamed | Self::Approve | Self::Flaky | Self::Timeout => End::Confirmed,
            Self::Decline => End::Declined,
            Self::Hang | Self::RefundFails => End::Unanswered,
        }
    }
}

/// One of the ends that an order may come to here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    Confirmed,
    Declined,
    /// The payment was never answered for: taken and given back.
    Unanswered,
    ShortOfStock,
}

impl End {
    pub fn order_status(self) -> &'static str {
        if self == Self::Confirmed { "CONFIRMED" } else { "CANCELLED" }
    }

    pub fn saga_status(self) -> &'static str {
        if self == Self::Confirmed { "COMPLETED" } else { "COMPENSATED" }
    }

    pub fn failure(self) -> Option<&'static str> {
        match self {
            Self::Confirmed => None,
            Self::Declined => Some("PAYMENT_DECLINED"),
            Self::Unanswered => Some("STEP_TIMEOUT"),
            Self::ShortOfStock => Some("INSUFFICIENT_STOCK"),
        }
    }

    /// Captures and refunds.
    pub fn money(self) -> (usize, usize) {
        match self {
            Self::Confirmed => (1, 0),
            Self::Unanswered => (1, 1),
            Self::Declined | Self::ShortOfStock => (0, 0),
        }
    }

    /// The domain events, in order.
    pub fn events(self) -> &'static [&'static str] {
        match self {
            Self::Confirmed => &["order.created", "inventory.reserved", "payment.success", "order.confirmed"],
            Self::Declined => {
                &["order.created", "inventory.reserved", "payment.failed", "inventory.released", "order.cancelled"]
            }
            Self::Unanswered => &[
                "order.created",
                "inventory.reserved",
                "payment.failed",
                "payment.refunded",
                "inventory.released",
                "order.cancelled",
            ],
            Self::ShortOfStock => &["order.created", "inventory.rejected", "order.cancelled"],
        }
    }
}

/// Products of which there is always enough.
pub const PLENTY: [&str; 3] = [
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
    "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "cccccccc-cccc-cccc-cccc-cccccccccccc",
];
/// A product of which there are so few that some orders must be refused.
pub const SCARCE: &str = "dddddddd-dddd-dddd-dddd-dddddddddddd";
pub const SCARCE_UNITS: i64 = 25;

/// An order as a client places it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its number in this run, which is in its key and its amount.
    pub n: usize,
    pub method: Method,
    pub sku: &'static str,
    pub user: String,
}

impl Order {
    /// The next of the load.
    pub fn any(n: usize, user: &str, rng: &mut Rng) -> Self {
        let method = Method::any(rng);
        let scarce = matches!(method, Method::Approve | Method::Flaky) && rng.u32(..8) == 0;
        let sku = if scarce { SCARCE } else { PLENTY[rng.usize(..PLENTY.len())] };
        Self { n, method, sku, user: user.to_owned() }
    }

    /// One that nothing stands in the way of.
    pub fn probe(n: usize, user: &str) -> Self {
        Self { n, method: Method::Approve, sku: PLENTY[n % PLENTY.len()], user: user.to_owned() }
    }

    pub fn key(&self) -> String {
        format!("chaos-{}", self.n)
    }

    /// In whole units of its currency: no two orders of a run have the same.
    pub fn amount(&self) -> usize {
        self.n + 10
    }

    pub fn body(&self) -> Json {
        let mut body = json!({"userId": self.user, "amount": self.amount(), "items": {self.sku: 1}});
        if let Some(name) = self.method.name() {
            body["paymentMethod"] = json!(name);
        }
        body
    }

    /// The ends that are right.
    pub fn ends(&self) -> Vec<End> {
        let end = self.method.end();
        if self.sku == SCARCE { vec![end, End::ShortOfStock] } else { vec![end] }
    }
}
