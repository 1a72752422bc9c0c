//! `model-check`: exhaustive searches of small worlds. What they are and what they found: `docs/model-checks.md`.
//!
//!     cargo run --release -p saga-model --example model-check -- saga --verbs 2

// What searches the machine is a program: unlike the machine it has threads, clocks and sets.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod arguments;
mod progress;
mod report;
#[path = "../../tests/search/mod.rs"]
mod search;
#[path = "../../tests/support/definitions.rs"]
#[allow(dead_code)] // the tests use more of it
mod short;

use std::process::ExitCode;

use arguments::{Arguments, Limits, Which, WhichTwins};
use clap::Parser;
use progress::grouped;
use report::Verdict;
use search::saga::Trouble;
use search::{leases, saga, stock};

fn main() -> ExitCode {
    let Arguments { which, limits } = Arguments::parse();
    match check(&which, limits) {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("model-check: {what}");
            ExitCode::from(2)
        }
    }
}

fn check(which: &Which, limits: Limits) -> Result<Verdict, String> {
    match which {
        Which::Saga { definition, verbs, engine_failures } => {
            let trouble = Trouble { verbs: *verbs, engine_failures: *engine_failures, twin: None };
            let names = definition.iter().map(|name| search_saga(name, trouble, limits));
            names.collect::<Result<Vec<_>, _>>().map(Verdict::of)
        }
        Which::Leases { size } => search_leases((*size).into(), limits),
        Which::Stock { size } => search_stock((*size).into(), limits),
        Which::Twins { of } => twins(*of, limits),
        Which::All => {
            let mut all = Vec::new();
            for which in arguments::everything() {
                all.push(check(&which, limits)?);
            }
            Ok(Verdict::of(all))
        }
    }
}

fn search_saga(name: &str, trouble: Trouble, limits: Limits) -> Result<Verdict, String> {
    let world = saga_world(name, trouble)?;
    let Trouble { verbs, engine_failures, .. } = trouble;
    let title = format!("saga: {name}, verbs: {verbs}, engine failures: {engine_failures}");
    let verdict = report::holds(&title, &world, limits);
    println!(
        "  {} sagas that behave differently, each with its history against every invariant",
        grouped(world.pages())
    );
    Ok(verdict)
}

fn saga_world(name: &str, trouble: Trouble) -> Result<saga::World, String> {
    saga::World::new(saga::definitions::named(name)?, trouble)
}

fn search_leases(size: leases::Size, limits: Limits) -> Result<Verdict, String> {
    let world = leases::World::new(size, None)?;
    Ok(report::holds(&format!("leases: {size}"), &world, limits))
}

fn search_stock(size: stock::Size, limits: Limits) -> Result<Verdict, String> {
    let world = stock::World::new(size, None)?;
    Ok(report::holds(&format!("stock: {size}"), &world, limits))
}

/// Each twin has to be refuted. One thread finds the same way each time.
fn twins(of: Option<WhichTwins>, limits: Limits) -> Result<Verdict, String> {
    let limits = Limits { threads: Some(1), ..limits };
    let chosen = |which| of.is_none_or(|of| of == which);
    let mut all = Vec::new();
    for twin in saga::Twin::ALL.into_iter().filter(|_| chosen(WhichTwins::Saga)) {
        let trouble = Trouble { verbs: 0, engine_failures: 0, twin: Some(twin) };
        let world = saga_world(saga::Twin::DEFINITION, trouble)?;
        all.push(report::refuted(&format!("saga, broken: {}", twin.name()), &world, limits));
    }
    for twin in leases::Twin::ALL.into_iter().filter(|_| chosen(WhichTwins::Leases)) {
        let world = leases::World::new(twin.size(), Some(twin))?;
        all.push(report::refuted(&format!("leases, broken: {}", twin.name()), &world, limits));
    }
    for twin in stock::Twin::ALL.into_iter().filter(|_| chosen(WhichTwins::Stock)) {
        let world = stock::World::new(twin.size(), Some(twin))?;
        all.push(report::refuted(&format!("stock, broken: {}", twin.name()), &world, limits));
    }
    for twin in stock::Twin::HARMLESS.into_iter().filter(|_| chosen(WhichTwins::Stock)) {
        let world = stock::World::new(twin.size(), Some(twin))?;
        all.push(report::holds(&format!("stock, one guard of two left out: {}", twin.name()), &world, limits));
    }
    Ok(Verdict::of(all))
}
