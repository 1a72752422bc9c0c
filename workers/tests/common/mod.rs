//! What the tests of the workers share.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod between;
pub mod cluster;
pub mod commands;
pub mod database;
pub mod parts;
