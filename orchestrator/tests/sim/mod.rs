//! A deterministic simulator: the real engine and the real workers in a world of one thread, in which everything
//! that happens is chosen by one seed. See docs/simulation.md.

mod bank;
pub mod bugs;
mod bus;
mod callers;
mod calm;
pub mod common;
mod disk;
mod drive;
pub mod fault;
mod gate;
mod ground;
mod instance;
mod ledger;
mod life;
mod net;
mod oracle;
mod rules;
mod run;
mod shelf;
mod shrink;
mod spoil;
mod store;
mod worker;
mod world;

pub use oracle::Wrong;
pub use run::{Recipe, Simulator};
pub use shrink::shrink;
