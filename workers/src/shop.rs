//! The sample workers: a shop that has stock, is paid, and tells its customers.

pub mod inventory;
pub mod stock;

pub mod gateway;
pub mod payment;

pub mod notification;

pub mod staff;

pub mod standing;

mod payload;
