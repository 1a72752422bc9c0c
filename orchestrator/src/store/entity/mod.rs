//! The tables as sea-orm sees them, one file each. They never leave the store.

pub mod admin_request;
pub mod dead_letter;
pub mod definition;
pub mod history;
pub mod idempotency;
pub mod instance;
pub mod saga;
pub mod shard;
