//! How a process ends: three codes, and a sentence on standard error for the two unhappy ones.

use std::process::{ExitCode, Termination};

/// The exit code of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: it did what it was asked.
    Done,
    /// 1: it could not: a port is taken, a directory in use, the schema another one.
    Failed,
    /// 2: it was used or configured wrongly.
    Usage,
}

/// Why a process stops before its time. The text is one sentence for the person who started it: what is wrong
/// and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
        }
    }

    /// How a process ends that came to `outcome`; says why on standard error if it stopped.
    pub fn of(outcome: Result<(), Stop>) -> Self {
        let Err(stop) = outcome else { return Self::Done };
        // A closed standard error is no reason to end in a panic: the code says it too.
        use std::io::Write;
        let _closed = writeln!(std::io::stderr(), "error: {stop}");
        stop.exit()
    }
}

impl Stop {
    /// The code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
        }
    }
}

/// An error in one line, with all that caused it. Libraries often say the cause in the error itself: once is enough.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Error(&'static str, #[source] Option<Box<Error>>);
        let error = |text, cause: Option<Error>| Error(text, cause.map(Box::new));
        let error = error("no schema", Some(error("no connection: timed out", Some(error("timed out", None)))));
        assert_eq!(chain(&error), "no schema: no connection: timed out");
    }

    #[test]
    fn three_codes() {
        assert_eq!(Exit::of(Ok(())).code(), 0);
        assert_eq!(Exit::of(Err(Stop::Failed("port 8081 is taken".to_owned()))).code(), 1);
        assert_eq!(Exit::of(Err(Stop::Usage("no such scope".to_owned()))).code(), 2);
    }
}
