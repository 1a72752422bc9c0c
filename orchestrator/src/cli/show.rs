//! A saga for people, from the JSON that was answered.

use saga_model::render::Tree;
use saga_model::view::SagaView;
use service::exit::Stop;

use super::client::Reply;
use super::unreadable;

/// The tree of the saga in an answer.
///
/// # Errors
/// If there is none in it.
pub fn tree(reply: &Reply) -> Result<String, Stop> {
    saga(&reply.body).map(|view| Tree(&view).to_string())
}

/// The saga in a body.
///
/// # Errors
/// If there is none in it: whoever answered is no orchestrator, or a newer one.
pub fn saga(body: &str) -> Result<SagaView<'_>, Stop> {
    serde_json::from_str(body).map_err(|error| unreadable("saga", &error))
}
