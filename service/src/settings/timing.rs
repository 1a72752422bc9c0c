//! How long things may take.

use clap::Args;
use saga_model::definition::Policy;
use saga_model::micros::Millis;

use crate::duration;
use crate::exit::Stop;

/// Timing as it was said: what is absent is taken from the defaults of the process, see [`TimingArgs::resolve`].
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Timing")]
pub struct TimingArgs {
    /// No reply for so long after a worker took the command: the attempt failed [default: 10s, dev: 3s]
    #[arg(long, env = "STEP_TIMEOUT", value_name = "DURATION", value_parser = duration::parse)]
    step_timeout: Option<Millis>,

    /// Attempts of an action [default: 5]
    #[arg(long, env = "STEP_ATTEMPTS", value_name = "NUMBER", value_parser = attempts)]
    step_attempts: Option<u32>,

    /// Attempts of a compensation before the saga is stuck [default: 10]
    #[arg(long, env = "COMPENSATION_ATTEMPTS", value_name = "NUMBER", value_parser = attempts)]
    compensation_attempts: Option<u32>,

    /// The first delay between attempts, at most RETRY_CAP; it doubles, with jitter [default: 500ms, dev: 100ms]
    #[arg(long, env = "RETRY_BASE", value_name = "DURATION", value_parser = duration::parse)]
    retry_base: Option<Millis>,

    /// The longest delay between attempts [default: 30s, dev: 2s]
    #[arg(long, env = "RETRY_CAP", value_name = "DURATION", value_parser = duration::parse)]
    retry_cap: Option<Millis>,

    /// How long a saga may take until its pivot has succeeded [default: 24h]
    #[arg(long, env = "SAGA_DEADLINE", value_name = "DURATION", value_parser = duration::parse)]
    saga_deadline: Option<Millis>,

    /// Shards of an instance that has been silent for so long are taken over [default: 10s]
    #[arg(long, env = "LEASE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse)]
    lease_timeout: Option<Millis>,
}

/// Timing, complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// What definitions are resolved with.
    pub policy: Policy,
    /// Shards of an instance that has been silent for so long are taken over.
    pub lease_timeout: Millis,
}

impl Timing {
    /// What holds in `serve` where nothing was said.
    pub const SERVE: Self = Self {
        policy: Policy {
            step_timeout: Millis(10_000),
            step_attempts: 5,
            compensation_attempts: 10,
            retry_base: Millis(500),
            retry_cap: Millis(30_000),
            saga_deadline: Millis(24 * 3_600_000),
        },
        lease_timeout: Millis(10_000),
    };

    /// What holds in `dev` where nothing was said: a person waits.
    pub const DEV: Self = Self {
        policy: Policy {
            step_timeout: Millis(3_000),
            retry_base: Millis(100),
            retry_cap: Millis(2_000),
            ..Self::SERVE.policy
        },
        ..Self::SERVE
    };
}

impl TimingArgs {
    /// What was said, and `defaults` for the rest. Where a default and what was said do not go together, the default
    /// gives way.
    ///
    /// # Errors
    /// If two that were said do not go together.
    pub fn resolve(&self, defaults: Timing) -> Result<Timing, Stop> {
        let Policy { step_timeout, step_attempts, compensation_attempts, retry_base, retry_cap, saga_deadline } =
            defaults.policy;
        let (retry_base, retry_cap) = match (self.retry_base, self.retry_cap) {
            (Some(base), Some(cap)) if base > cap => {
                let (base, cap) = (duration::write(base), duration::write(cap));
                let detail =
                    format!("RETRY_BASE is {base} and RETRY_CAP {cap}: the first delay is longer than the longest");
                return Err(Stop::Usage(detail));
            }
            (Some(base), Some(cap)) => (base, cap),
            (Some(base), None) => (base, retry_cap.max(base)),
            (None, Some(cap)) => (retry_base.min(cap), cap),
            (None, None) => (retry_base, retry_cap),
        };
        Ok(Timing {
            policy: Policy {
                step_timeout: self.step_timeout.unwrap_or(step_timeout),
                step_attempts: self.step_attempts.unwrap_or(step_attempts),
                compensation_attempts: self.compensation_attempts.unwrap_or(compensation_attempts),
                retry_base,
                retry_cap,
                saga_deadline: self.saga_deadline.unwrap_or(saga_deadline),
            },
            lease_timeout: self.lease_timeout.unwrap_or(defaults.lease_timeout),
        })
    }
}

/// The largest number of an attempt that the wire carries.
const MOST_ATTEMPTS: u32 = 0x7fff_ffff;

fn attempts(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (1..=MOST_ATTEMPTS).contains(n));
    number.ok_or_else(|| format!("write a whole number from 1 to {MOST_ATTEMPTS}"))
}
