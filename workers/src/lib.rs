//! The participants of a saga, and the runtime that makes their effects happen at most once.

pub mod participant;

pub mod ledger;
pub mod runtime;

pub mod layers;
pub mod patience;
pub mod trouble;

pub mod dead_letter;
pub mod transport;

pub mod audit;
pub mod clock;
pub mod observe;
pub mod sql;

pub mod shop;

pub mod http;
pub mod local;
pub mod process;
pub mod settings;
