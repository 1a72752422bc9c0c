//! Model 3: Redis in front of SQL. Two inventory workers sell one product; Redis loses its memory, workers freeze and
//! die between any two of their calls.
//!
//! The steps are those of `workers/src/shop/stock/`: each call of Redis and each transaction is one step, in the order
//! in which the code makes them, and each stands beside the place where it really is. Sagas are reduced to what they
//! may ask of an inventory worker: to set one unit apart, to put it back, and to sell it.

mod fair;
mod ledger;
mod memory;
mod program;
mod promises;
mod records;
mod steps;
mod tell;
mod twin;
mod world;

pub use twin::Twin;
pub use world::{Size, World};
