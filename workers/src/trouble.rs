//! What keeps a worker from deciding a batch, and what follows from it.

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A part that is needed does not answer. Nothing is wrong with the commands: they are tried again in place,
    /// for as long as it takes.
    #[error("{part} does not answer: {detail}")]
    Away { part: Part, detail: String },
    /// Something refuses this very content, or broke over it: trying again cannot help. The batch is
    /// split until the culprit is alone.
    #[error("cannot be handled: {0}")]
    Poison(String),
}

/// A part that workers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Database,
    Kafka,
    Redis,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Database => "the database",
            Part::Kafka => "Kafka",
            Part::Redis => "Redis",
        })
    }
}
