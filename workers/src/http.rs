//! What clients may ask the workers, as routes to be put behind the edge and the door of a process.
//!
//! A worker's process mounts the routes of its own workers, `saga dev` all of them at its one address. Admin calls are
//! recorded by [`audit`], which goes around the door, so that it sees who was turned away.

mod audit;
mod inventory;
mod notifications;
mod payments;
mod set_stock;

use std::time::Duration;

use service::problem::{Code, Problem};

use crate::trouble::Trouble;
pub use audit::audit;
pub use inventory::routes as inventory_routes;
pub use notifications::routes as notification_routes;
pub use payments::routes as payment_routes;

/// Whether an admin path is one of the workers': `saga dev` has others beside them.
pub fn is_workers_admin_path(path: &str) -> bool {
    path.starts_with("/admin/inventory/")
}

/// The refusal that a trouble comes to.
fn refused(trouble: Trouble) -> Problem {
    match trouble {
        Trouble::Away { part, detail } => {
            tracing::warn!(part = %part, detail, "A request could not be served");
            Problem::new(Code::Unavailable, format!("{part} does not answer; nothing was changed"))
        }
        Trouble::Poison(detail) => Problem::internal(&detail),
    }
}

/// Runs what must not be broken off when a client goes away (axum drops handlers, and a dropped `begin` hands its
/// connection back inside a transaction), nor when it takes longer than the client is kept waiting.
async fn unbroken<T: Send + 'static>(
    patience: Duration,
    work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::time::timeout(patience, tokio::spawn(work)).await {
        Ok(Ok(done)) => done.map_err(refused),
        Ok(Err(broken)) => Err(Problem::internal(&broken)),
        Err(_) => {
            let detail = "The database does not answer in time; a change may still be made: look, or call again";
            Err(Problem::new(Code::Unavailable, detail))
        }
    }
}
