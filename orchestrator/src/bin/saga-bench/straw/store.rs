//! Postgres for the straw pipeline: a row a saga and a line a transition, a batch in one transaction.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// One saga's transition.
pub struct Line<'a> {
    pub saga: Uuid,
    /// 0 is the start.
    pub step: i32,
    pub data: &'a str,
}

pub struct Store {
    sql: PgConnection,
    admin_url: String,
    database: String,
}

/// Joins of a batch are nested loops, as those of the real system: the plan of an empty table would stay for ever.
const SCHEMA: [&str; 4] = [
    "CREATE TABLE saga (id uuid PRIMARY KEY, input text NOT NULL, state text NOT NULL, step int4 NOT NULL,
        updated_at timestamptz NOT NULL) WITH (fillfactor = 50)",
    "CREATE TABLE history (saga_id uuid NOT NULL, seq int4 NOT NULL, at timestamptz NOT NULL, data text NOT NULL,
        PRIMARY KEY (saga_id, seq))",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
];

impl Store {
    /// A database of its own.
    pub async fn create(admin_url: &str, database: &str) -> anyhow::Result<Self> {
        crate::system::execute(admin_url, &format!("CREATE DATABASE {database}")).await?;
        let mut sql = PgConnection::connect(&crate::system::beside(admin_url, database)?).await?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut sql).await?;
        }
        Ok(Self { sql, admin_url: admin_url.to_owned(), database: database.to_owned() })
    }

    pub async fn commit(&mut self, lines: &[Line<'_>], input: &str, state: &str) -> anyhow::Result<()> {
        let ids = |new: bool| lines.iter().filter(move |line| (line.step == 0) == new).map(|line| line.saga);
        let (new, changed): (Vec<Uuid>, Vec<Uuid>) = (ids(true).collect(), ids(false).collect());
        let steps: Vec<i32> = lines.iter().map(|line| line.step).filter(|step| *step > 0).collect();
        let mut transaction = self.sql.begin().await?;
        let insert = "INSERT INTO saga SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), 0, now()";
        let (inputs, states) = (vec![input; new.len()], vec![state; new.len()]);
        sqlx::query(insert).bind(new).bind(inputs).bind(states).execute(&mut *transaction).await?;
        let update = "UPDATE saga s SET state = u.state, step = u.step, updated_at = now()
            FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS state, unnest($3::int4[]) AS step) AS u
            WHERE s.id = u.id";
        let states = vec![state; changed.len()];
        sqlx::query(update).bind(changed).bind(states).bind(steps).execute(&mut *transaction).await?;
        let history = "INSERT INTO history
            SELECT unnest($1::uuid[]), unnest($2::int4[]), now(), unnest($3::text[])";
        let column = |of: fn(&Line<'_>) -> i32| lines.iter().map(of).collect::<Vec<i32>>();
        let sagas: Vec<Uuid> = lines.iter().map(|line| line.saga).collect();
        let data: Vec<&str> = lines.iter().map(|line| line.data).collect();
        let seqs = column(|line| line.step);
        sqlx::query(history).bind(sagas).bind(seqs).bind(data).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes the database.
    pub async fn drop(self) -> anyhow::Result<()> {
        self.sql.close().await?;
        crate::system::execute(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.database)).await
    }
}
