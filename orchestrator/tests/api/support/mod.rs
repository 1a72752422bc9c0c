//! One orchestrator in this process: the routes behind a real listener, an engine on the store in memory, and a bus
//! whose workers are functions of the test.

mod bus;
mod client;
mod server;
mod spy;
mod steps;

pub use client::{Client, Reply, Wrong, codes};
pub use server::{Options, POLICY, Server};
pub use spy::Spy;
pub use steps::{Steps, keyed, parts, request, success};

pub type Json = serde_json::Value;

pub const USER: &str = "11111111-1111-1111-1111-111111111111";
pub const PEN: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
pub const INK: &str = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb";
/// An id that nothing has.
pub const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// An order as the clients of the shop send it.
pub fn order() -> Json {
    serde_json::json!({"userId": USER, "amount": 500, "items": {PEN: 2, INK: 1}})
}

/// That order with other members.
pub fn order_with(members: Json) -> Json {
    let mut order = order();
    for (name, value) in members.as_object().unwrap() {
        order[name] = value.clone();
    }
    order
}
