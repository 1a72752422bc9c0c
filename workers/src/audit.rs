//! The audit record of admin calls, in the table `admin_request`: the orchestrator lists it under `GET /admin/audit`.

use saga_model::micros::Micros;
use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use crate::trouble::Trouble;

/// An admin call and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// A UUIDv7: records are listed by it.
    pub id: Uuid,
    pub at: Micros,
    /// `key:<name>`; none without a valid key.
    pub actor: Option<String>,
    pub action: &'static str,
    pub reason: Option<String>,
    pub outcome: AuditOutcome,
    /// A sentence on what was done, or why not.
    pub detail: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutcome {
    Done,
    /// With the public code of the refusal.
    Refused(&'static str),
}

impl AuditRecord {
    /// Stores it.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn store(&self, db: &impl ConnectionTrait) -> Result<(), Trouble> {
        const STORE: &str = "INSERT INTO admin_request (id, action, actor, reason, at, status, code, detail) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (status, code) = match self.outcome {
            AuditOutcome::Done => ("DONE", None),
            AuditOutcome::Refused(code) => ("REFUSED", Some(code)),
        };
        let plain = |text: &Option<String>| text.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
        let values = [
            self.id.into(),
            self.action.into(),
            plain(&self.actor).into(),
            plain(&self.reason).into(),
            self.at.0.into(),
            status.into(),
            code.into(),
            plain(&self.detail).into(),
        ];
        db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), STORE, values)).await?;
        Ok(())
    }
}
