//! The state machine as tables, row by row: what an event makes of a saga.
//!
//! A row of the text files is a label, then `definition | what happened before | the event`, then what became of
//! it. The words of both are explained in `support/script.rs`; `UPRZ` is a definition with one letter a step. With
//! `TABLE=print` in the environment the test prints what it finds, to be read against the design and taken over.

mod support;

use support::{Run, definitions, script};

struct Case<'t> {
    label: &'t str,
    given: &'t str,
    expected: &'t str,
}

fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let lines: Vec<&str> = block.trim_start_matches('\n').lines().map(str::trim).collect();
        let [label, given, expected] = lines[..] else { panic!("a case has three lines: {block}") };
        Case { label, given, expected }
    })
}

/// Plays each case and compares what `describe` says of it.
#[track_caller]
fn check(text: &str, describe: impl Fn(&Run, &saga_model::advance::Advance) -> String) {
    let print = std::env::var_os("TABLE").is_some();
    let mut wrong = Vec::new();
    for Case { label, given, expected } in cases(text) {
        let parts: Vec<&str> = given.split('|').map(str::trim).collect();
        let [definition, before, event] = parts[..] else { panic!("{given}: three parts") };
        let mut run = Run::start(definitions::short(definition));
        script::perform(&mut run, before);
        let advance = script::perform(&mut run, event).expect("there is an event");
        let found = describe(&run, &advance);
        if print {
            println!("{label}\n  {given}\n  {found}\n");
        } else if found != expected {
            wrong.push(format!("{label}\n  {given}\n  expected {expected}\n  found    {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn replies() {
    check(include_str!("table/replies.txt"), script::summary);
}

#[test]
fn sagas() {
    check(include_str!("table/sagas.txt"), script::summary);
}

#[test]
fn verbs() {
    check(include_str!("table/verbs.txt"), script::summary);
}

#[test]
fn steps() {
    check(include_str!("table/steps.txt"), |run, _| script::steps(run));
}

#[test]
fn tables_are_whole() {
    let count = |text| cases(text).count();
    assert!(count(include_str!("table/replies.txt")) >= 30, "the parser found the rows");
    assert!(count(include_str!("table/steps.txt")) >= 30, "the parser found the rows");
}
