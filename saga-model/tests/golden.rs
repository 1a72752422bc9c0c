//! Formats that others read: what goes over the wire, what is stored, what the API answers. A snapshot that
//! changes breaks somebody, unless a field was merely added.

mod support;

use std::fmt::Write;

use saga_model::Micros;
use saga_model::effect::Effect;
use saga_model::event::Verb;
use saga_model::history::Emitted;
use saga_model::json::RawJson;
use saga_model::render::Tree;
use saga_model::state::{CommandRef, Kind, Outcome};
use saga_model::view::{DefinitionView, EventView, Parts, SagaView, Taken, order_view};
use saga_model::wire::{SagaInput, command, domain_event, reply};
use support::{Run, Say, definitions, replay, skip};

const INPUT: &str = r#"{"userId":"11111111-1111-1111-1111-111111111111","amount":499.99,"currency":"USD","items":{"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa":2,"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb":0},"paymentMethod":"pm_approve"}"#;

fn input() -> RawJson {
    RawJson::from_string(INPUT.to_owned()).unwrap()
}

/// A saga, with every command as it was written when it was sent.
struct Recorded {
    run: Run,
    commands: String,
}

impl Recorded {
    fn start() -> Self {
        let mut recorded = Self { run: Run::start(definitions::order()), commands: String::new() };
        recorded.record();
        recorded
    }

    fn record(&mut self) {
        let run = &self.run;
        let Some(next) = run.rows.last().and_then(|row| row.data.next.as_ref()) else { return };
        let command = run.command(&next.step, next.kind, next.round, next.attempt);
        let bytes = command::write(&run.definition, &run.saga, &SagaInput::new(&input()), command, 3).unwrap();
        writeln!(self.commands, "{}", String::from_utf8(bytes).unwrap()).unwrap();
    }

    fn answer(&mut self, say: Say) {
        self.run.answer(say);
        self.record();
    }

    fn retry(&mut self) {
        self.run.retry();
        self.record();
    }

    fn verb(&mut self, verb: Verb) {
        self.run.verb(verb);
        self.record();
    }

    /// Confirmed, then compensated; the refund is refused once, the release fails and is waived.
    fn eventful() -> Self {
        let mut it = Self::start();
        it.answer(Say::Again("BUSY"));
        it.retry();
        it.answer(Say::Done);
        it.answer(Say::Done);
        let notice = it.run.in_flight();
        it.verb(Verb::Compensate);
        it.answer(Say::No("CLOSED"));
        it.verb(replay());
        it.answer(Say::Undone);
        it.verb(Verb::Pause);
        it.verb(Verb::Resume);
        it.answer(Say::No("LOCKED"));
        it.verb(skip("reserve-inventory"));
        let late = it.run.reply(notice, Say::Done);
        it.run.go(&late);
        it.answer(Say::Silence);
        it.retry();
        it.answer(Say::Done);
        it
    }
}

fn lines(items: impl IntoIterator<Item = impl serde::Serialize>) -> String {
    items.into_iter().map(|item| serde_json::to_string(&item).unwrap() + "\n").collect()
}

fn parts<'a>(run: &'a Run, input: &'a RawJson, taken: Taken) -> Parts<'a> {
    Parts {
        definition: &run.definition,
        saga: &run.saga,
        input,
        business_key: Some("order 7"),
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        taken,
    }
}

#[test]
fn commands() {
    let mut happy = Recorded::start();
    for _ in 0..3 {
        happy.answer(Say::Done);
    }
    insta::assert_snapshot!("commands_happy", happy.commands);
    insta::assert_snapshot!("commands_eventful", Recorded::eventful().commands);
}

