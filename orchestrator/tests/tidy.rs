//! The house stays in order: which crate may know which, and where a library may be named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The crates of this workspace that `name` depends on, tests aside.
fn arrows(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let dependencies = text.split("\n[dependencies]").nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    let ours = ["saga-model", "service", "migrations", "workers", "orchestrator"];
    let named = |line: &str| ours.iter().find(|crate_name| line.starts_with(&format!("{crate_name}."))).copied();
    dependencies.lines().filter_map(named).map(str::to_owned).collect()
}

#[test]
fn arrows_go_one_way() {
    let check = |name: &str, allowed: &[&str]| {
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let found = arrows(name);
        assert!(found.is_subset(&allowed), "{name} may know {allowed:?} and knows {found:?}");
    };
    check("saga-model", &[]);
    check("service", &["saga-model"]);
    check("migrations", &[]);
    check("workers", &["saga-model", "service", "migrations"]);
    check("orchestrator", &["saga-model", "service", "migrations", "workers"]);
}

/// All Rust files below `folder`, with their text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_library_is_named_in_one_place() {
    let source = root().join("orchestrator/src");
    let places = [
        ("rdkafka", vec!["bus/kafka", "bin"]),
        ("sqlx", vec!["store", "bin"]),
        ("sea_orm", vec!["store", "app"]),
        ("axum", vec!["http", "app"]),
        ("reqwest", vec!["cli", "bin"]),
        ("workers::", vec!["app", "bus/local"]),
    ];
    for (path, text) in sources(&source) {
        let place = path.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        for (library, allowed) in &places {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let named = code
                .clone()
                .any(|line| line.contains(&format!("{library}::")) || line.contains(&format!("use {library}")));
            assert!(!named || allowed.iter().any(|folder| place.starts_with(folder)), "{place} names {library}");
        }
    }
}

#[test]
fn no_file_is_a_god() {
    for name in ["saga-model", "service", "migrations", "workers", "orchestrator"] {
        for (path, text) in sources(&root().join(name).join("src")) {
            let lines = text.lines().count();
            assert!(lines <= 400, "{} has {lines} lines", path.display());
        }
    }
}
