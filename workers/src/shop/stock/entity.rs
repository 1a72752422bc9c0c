//! The tables of the stock.

pub mod generation;
pub mod level;
pub mod reservation;