#[test]
fn commands_of_any_object() {
    let run = Run::start(definitions::short("UPZ"));
    let input = RawJson::from_string(r#"{ "any": [1.0, null] }"#.to_owned()).unwrap();
    let bytes = command::write(&run.definition, &run.saga, &SagaInput::new(&input), run.in_flight(), 1).unwrap();
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
}

#[test]
fn replies() {
    let run = Run::start(definitions::order());
    let bytes = command::write(&run.definition, &run.saga, &SagaInput::new(&input()), run.in_flight(), 3).unwrap();
    let command = command::parse(&bytes).unwrap();
    let written = |outcome, say: Say| {
        let (output, error) = (say.output(), say.error());
        String::from_utf8(reply::write(&command, outcome, output.as_ref(), error.as_ref()).unwrap()).unwrap()
    };
    let all = [
        written(Outcome::Succeeded, Say::Done),
        written(Outcome::Rejected, Say::No("INSUFFICIENT_STOCK")),
        written(Outcome::Retryable, Say::Again("BUSY")),
        written(Outcome::Unknown, Say::Perhaps),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn domain_events() {
    let told = |run: &Run| {
        let mut all = String::new();
        for row in &run.rows {
            for event in &row.data.emit {
                let body = domain_event::write(&run.definition, run.saga.id, &SagaInput::new(&input()), event).unwrap();
                let id = domain_event::id(run.saga.id, row.seq, &event.topic);
                writeln!(all, "{id}\n  {}", String::from_utf8(body).unwrap()).unwrap();
            }
        }
        all
    };
    let mut declined = Recorded::start();
    declined.answer(Say::Done);
    declined.answer(Say::No("PAYMENT_DECLINED"));
    declined.answer(Say::Undone);
    insta::assert_snapshot!("domain_events_declined", told(&declined.run));
    insta::assert_snapshot!("domain_events_eventful", told(&Recorded::eventful().run));
}

#[test]
fn events_are_in_the_effects_as_in_the_rows() {
    let run = Recorded::eventful().run;
    let rows: Vec<Emitted> = run.rows.iter().flat_map(|row| row.data.emit.clone()).collect();
    let effects: Vec<Emitted> = run
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Emit { topic, reason } => Some(Emitted { topic: topic.clone(), reason: reason.clone() }),
            Effect::Send(_) | Effect::Finish(_) => None,
        })
        .collect();
    assert_eq!(rows, effects);
}

#[test]
fn history() {
    let run = Recorded::eventful().run;
    let input = input();
    insta::assert_snapshot!(lines(run.rows.iter().map(|row| EventView::of(&run.definition, row, &input))));
}

#[test]
fn state_as_it_is_stored() {
    let run = Recorded::eventful().run;
    insta::assert_snapshot!(serde_json::to_string_pretty(&run.saga).unwrap());
}

#[test]
fn views() {
    let input = input();
    let until = Micros(support::START.0 + 60_000_000);
    let mut run = Run::start(definitions::order());
    let mut all = vec![
        SagaView::of(parts(&run, &input, Taken::Yes { until })),
        SagaView::of(parts(&run, &input, Taken::No)),
        SagaView::of(parts(&run, &input, Taken::Unknown)),
    ];
    let mut shown: String = all.drain(..).map(|view| serde_json::to_string(&view).unwrap() + "\n").collect();
    let mut show = |run: &Run| {
        let view = SagaView::of(parts(run, &input, Taken::Unknown));
        writeln!(shown, "{}", serde_json::to_string(&view).unwrap()).unwrap();
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<SagaView<'_>>(&text).unwrap(), view, "clients read what is written");
    };
    run.answer(Say::Again("BUSY"));
    show(&run);
    run.verb(Verb::Pause);
    show(&run);
    run.verb(Verb::Resume);
    run.answer(Say::Done);
    run.answer(Say::No("PAYMENT_DECLINED"));
    run.answer(Say::No("LOCKED"));
    show(&run);
    run.verb(skip("reserve-inventory"));
    run.answer(Say::Done);
    show(&run);
    let entry = SagaView::entry(parts(&run, &input, Taken::Unknown));
    writeln!(shown, "{}", serde_json::to_string(&entry).unwrap()).unwrap();
    insta::assert_snapshot!(shown);
}

#[test]
fn orders() {
    let input = input();
    let mut run = Run::start(definitions::order());
    let mut shown = lines([order_view(&run.saga, &input).unwrap()]);
    run.answer(Say::Done);
    run.answer(Say::No("PAYMENT_DECLINED"));
    run.answer(Say::Undone);
    shown += &lines([order_view(&run.saga, &input).unwrap()]);
    let plain = RawJson::from_string(INPUT.replace(r#","paymentMethod":"pm_approve""#, "")).unwrap();
    let mut resolved = Run::start(definitions::order());
    resolved.answer(Say::Done);
    resolved.answer(Say::Done);
    resolved.answer(Say::No("NO_ADDRESS"));
    resolved.verb(Verb::Resolve);
    shown += &lines([order_view(&resolved.saga, &plain).unwrap()]);
    insta::assert_snapshot!(shown);
}

#[test]
fn verbs() {
    let other = RawJson::from_string(r#"{ "n": 1.0 }"#.to_owned()).unwrap();
    let verbs = [
        replay(),
        Verb::Replay { from_step: Some("a".to_owned()), input: Some(other) },
        Verb::Cancel,
        Verb::Compensate,
        Verb::Pause,
        Verb::Resume,
        skip("a"),
        Verb::Resolve,
    ];
    for verb in &verbs {
        let text = serde_json::to_string(verb).unwrap();
        assert_eq!(&serde_json::from_str::<Verb>(&text).unwrap(), verb);
    }
    assert!(serde_json::from_str::<Verb>(r#"{"verb":"skip"}"#).is_err());
    insta::assert_snapshot!(lines(verbs));
}

#[test]
fn definition() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&DefinitionView::of(&definitions::order())).unwrap());
    // The digest under which (order-fulfilment, 1) is pinned: another one needs another version.
    insta::assert_snapshot!("definition_digest", definitions::order().blueprint().digest());
}

#[test]
fn trees() {
    let input = input();
    let mut run = Run::start(definitions::order());
    let mut shown = Tree(&SagaView::of(parts(&run, &input, Taken::No))).to_string();
    run.answer(Say::Done);
    for _ in 0..4 {
        run.answer(Say::Silence);
        run.retry();
    }
    run.answer(Say::Silence);
    run.answer(Say::Again("GATEWAY_BUSY"));
    shown += &Tree(&SagaView::of(parts(&run, &input, Taken::Unknown))).to_string();
    run.retry();
    run.answer(Say::No("CLOSED"));
    shown += &Tree(&SagaView::of(parts(&run, &input, Taken::Unknown))).to_string();
    run.verb(Verb::Resolve);
    shown += &Tree(&SagaView::of(parts(&run, &input, Taken::Unknown))).to_string();
    insta::assert_snapshot!(shown);
}

#[test]
fn keys_and_tokens() {
    let id = support::ID.parse().unwrap();
    assert_eq!(
        saga_model::wire::idempotency_key(id, "charge-payment", 1),
        "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b/charge-payment"
    );
    assert_eq!(
        saga_model::wire::idempotency_key(id, "charge-payment", 2),
        "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b/charge-payment/2"
    );
    let tokens = [(Kind::Action, 1), (Kind::Action, 2), (Kind::Compensate, 1)]
        .map(|(kind, round)| saga_model::wire::token(support::SECRET, "charge-payment", kind, round));
    insta::assert_snapshot!(tokens.join("\n"));
    let delays = (1..=8).map(|attempt| {
        let command = CommandRef { step: saga_model::definition::StepIndex(1), kind: Kind::Action, round: 1, attempt };
        saga_model::retry::delay(&definitions::policy(), support::SECRET, "charge-payment", command, attempt)
            .to_string()
    });
    insta::assert_snapshot!("delays", delays.collect::<Vec<_>>().join("\n"));
}
