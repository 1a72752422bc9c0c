//! Settings: each is an environment variable and a flag of the same name, in lower case with hyphens; the flag wins.
//!
//! They come in groups that a command flattens into its own arguments (`#[command(flatten)]`), so that every
//! process reads them in one way. A malformed one ends the process with exit code 2 and a sentence that says what
//! to write; a secret one is not repeated in that sentence, nor in `Debug`, nor in `--help`.
//!
//! A variable that is set and empty counts as not set, as in a compose file that passes on what the caller has
//! not set: [`parse`] sees to it. The one exception is `SAGA_OPEN_SCOPES`: empty means that nothing is open.

mod address;
mod connections;
mod http;
mod log;
mod quiet;
mod secret;
mod timing;
mod topics;

use std::ffi::OsString;

use clap::Parser;

pub use address::ListenAddr;
pub use connections::{Connections, KafkaBrokers, TopicPrefix, database_url_parser};
pub use http::HttpArgs;
pub use log::{LogArgs, LogFormat, OtlpEndpoint};
pub use secret::Secret;
pub use timing::{Timing, TimingArgs};
pub use topics::KafkaTopicArgs;

/// The variable whose empty value means something.
const OPEN_SCOPES: &str = "SAGA_OPEN_SCOPES";

/// Reads the command line and the environment of this process; ends it (exit code 2) if they make no sense.
pub fn parse<T: Parser>() -> T {
    try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads `arguments` (the first is the name of the program) and the environment of this process.
///
/// # Errors
/// What clap has to say about them; its `exit` prints it and ends with the right code.
pub fn try_parse_from<T: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    parse_as(without_empty_variables(T::command()), arguments)
}

fn parse_as<T: Parser>(
    mut command: clap::Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<T, clap::Error> {
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The command, reading no variable that is set and empty.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let empty = arg.get_env().is_some_and(|name| {
                name != OPEN_SCOPES && std::env::var_os(name).is_some_and(|value| value.is_empty())
            });
            if empty { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests;
