//! The public codes: what clients may rely on.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

/// Why a request was refused. The name in capitals is public and never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    MalformedJson,
    InvalidParameter,
    Unauthenticated,
    Forbidden,
    NotFound,
    OrderNotFound,
    SagaNotFound,
    DefinitionNotFound,
    DeadLetterNotFound,
    SkuNotFound,
    MethodNotAllowed,
    ActionNotAllowed,
    EffectMayStand,
    StockCommitted,
    RevisionMismatch,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    HeadersTooLarge,
    ValidationFailed,
    IdempotencyKeyReused,
    StepNotReplayable,
    InternalError,
    /// Too many sagas, messages or starts wait (503).
    Overloaded,
    Unavailable,
    NotReady,
    OwnerUnavailable,
}

impl Code {
    /// All of them, for documents that list them.
    pub const ALL: [Self; 27] = [
        Self::MalformedJson,
        Self::InvalidParameter,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::OrderNotFound,
        Self::SagaNotFound,
        Self::DefinitionNotFound,
        Self::DeadLetterNotFound,
        Self::SkuNotFound,
        Self::MethodNotAllowed,
        Self::ActionNotAllowed,
        Self::EffectMayStand,
        Self::StockCommitted,
        Self::RevisionMismatch,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::HeadersTooLarge,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::StepNotReplayable,
        Self::InternalError,
        Self::Overloaded,
        Self::Unavailable,
        Self::NotReady,
        Self::OwnerUnavailable,
    ];

    /// The public table: status, code, title.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (400, "MALFORMED_JSON", "The body is not well-formed JSON"),
            Self::InvalidParameter => {
                (400, "INVALID_PARAMETER", "A parameter of the path, the query or a header is wrong")
            }
            Self::Unauthenticated => (401, "UNAUTHENTICATED", "A known key is needed"),
            Self::Forbidden => (403, "FORBIDDEN", "The key does not have the scope"),
            Self::NotFound => (404, "NOT_FOUND", "There is nothing at this path"),
            Self::OrderNotFound => (404, "ORDER_NOT_FOUND", "There is no such order"),
            Self::SagaNotFound => (404, "SAGA_NOT_FOUND", "There is no such saga"),
            Self::DefinitionNotFound => (404, "DEFINITION_NOT_FOUND", "There is no such definition"),
            Self::DeadLetterNotFound => (404, "DEAD_LETTER_NOT_FOUND", "There is no such dead letter"),
            Self::SkuNotFound => (404, "SKU_NOT_FOUND", "There is no such product"),
            Self::MethodNotAllowed => (405, "METHOD_NOT_ALLOWED", "The path does not have this method"),
            Self::ActionNotAllowed => (409, "ACTION_NOT_ALLOWED", "The action is not available now"),
            Self::EffectMayStand => (409, "EFFECT_MAY_STAND", "An effect of the step may stand"),
            Self::StockCommitted => (409, "STOCK_COMMITTED", "More units are reserved and sold than that"),
            Self::RevisionMismatch => (412, "REVISION_MISMATCH", "The saga has another revision"),
            Self::PayloadTooLarge => (413, "PAYLOAD_TOO_LARGE", "The body is too large"),
            Self::UriTooLong => (414, "URI_TOO_LONG", "The URI is too long"),
            Self::UnsupportedMediaType => {
                (415, "UNSUPPORTED_MEDIA_TYPE", "The body is not sent as plain application/json")
            }
            Self::HeadersTooLarge => (431, "HEADERS_TOO_LARGE", "The headers are too many or too large"),
            Self::ValidationFailed => (422, "VALIDATION_FAILED", "Fields of the body are wrong"),
            Self::IdempotencyKeyReused => {
                (422, "IDEMPOTENCY_KEY_REUSED", "The idempotency key stands for another request")
            }
            Self::StepNotReplayable => (422, "STEP_NOT_REPLAYABLE", "The step is not the one that may be replayed"),
            Self::InternalError => (500, "INTERNAL_ERROR", "The server made a mistake"),
            Self::Overloaded => (503, "OVERLOADED", "Too much is waiting already"),
            Self::Unavailable => (503, "UNAVAILABLE", "A service that this needs is away"),
            Self::NotReady => (503, "NOT_READY", "This instance is not ready"),
            Self::OwnerUnavailable => (503, "OWNER_UNAVAILABLE", "The instance that owns the saga does not answer"),
        }
    }

    /// The public name.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// A sentence that is the same for each problem of this code.
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        // Every status of the table is a valid one: a test goes through them all.
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The problem's `type`: an URI that names it and is not to be fetched.
    pub fn type_uri(self) -> String {
        format!("urn:saga:problem:{}", self.as_str().to_ascii_lowercase().replace('_', "-"))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        for code in Code::ALL {
            assert_eq!(code.status().as_u16(), code.row().0, "{code:?}");
            let in_words = format!("{code:?}").chars().fold(String::new(), |mut name, c| {
                if c.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(c.to_ascii_uppercase());
                name
            });
            assert_eq!(code.as_str(), in_words);
        }
        assert_eq!(Code::StepNotReplayable.type_uri(), "urn:saga:problem:step-not-replayable");
    }
}
