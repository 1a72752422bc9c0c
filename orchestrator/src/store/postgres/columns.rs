//! Rows turned into columns: each is bound as one array.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use crate::store::codec::batch::MarksRow;
use crate::store::codec::operators::AnswerRow;
use crate::store::entity::{dead_letter, history, idempotency, saga};

/// Columns of `$row`, bound in the order in which they are named.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident of $row:ty { $($column:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub struct $name {
            $(pub $column: Vec<$type>,)*
        }

        impl FromIterator<$row> for $name {
            fn from_iter<I: IntoIterator<Item = $row>>(rows: I) -> Self {
                let mut columns = Self::default();
                for row in rows {
                    $(columns.$column.push(row.$column);)*
                }
                columns
            }
        }

        impl $name {
            /// Adds them to the arguments of a statement.
            pub fn bind<'q>(&self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
                query$(.bind(self.$column.as_slice()))*
            }
        }
    };
}

columns! {
    /// The fence and the new marks of shards.
    Marks of MarksRow {
        id: i16, epoch: i64, last_seq: i64, published: i64, reply_offset: i64, untaken: String,
    }
}

columns! {
    /// Answers to operators' requests.
    Answers of AnswerRow {
        request: Uuid, status: &'static str, code: Option<String>, detail: Option<String>,
    }
}

columns! {
    /// Idempotency keys.
    Keys of idempotency::Model {
        caller: String, path: String, key: String, fingerprint: String, saga_id: Uuid, at: i64,
    }
}

columns! {
    /// New sagas: all columns.
    Inserts of saga::Model {
        id: Uuid, slot: i16, definition_id: i64, user_id: Option<Uuid>, business_key: Option<String>, input: String,
        state: String, status: String, order_status: String, active: bool, held: bool, step: Option<String>,
        error_code: Option<String>, revision: i32, created_at: i64, updated_at: i64, wake_at: Option<i64>,
        traceparent: String,
    }
}

columns! {
    /// Sagas stored before: the columns that a transition changes.
    Updates of saga::Model {
        id: Uuid, state: String, status: String, order_status: String, active: bool, held: bool, step: Option<String>,
        error_code: Option<String>, revision: i32, updated_at: i64, wake_at: Option<i64>,
    }
}

columns! {
    /// History rows.
    History of history::Model {
        saga_id: Uuid, seq: i32, shard: i16, shard_seq: i64, at: i64, kind: String, step: Option<i16>,
        round: Option<i32>, attempt: Option<i32>, data: String, actor: String,
    }
}

columns! {
    /// Dead letters.
    DeadLetters of dead_letter::Model {
        id: Uuid, topic: String, partition: i32, offset: i64, key: Option<Vec<u8>>, value: Option<Vec<u8>>,
        headers: String, code: String, detail: String, saga_id: Option<Uuid>, at: i64, status: String,
    }
}
