//! The promise of this crate, held against its own sources: no clock, no chance, no I/O, no unordered map.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What the machine may depend on. None of these brings a clock, a source of randomness or I/O with the
/// features that are chosen.
const DEPENDENCIES: [&str; 8] = ["hmac", "itoa", "serde", "serde_json", "sha2", "thiserror", "time", "uuid"];

/// What must not stand in the sources, and why.
const FORBIDDEN: [(&str, &str); 24] = [
    ("async ", "nothing here waits"),
    (".await", "nothing here waits"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("now_utc", "time is an argument"),
    ("Utc::now", "time is an argument"),
    ("HashMap", "its order differs between runs"),
    ("HashSet", "its order differs between runs"),
    ("RandomState", "chance is derived from the saga's secret"),
    ("rand::", "chance is derived from the saga's secret"),
    ("getrandom", "chance is derived from the saga's secret"),
    ("new_v4", "ids are arguments"),
    ("now_v7", "ids are arguments"),
    ("std::fs", "no I/O"),
    ("std::net", "no I/O"),
    ("std::io", "no I/O"),
    ("std::env", "settings are arguments"),
    ("std::thread", "no threads"),
    ("std::process", "no processes"),
    ("thread_local", "no hidden state"),
    ("static mut", "no hidden state"),
    ("Mutex", "no shared state"),
    ("println!", "no output"),
    ("unsafe", "no need"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The sources, comments left out.
fn code() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    sources(&Path::new(ROOT).join("src"), &mut paths);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path, lines.join("\n"))
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_sources_reach_for_nothing_impure() {
    let code = code();
    assert!(code.len() > 20, "the sources were found");
    for (path, text) in &code {
        for (word, why) in FORBIDDEN {
            assert!(!text.contains(word), "{} contains {word:?}: {why}", path.display());
        }
    }
}

#[test]
fn floating_point_stays_out() {
    // What serde calls to pass a number over.
    const PASSED_OVER: &str = "fn visit_f64<E>(self, _: f64)";
    for (path, text) in code() {
        let text = text.replace(PASSED_OVER, "");
        for word in ["f64", "f32"] {
            assert!(!text.contains(word), "{} contains {word}: money and time are whole numbers", path.display());
        }
    }
}

#[test]
fn the_dependencies_are_those_that_are_allowed() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap();
    let names: Vec<&str> = section
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(['.', ' ', '=']).next().unwrap())
        .collect();
    assert_eq!(names, DEPENDENCIES);
    assert!(!manifest.contains("[build-dependencies]"));
}

#[test]
fn files_stay_small() {
    for (path, text) in code() {
        assert!(text.lines().count() <= 400, "{} is too long to be about one thing", path.display());
    }
}
