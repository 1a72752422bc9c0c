//! The saga as a value and [`advance()`], the only function that changes it.
//!
//! # The promise of this crate
//!
//! Everything here is pure. There is no clock (time is an argument), no randomness (jitter and tokens
//! are derived from the saga's secret), no `async`, no I/O and no unordered map. The same arguments
//! give the same answer, for ever: a history folds back into the state that it produced
//! ([`history::fold`]), and a model checker may run the very function that runs in production.
//!
//! # The states
//!
//! ```text
//!              all steps done                        hold: none | PAUSED | STUCK(cause)
//!   FORWARD ------------------> COMPLETED            (on any of the three live phases)
//!      | refused, exhausted, deadline, operator
//!      v
//!   UNWINDING --nothing owed--> CLOSING --told--> COMPENSATED (or RESOLVED, if an undo was waived)
//!      |                           |
//!      '-------- resolve ----------'-----> RESOLVED
//! ```
//!
//! # Glossary
//!
//! * **saga**: one run of a definition. **definition**: its steps, as data, pinned by every saga.
//! * **step**: an *action* and, where it can be undone, its *compensation*.
//! * **command**: one attempt at an action or a compensation, sent to a worker; **reply**: its answer.
//! * **round**: a fresh question to a worker; the attempts of one round ask the same question.
//! * **event**: something that happened; **effect**: something the shell has to do about it.
//! * **transition**: one event applied; it writes one row of the **history**.
//! * **stuck**: at rest until an operator acts or the missing answer arrives.

pub mod advance;
pub mod catalog;
pub mod definition;
pub mod effect;
pub mod event;
pub mod field;
pub mod history;
pub mod ids;
pub mod invariants;
pub mod json;
pub mod micros;
pub mod money;
pub mod render;
pub mod retry;
pub mod state;
pub mod view;
pub mod wire;

pub use advance::advance;
pub use definition::Definition;
pub use ids::SagaId;
pub use micros::Micros;
pub use state::Saga;
