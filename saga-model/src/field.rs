//! What is wrong with a field of a request.

use serde::Serialize;

/// Why a field was refused: the public codes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldCode {
    Required,
    WrongType,
    InvalidUuid,
    InvalidAmount,
    InvalidQuantity,
    InvalidCurrency,
    InvalidPaymentMethod,
    EmptyItems,
    TooManyItems,
    DuplicateItem,
    DuplicateKey,
    UnknownField,
    InvalidValue,
    TooLong,
}

/// A field that was refused: where it stands (RFC 6901, without `#`), the code, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldError {
    pub pointer: String,
    pub code: FieldCode,
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: FieldCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}
