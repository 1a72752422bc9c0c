//! Model checks: exhaustive searches of small worlds, for the tests and for the example `model-check`.

pub mod explore;
pub mod leases;
pub mod model;
pub mod saga;
pub mod seen;
pub mod stock;
