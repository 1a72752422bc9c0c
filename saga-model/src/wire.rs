//! The messages on the wire: commands, replies, domain events, and the codes of those that cannot be read.

mod about;
pub mod command;
pub mod domain_event;
mod fields;
mod input;
pub mod reply;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::ids::{ID_BYTES, SagaId};
use crate::state::{Kind, Secret};

pub use about::about;
pub(crate) use input::OrderInput;
pub use input::SagaInput;

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

/// Room for the hexadecimal digits of 128 bits.
pub(crate) type HexRoom = [u8; 32];

/// 128 bits as 32 hexadecimal digits in lower case.
pub(crate) fn hex(bits: u128, room: &mut HexRoom) -> &str {
    // A UUID without hyphens is just that.
    Uuid::from_u128(bits).simple().encode_lower(room)
}

/// The token of a question: the same on each of its attempts, not to be guessed without the saga's secret
/// (HMAC-SHA-256, the first 128 bits in hexadecimal).
pub fn token(secret: Secret, step: &str, kind: Kind, round: u32) -> String {
    encode_token(secret, step, kind, round, &mut [0; 32]).to_owned()
}

/// The same in `room`.
fn encode_token<'r>(secret: Secret, step: &str, kind: Kind, round: u32, room: &'r mut HexRoom) -> &'r str {
    hex(token_bits(secret, step, kind, round), room)
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
    for part in [step, "/", kind.as_str(), "/", itoa::Buffer::new().format(round)] {
        mac.update(part.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// The JSON of a message; `bytes` is how long it will be, as a guess, so that it need not grow.
fn json(message: &impl Serialize, bytes: usize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, message)?;
    Ok(text)
}

/// Under which key the effect of (saga, step, round) happens at most once.
pub fn idempotency_key(saga: SagaId, step: &str, round: u32) -> String {
    let mut key = String::with_capacity(ID_BYTES + 1 + step.len() + NUMBER_BYTES);
    push_key(&mut key, saga, step, round);
    key
}

/// The bytes of a slash and the longest number behind it.
const NUMBER_BYTES: usize = 11;

fn push_key(text: &mut String, saga: SagaId, step: &str, round: u32) {
    text.push_str(saga.encode(&mut [0; ID_BYTES]));
    text.push('/');
    text.push_str(step);
    if round != 1 {
        text.push('/');
        text.push_str(itoa::Buffer::new().format(round));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::StepIndex;
    use crate::state::CommandRef;

    const SAGA: &str = "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

    /// The plain form of all that is written here without formatting.
    #[test]
    fn texts_are_as_formatted() {
        let saga: SagaId = SAGA.parse().unwrap();
        for bits in [0, 1, 0xf, u128::MAX, 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321, 1 << 127] {
            assert_eq!(hex(bits, &mut [0xff; 32]), format!("{bits:032x}"));
            assert_eq!(serde_json::to_value(Secret(bits)).unwrap(), format!("{bits:032x}"));
            for (kind, round) in [(Kind::Action, 1), (Kind::Compensate, 2), (Kind::Action, u32::MAX)] {
                let token = token(Secret(bits), "charge-payment", kind, round);
                assert_eq!(token, format!("{:032x}", plain_token_bits(bits, "charge-payment", kind, round)));
                assert!(token_is(&token, Secret(bits), "charge-payment", kind, round));
            }
        }
        assert_eq!(idempotency_key(saga, "charge-payment", 1), format!("{SAGA}/charge-payment"));
        for round in [0, 2, 10, u32::MAX] {
            assert_eq!(idempotency_key(saga, "charge-payment", round), format!("{SAGA}/charge-payment/{round}"));
        }
        for (kind, round, attempt) in [(Kind::Action, 1, 1), (Kind::Compensate, u32::MAX, u32::MAX)] {
            let key = idempotency_key(saga, "s", round);
            let command = CommandRef { step: StepIndex(0), kind, round, attempt };
            assert_eq!(command::id(saga, "s", command), format!("{key}/{}/{attempt}", kind.as_str()));
        }
        for seq in [1, 42, u32::MAX] {
            assert_eq!(domain_event::id(saga, seq, "order.confirmed"), format!("{SAGA}/{seq}/order.confirmed"));
        }
    }

    fn plain_token_bits(secret: u128, step: &str, kind: Kind, round: u32) -> u128 {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.to_be_bytes()).unwrap();
        mac.update(format!("{step}/{}/{round}", kind.as_str()).as_bytes());
        u128::from_be_bytes(*mac.finalize().into_bytes().first_chunk().unwrap())
    }
}
