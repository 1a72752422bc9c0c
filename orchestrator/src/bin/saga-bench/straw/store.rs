//! Postgres for the straw pipeline: a row a saga and a line a transition, a batch in one statement.

use std::str::FromStr;

use anyhow::Context;
use orchestrator::store::postgres::PINNED_PLANS;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::pattern::Pattern;
use super::post::Transition;

pub struct Store {
    sql: PgConnection,
    admin_url: String,
    database: String,
}

const SCHEMA: [&str; 2] = [
    "CREATE TABLE saga (id uuid PRIMARY KEY, input text NOT NULL, state text NOT NULL, step int4 NOT NULL,
        updated_at timestamptz NOT NULL) WITH (fillfactor = 50)",
    "CREATE TABLE history (saga_id uuid NOT NULL, seq int4 NOT NULL, at timestamptz NOT NULL, data text NOT NULL,
        PRIMARY KEY (saga_id, seq))",
];

/// `$1`–`$3` new sagas, `$4`–`$6` changed ones, `$7`–`$9` history.
const STORE: &str = "
    WITH inserted AS (
        INSERT INTO saga SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), 0, now()
    ),
    updated AS (
        UPDATE saga s SET state = u.state, step = u.step, updated_at = now()
        FROM (SELECT unnest($4::uuid[]) AS id, unnest($5::text[]) AS state, unnest($6::int4[]) AS step) AS u
        WHERE s.id = u.id
    )
    INSERT INTO history SELECT unnest($7::uuid[]), unnest($8::int4[]), now(), unnest($9::text[])";

impl Store {
    /// A database of its own.
    pub async fn create(admin_url: &str, database: &str) -> anyhow::Result<Self> {
        crate::system::execute(admin_url, &format!("CREATE DATABASE {database}")).await?;
        let options = PgConnectOptions::from_str(&crate::system::beside(admin_url, database)?)?;
        let mut sql = options.disable_statement_logging().options(PINNED_PLANS).connect().await?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut sql).await?;
        }
        Ok(Self { sql, admin_url: admin_url.to_owned(), database: database.to_owned() })
    }

    pub async fn commit(&mut self, batch: &[Transition], pattern: &Pattern) -> anyhow::Result<()> {
        // States grow: the last one is the pattern's, and the first about a quarter of it.
        let ends: Vec<usize> =
            (1..=4).map(|n| pattern.state.floor_char_boundary(pattern.state.len() * n / 4)).collect();
        let state = |step: usize| &pattern.state[..ends[step]];
        let (new, changed): (Vec<Transition>, Vec<Transition>) = batch.iter().partition(|(_, step)| *step == 0);
        let ids = |batch: &[Transition]| batch.iter().map(|(saga, _)| *saga).collect::<Vec<_>>();
        let states = |batch: &[Transition]| batch.iter().map(|(_, step)| state(*step)).collect::<Vec<_>>();
        let steps = |batch: &[Transition]| {
            let steps = batch.iter().map(|(_, step)| i32::try_from(*step).context("a step"));
            steps.collect::<anyhow::Result<Vec<_>>>()
        };
        sqlx::query(STORE)
            .bind(ids(&new))
            .bind(vec![pattern.input.as_str(); new.len()])
            .bind(states(&new))
            .bind(ids(&changed))
            .bind(states(&changed))
            .bind(steps(&changed)?)
            .bind(ids(batch))
            .bind(steps(batch)?)
            .bind(batch.iter().map(|(_, step)| pattern.history[*step].as_str()).collect::<Vec<_>>())
            .execute(&mut self.sql)
            .await?;
        Ok(())
    }

    /// Removes the database.
    pub async fn drop(self) -> anyhow::Result<()> {
        self.sql.close().await?;
        crate::system::execute(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.database)).await
    }
}
