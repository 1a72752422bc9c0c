//! Reading a secret argument: the error says what to write and not what was written.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// A clap value parser around a function, for values that no message may repeat.
#[derive(Clone)]
pub(super) struct Quiet<T: Clone + Send + Sync + 'static>(pub(super) fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Quiet<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(self.0);
        read.map_err(|why| {
            let name = arg.map_or_else(|| "an argument".to_owned(), ToString::to_string);
            Error::raw(ErrorKind::ValueValidation, format!("invalid value for '{name}': {why}\n")).with_cmd(command)
        })
    }
}
