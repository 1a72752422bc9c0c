//! The topics of the shop, by name. Definitions may name further ones.

pub const INVENTORY_COMMANDS: &str = "inventory.commands";
pub const PAYMENT_COMMANDS: &str = "payment.commands";
pub const NOTIFICATION_COMMANDS: &str = "notification.commands";

/// Answers of the workers, one partition a shard.
pub const REPLIES: &str = "saga.replies";
/// Messages that could not be read, for the operators.
pub const DEAD_LETTERS: &str = "saga.dead-letters";

pub const ORDER_CREATED: &str = "order.created";
pub const INVENTORY_RESERVED: &str = "inventory.reserved";
pub const INVENTORY_REJECTED: &str = "inventory.rejected";
pub const INVENTORY_RELEASED: &str = "inventory.released";
pub const PAYMENT_SUCCESS: &str = "payment.success";
pub const PAYMENT_FAILED: &str = "payment.failed";
pub const PAYMENT_REFUNDED: &str = "payment.refunded";
pub const ORDER_CONFIRMED: &str = "order.confirmed";
pub const ORDER_CANCELLED: &str = "order.cancelled";

/// All of them.
pub const ALL: [&str; 14] = [
    INVENTORY_COMMANDS,
    PAYMENT_COMMANDS,
    NOTIFICATION_COMMANDS,
    REPLIES,
    DEAD_LETTERS,
    ORDER_CREATED,
    INVENTORY_RESERVED,
    INVENTORY_REJECTED,
    INVENTORY_RELEASED,
    PAYMENT_SUCCESS,
    PAYMENT_FAILED,
    PAYMENT_REFUNDED,
    ORDER_CONFIRMED,
    ORDER_CANCELLED,
];
