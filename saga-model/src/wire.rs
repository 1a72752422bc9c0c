//! The messages on the wire: commands, replies, domain events, and the codes of those that cannot be read.

pub mod command;
pub mod domain_event;
mod fields;
pub mod reply;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::ids::SagaId;
use crate::state::{Kind, Secret};

/// The largest message that is read, in bytes of its value; for a command, without the outputs that it carries.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// The largest output of a step, in bytes of its text.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Why a message is a dead letter; of several, the first in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeadLetterCode {
    TooLarge,
    NotJson,
    WrongType,
    MissingField,
    UnknownOutcome,
    UnknownSaga,
    UnknownStep,
    FutureStep,
    WrongToken,
    FutureAttempt,
    /// It could not be stored even alone.
    EngineError,
}

impl DeadLetterCode {
    /// All of them, the first that applies first.
    pub const ALL: [Self; 11] = [
        Self::TooLarge,
        Self::NotJson,
        Self::WrongType,
        Self::MissingField,
        Self::UnknownOutcome,
        Self::UnknownSaga,
        Self::UnknownStep,
        Self::FutureStep,
        Self::WrongToken,
        Self::FutureAttempt,
        Self::EngineError,
    ];

    /// The public code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "TOO_LARGE",
            Self::NotJson => "NOT_JSON",
            Self::WrongType => "WRONG_TYPE",
            Self::MissingField => "MISSING_FIELD",
            Self::UnknownOutcome => "UNKNOWN_OUTCOME",
            Self::UnknownSaga => "UNKNOWN_SAGA",
            Self::UnknownStep => "UNKNOWN_STEP",
            Self::FutureStep => "FUTURE_STEP",
            Self::WrongToken => "WRONG_TOKEN",
            Self::FutureAttempt => "FUTURE_ATTEMPT",
            Self::EngineError => "ENGINE_ERROR",
        }
    }
}

/// A message that cannot be read, with a sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Unreadable {
    pub code: DeadLetterCode,
    pub detail: String,
}

impl Unreadable {
    /// The sentence may quote the message: it is cut to a length, and control characters are replaced.
    pub fn new(code: DeadLetterCode, detail: impl AsRef<str>) -> Self {
        const MAX_DETAIL_CHARS: usize = 500;
        let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self { code, detail: detail.as_ref().chars().take(MAX_DETAIL_CHARS).map(plain).collect() }
    }
}

/// The token of a question: the same on each of its attempts, not to be guessed without the saga's secret
/// (HMAC-SHA-256, the first 128 bits in hexadecimal).
pub fn token(secret: Secret, step: &str, kind: Kind, round: u32) -> String {
    format!("{:032x}", token_bits(secret, step, kind, round))
}

/// Whether `text` is the token of this question, to the letter.
pub fn token_is(text: &str, secret: Secret, step: &str, kind: Kind, round: u32) -> bool {
    let bits = token_bits(secret, step, kind, round);
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 32 && text.bytes().all(plain) && u128::from_str_radix(text, 16) == Ok(bits)
}

fn token_bits(secret: Secret, step: &str, kind: Kind, round: u32) -> u128 {
    // HMAC pads its key with zeros to the block of the hash: done here, so that making one cannot fail.
    let mut key = [0; 64];
    key[..16].copy_from_slice(&secret.0.to_be_bytes());
    let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&key.into());
    mac.update(step.as_bytes());
    mac.update(format!("/{}/{round}", kind.as_str()).as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// Under which key the effect of (saga, step, round) happens at most once.
pub fn idempotency_key(saga: SagaId, step: &str, round: u32) -> String {
    match round {
        1 => format!("{saga}/{step}"),
        round => format!("{saga}/{step}/{round}"),
    }
}
