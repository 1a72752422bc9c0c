//! When a failed attempt is tried again: exponential backoff with equal jitter.
//!
//! The longest delay doubles with each failure up to a cap; of it one half always passes and the other half is
//! left to chance, so that sagas that failed together do not come back together ("Equal Jitter" in Marc Brooker,
//! *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015). Chance is a digest of the saga's secret and
//! the attempt (SHA-256): different for each saga, the same whenever the history is folded.

use sha2::{Digest, Sha256};

use crate::definition::Policy;
use crate::state::{CommandRef, Kind, Secret};

/// How long to wait after `command`, which was attempt `used` of its budget (from 1), has failed, in microseconds.
pub fn delay(policy: &Policy, secret: Secret, step: &str, command: CommandRef, used: u32) -> i64 {
    let doublings = used.saturating_sub(1).min(62);
    let (base, cap) = (policy.retry_base.micros(), policy.retry_cap.micros());
    let longest = base.saturating_mul(1 << doublings).min(cap);
    let half = longest / 2;
    let spread = (longest - half).unsigned_abs() + 1;
    half + (chance(secret, step, command) % spread).cast_signed()
}

fn chance(secret: Secret, step: &str, command: CommandRef) -> u64 {
    let kind = match command.kind {
        Kind::Action => 0,
        Kind::Compensate => 1,
    };
    let digest = Sha256::new()
        .chain_update(secret.0.to_be_bytes())
        .chain_update([kind])
        .chain_update(command.round.to_be_bytes())
        .chain_update(command.attempt.to_be_bytes())
        .chain_update(step)
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::StepIndex;
    use crate::micros::Millis;

    fn policy() -> Policy {
        Policy {
            step_timeout: Millis(1),
            step_attempts: 1,
            compensation_attempts: 1,
            retry_base: Millis(500),
            retry_cap: Millis(30_000),
            saga_deadline: Millis(1),
        }
    }

    fn command(attempt: u32) -> CommandRef {
        CommandRef { step: StepIndex(0), kind: Kind::Action, round: 1, attempt }
    }

    #[test]
    fn doubles_up_to_the_cap_and_at_least_half_of_it_passes() {
        let longest = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        for (used, longest) in (1..).zip(longest) {
            for secret in 0..200 {
                let delay = delay(&policy(), Secret(secret), "step", command(used), used);
                assert!((longest * 500..=longest * 1000).contains(&delay), "{used}: {delay}");
            }
        }
        assert!(delay(&policy(), Secret(1), "step", command(9), u32::MAX) <= 30_000_000);
    }

    #[test]
    fn the_same_for_the_same_attempt_and_spread_over_sagas() {
        let of = |secret| delay(&policy(), Secret(secret), "step", command(1), 1);
        assert_eq!(of(7), of(7));
        let delays: std::collections::BTreeSet<i64> = (0..100).map(of).collect();
        assert!(delays.len() > 90, "{} of 100 sagas wait differently long", delays.len());
    }
}
