//! `saga audit`: whether a live database holds what it must.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr};
use service::exit::{Stop, chain};
use service::settings::{Secret, database_url_parser};
use uuid::Uuid;
use workers::shop::standing;

use crate::store::integrity::{self, Books, Checked, Listener, Standing, Violation};

/// Settings of `saga audit`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  saga audit                                     the database of DATABASE_URL
  saga audit --data-dir .saga                    the data of `saga dev`, which may be running
  saga audit --json | jq -r .sagaId | sort -u    the sagas about which something is wrong

It only reads, from one snapshot: the orchestrator and the workers may go on. The rules are those of ARCHITECTURE.md,
and what of the shop's books must fit the sagas. Exit code 1 if something does not hold, or could not be checked.")]
pub struct AuditArgs {
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL", value_parser = database_url_parser())]
    database_url: Option<Secret>,

    /// The data directory of a `saga dev`, in place of a Postgres
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// One line of JSON for each violation, in place of text
    #[arg(long)]
    json: bool,
}

/// Checks a database; what does not hold goes to `out`.
///
/// # Errors
/// [`Stop::Failed`] if something does not hold, or the database cannot be read.
pub async fn audit(args: AuditArgs, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let db = connect(&args).await?;
    let mut told = Told { out, json: args.json, violations: 0, unwritten: None, bar: ProgressBar::hidden() };
    let checked = integrity::check(&db, &Shop, &mut told).await.map_err(|error| Stop::Failed(chain(&error)))?;
    told.bar.finish_and_clear();
    if let Some(error) = told.unwritten {
        return Err(Stop::Failed(format!("cannot write what was found: {error}")));
    }
    let Checked { sagas, transitions, reservations } = checked;
    let summary = format!("{sagas} sagas, {transitions} transitions and {reservations} reservations were checked");
    match told.violations {
        0 => eprintln!("{summary}: all holds."),
        violations => return Err(Stop::Failed(format!("{summary}: {violations} violations"))),
    }
    Ok(())
}

async fn connect(args: &AuditArgs) -> Result<DatabaseConnection, Stop> {
    let (url, which) = match (&args.data_dir, &args.database_url) {
        (Some(directory), _) => {
            let file = directory.join("saga.db");
            (format!("sqlite://{}?mode=ro", file.display()), format!("the database {}", file.display()))
        }
        (None, Some(url)) => (url.expose().to_owned(), "the database of DATABASE_URL".to_owned()),
        (None, None) => return Err(Stop::Usage("say which database: DATABASE_URL or --data-dir".to_owned())),
    };
    let mut options = ConnectOptions::new(url);
    // All is read in one transaction.
    options.max_connections(1).connect_timeout(Duration::from_secs(5)).sqlx_logging(false);
    Database::connect(options)
        .await
        .map_err(|error| Stop::Failed(format!("cannot read {which}: {}; is it there, and running?", chain(&error))))
}

/// The books of the shop.
struct Shop;

#[async_trait]
impl Books for Shop {
    async fn standing(&self, db: &DatabaseTransaction, sagas: &[Uuid]) -> Result<BTreeMap<Uuid, Standing>, DbErr> {
        let standing = standing::of(db, sagas).await?.into_iter();
        let of = |(saga, standing::Standing { captures, money, units })| (saga, Standing { captures, money, units });
        Ok(standing.map(of).collect())
    }

    async fn wrong(&self, db: &DatabaseTransaction, read: &mut (dyn FnMut(u64) + Send)) -> Result<Vec<String>, DbErr> {
        standing::stock(db, read).await
    }
}

/// Tells what is found, and how far it is.
struct Told<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
    violations: u64,
    /// Why something found could not be told.
    unwritten: Option<std::io::Error>,
    bar: ProgressBar,
}

impl Listener for Told<'_> {
    fn begins(&mut self, sagas: u64) {
        if std::io::stderr().is_terminal() {
            self.bar = ProgressBar::new(sagas);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} sagas, {eta} left") {
                self.bar.set_style(style);
            }
        }
    }

    fn found(&mut self, violation: Violation) {
        self.violations += 1;
        let line = if self.json {
            serde_json::to_string(&violation).unwrap_or_else(|_| violation.to_string()) // it has texts alone
        } else {
            violation.to_string()
        };
        let told = self.bar.suspend(|| writeln!(self.out, "{line}"));
        self.unwritten = self.unwritten.take().or(told.err());
    }

    fn checked(&mut self, so_far: Checked) {
        self.bar.set_position(so_far.sagas);
    }
}
