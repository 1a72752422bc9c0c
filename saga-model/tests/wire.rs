//! What is read off the wire, and which code a message that cannot be read has.

mod support;

use saga_model::advance::MAX_SAGA_BYTES;
use saga_model::event::{Event, Reply};
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind, Outcome};
use saga_model::wire::{
    DeadLetterCode, MAX_MESSAGE_BYTES, MAX_OUTPUT_BYTES, SagaInput, command, reply, token, token_is,
};
use support::{Run, Say, definitions};

const GOOD: [(&str, &str); 7] = [
    ("sagaId", r#""0192A1B2-c3d4-7e5f-8a9b-0c1d2e3f4a5b""#),
    ("step", r#""charge-payment""#),
    ("kind", r#""ACTION""#),
    ("round", "1"),
    ("attempt", "2"),
    ("token", r#""abc""#),
    ("outcome", r#""SUCCEEDED""#),
];

/// A good reply with members replaced or added, or left out (an empty text).
fn with(changes: &[(&str, &str)]) -> String {
    let mut members: Vec<(&str, &str)> = GOOD.to_vec();
    for (name, value) in changes {
        members.retain(|(key, _)| key != name);
        if !value.is_empty() {
            members.push((name, value));
        }
    }
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[track_caller]
fn check(message: &str, code: DeadLetterCode) {
    let shown: String = message.chars().take(200).collect();
    match reply::parse(message.as_bytes()) {
        Err(unreadable) => assert_eq!(unreadable.code, code, "{shown}: {}", unreadable.detail),
        Ok(reply) => panic!("{shown} was read as {reply:?}"),
    }
}

#[test]
fn a_reply_is_read() {
    let text = with(&[
        ("output", r#"{ "price": 1.50, "big": 12345678901234567890123 }"#),
        ("error", r#"{"code":"C","message":"m","more":[1]}"#),
        ("somethingNew", "null"),
    ]);
    let reply = reply::parse(text.as_bytes()).unwrap();
    assert_eq!(reply.saga_id.to_string(), "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    assert_eq!((reply.step.as_str(), reply.kind, reply.round, reply.attempt), ("charge-payment", Kind::Action, 1, 2));
    assert_eq!((reply.token.as_str(), reply.outcome), ("abc", Outcome::Succeeded));
    assert_eq!(reply.output.unwrap().get(), r#"{ "price": 1.50, "big": 12345678901234567890123 }"#);
    assert_eq!(reply.error, Some(Failure::new("C", "m")));
    for (word, outcome) in
        [("REJECTED", Outcome::Rejected), ("RETRYABLE", Outcome::Retryable), ("UNKNOWN", Outcome::Unknown)]
    {
        let text = with(&[("outcome", &format!("\"{word}\"")), ("kind", "\"COMPENSATE\"")]);
        let reply = reply::parse(text.as_bytes()).unwrap();
        assert_eq!((reply.outcome, reply.kind), (outcome, Kind::Compensate));
    }
    for (round, attempt) in [("2147483647", "1"), ("1", "2147483647")] {
        assert!(reply::parse(with(&[("round", round), ("attempt", attempt)]).as_bytes()).is_ok());
    }
}

#[test]
fn one_thing_wrong() {
    use DeadLetterCode::{MissingField, NotJson, TooLarge, UnknownOutcome, WrongType};
    for text in ["", " ", "{", "nul", "{}{}", "\u{feff}{}", r#"{"a":"\ud800"}"#] {
        check(text, NotJson);
    }
    check(&with(&[("output", &format!("{{\"a\":{}1{}}}", "[".repeat(31), "]".repeat(31)))]), NotJson);
    for text in ["null", "[]", "1", "\"text\""] {
        check(text, WrongType);
    }
    for (name, _) in GOOD {
        check(&with(&[(name, "")]), MissingField);
        check(&with(&[(name, "null")]), WrongType);
        check(&with(&[(name, "{}")]), WrongType);
        check(&with(&[(name, "[1]")]), WrongType);
        check(&with(&[(name, "true")]), WrongType);
    }
    check(&with(&[("sagaId", r#""not a uuid""#)]), WrongType);
    check(&with(&[("sagaId", r#""0192a1b2c3d47e5f8a9b0c1d2e3f4a5b""#)]), WrongType);
    check(&with(&[("kind", r#""action""#)]), WrongType);
    for number in ["0", "-1", "1.0", "1e0", "2147483648", "99999999999999999999", "\"1\""] {
        check(&with(&[("round", number)]), WrongType);
        check(&with(&[("attempt", number)]), WrongType);
    }
    for name in ["output", "error"] {
        for value in ["null", "[]", "1", "\"text\"", "false"] {
            check(&with(&[(name, value)]), WrongType);
        }
    }
    check(&with(&[("error", r#"{"code":1}"#)]), WrongType);
    check(&with(&[("error", r#"{"message":null}"#)]), WrongType);
    check(&format!("{{\"round\":1,{}", &with(&[])[1..]), WrongType);
    check(&with(&[("output", r#"{"a":{"b":1,"b":2}}"#)]), WrongType);
    check(&with(&[("outcome", r#""DONE""#)]), UnknownOutcome);
    check(&with(&[("outcome", r#""succeeded""#)]), UnknownOutcome);
    check(&with(&[("padding", &format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES)))]), TooLarge);
}

#[test]
fn of_several_the_first_counts() {
    use DeadLetterCode::{MissingField, NotJson, TooLarge, UnknownOutcome, WrongType};
    let huge = "x".repeat(MAX_MESSAGE_BYTES + 1);
    check(&huge, TooLarge); // and no JSON
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_OUTPUT_BYTES));
    check(&with(&[("output", &big), ("round", "null")]), TooLarge);
    check(&with(&[("output", &big), ("step", "")]), TooLarge);
    check(&with(&[("output", &big[5..big.len() - 1])]), TooLarge); // a string, and too large a one
    check(&with(&[("output", &big[..big.len() - 1])]), NotJson);
    check(&with(&[("step", ""), ("error", "1")]), WrongType); // the wrong one stands after the missing one
    check(&with(&[("outcome", "1"), ("sagaId", "")]), WrongType);
    check(&with(&[("outcome", r#""DONE""#), ("token", "")]), MissingField);
    check(&with(&[("outcome", r#""DONE""#), ("output", "[]")]), WrongType);
    check(&with(&[("outcome", r#""DONE""#)]), UnknownOutcome);
}

#[test]
fn limits_are_inclusive() {
    let frame = "{\"a\":\"\"}".len();
    let output = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - frame));
    assert!(reply::parse(with(&[("output", &output(MAX_OUTPUT_BYTES))]).as_bytes()).is_ok());
    check(&with(&[("output", &output(MAX_OUTPUT_BYTES + 1))]), DeadLetterCode::TooLarge);
    let padded = |bytes: usize| {
        let frame = with(&[("padding", "\"\"")]).len();
        with(&[("padding", &format!("\"{}\"", "x".repeat(bytes - frame)))])
    };
    assert_eq!(padded(MAX_MESSAGE_BYTES).len(), MAX_MESSAGE_BYTES);
    assert!(reply::parse(padded(MAX_MESSAGE_BYTES).as_bytes()).is_ok());
    check(&padded(MAX_MESSAGE_BYTES + 1), DeadLetterCode::TooLarge);
}

#[test]
fn what_a_worker_says_is_bounded() {
    let error = format!(r#"{{"code":"{}","message":"a\u0000b{}"}}"#, "C".repeat(300), "x".repeat(5000));
    let Failure { code, message } = reply::parse(with(&[("error", &error)]).as_bytes()).unwrap().error.unwrap();
    assert_eq!((code.len(), message.chars().count()), (255, 4096));
    assert!(message.starts_with("a\u{fffd}b"));
    let none = reply::parse(with(&[("error", "{}")]).as_bytes()).unwrap().error.unwrap();
    assert_eq!(none, Failure::new("UNSPECIFIED", ""));
    let error = reply::parse(with(&[("outcome", &format!("\"\\u0000{}\"", "y".repeat(9000)))]).as_bytes()).unwrap_err();
    assert!(error.detail.len() < 600 && !error.detail.contains('\0'));
}

#[test]
fn bytes_that_are_no_text() {
    let error = reply::parse(b"{\"step\":\"\xff\"}").unwrap_err();
    assert_eq!(error.code, DeadLetterCode::NotJson);
}

#[test]
fn a_command_is_read_as_it_is_written_and_answered() {
    let run = Run::start(definitions::order());
    let input = RawJson::from_string(
        r#"{"userId":"11111111-1111-1111-1111-111111111111","amount":499.9,"currency":"USD","items":{}}"#.to_owned(),
    )
    .unwrap();
    let bytes = command::write(&run.definition, &run.saga, &SagaInput::new(&input), run.in_flight(), 7).unwrap();
    let command = command::parse(&bytes).unwrap();
    assert_eq!(command.saga_id, run.saga.id);
    assert_eq!((command.step.as_str(), command.kind), ("reserve-inventory", Kind::Action));
    assert_eq!((command.round, command.attempt), (1, 1));
    assert_eq!(command.idempotency_key, format!("{}/reserve-inventory", run.saga.id));
    assert!(token_is(&command.token, run.saga.secret, "reserve-inventory", Kind::Action, 1));

    let output = RawJson::from_string("{\"n\":1.0}".to_owned()).unwrap();
    let bytes = reply::write(&command, Outcome::Succeeded, Some(&output), None).unwrap();
    let reply = reply::parse(&bytes).unwrap();
    assert_eq!((reply.saga_id, reply.step, reply.token), (run.saga.id, command.step, command.token));
    assert_eq!((reply.output, reply.error), (Some(output), None));
}

#[test]
fn commands_that_cannot_be_read() {
    use DeadLetterCode::{MissingField, NotJson, TooLarge, WrongType};
    let code = |text: &str| command::parse(text.as_bytes()).unwrap_err().code;
    assert_eq!(code("x"), NotJson);
    assert_eq!(code("[]"), WrongType);
    assert_eq!(code("{}"), MissingField);
    assert_eq!(code(r#"{"payload":1}"#), WrongType);
    assert_eq!(code(r#"{"kind":"UNDO"}"#), WrongType);
    assert_eq!(code(&"x".repeat(MAX_MESSAGE_BYTES + 1)), TooLarge);
}

/// A saga with as much in it as may be, and a command that carries all of it.
#[test]
fn the_biggest_command_that_is_written_is_read() {
    let mut run = Run::start(definitions::short("UUUUUUUUUP"));
    let answer = |run: &mut Run, say: Say, output: Option<&str>, error: Option<Failure>| {
        let Event::Reply(reply) = run.reply(run.in_flight(), say) else { unreachable!("it is one") };
        let output = output.map(|text| RawJson::from_string(text.to_owned()).unwrap());
        run.go(&Event::Reply(Reply { output, error, ..reply }));
    };
    let output = |run: &mut Run, bytes: usize| {
        // As deep as it may be in a reply, and as long.
        let deep = format!("{{\"deep\":{}{}, \"blob\":\"", "[".repeat(30), "]".repeat(30));
        let text = format!("{deep}{}\"}}", "x".repeat(bytes - deep.len() - 2));
        assert_eq!(text.len(), bytes);
        answer(run, Say::Done, Some(&text), None);
    };
    for _ in 0..7 {
        output(&mut run, MAX_OUTPUT_BYTES);
    }
    output(&mut run, MAX_OUTPUT_BYTES - 12 * 1024);
    // What is kept of an error, in characters that JSON writes with six bytes each.
    let worst = Failure::new(&"\u{1}".repeat(255), "\u{1}".repeat(4_096));
    answer(&mut run, Say::No("x"), None, Some(worst.clone()));
    let input = format!("{{\"deep\":{}{}, \"blob\":\"{}\"}}", "[".repeat(30), "]".repeat(30), "x".repeat(65_400));
    let input = RawJson::from_string(input).unwrap();
    let undo = run.in_flight();
    let bytes = command::write(&run.definition, &run.saga, &SagaInput::new(&input), undo, u64::MAX).unwrap();
    assert!(run.saga.bytes() > MAX_SAGA_BYTES - 4 * 1024 && bytes.len() > 600_000, "{}", bytes.len());
    let read = command::parse(&bytes).unwrap();
    assert_eq!(read.kind, Kind::Compensate);
    let payload: serde_json::Value = serde_json::from_str(read.payload.get()).unwrap();
    assert_eq!(payload["reason"]["message"], worst.message);
    assert_eq!(payload["steps"].as_object().unwrap().len(), 8);
}

#[test]
fn only_outputs_come_on_top_of_what_a_command_may_have() {
    let command = |payload: &str, more: &str| {
        format!(
            r#"{{"sagaId":"0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b","step":"s","kind":"ACTION","round":1,"attempt":1,
                "idempotencyKey":"k","token":"t","payload":{payload}{more}}}"#
        )
    };
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let code = |text: String| command::parse(text.as_bytes()).err().map(|error| error.code);
    let steps = |bytes: usize| format!(r#"{{"steps":{{"a":{}}}}}"#, text(bytes));
    let over = MAX_MESSAGE_BYTES;
    assert_eq!(code(command(&steps(over), "")), None);
    assert_eq!(code(command(&steps(MAX_SAGA_BYTES + over), "")), Some(DeadLetterCode::TooLarge));
    assert_eq!(code(command(&format!("{{\"input\":{}}}", text(over)), "")), Some(DeadLetterCode::TooLarge));
    assert_eq!(code(command("{}", &format!(",\"padding\":{}", text(over)))), Some(DeadLetterCode::TooLarge));
    assert_eq!(code(command(&steps(over), ",")), Some(DeadLetterCode::TooLarge), "what cannot be read carries none");
    let nested = |levels: usize| format!(r#"{{"steps":{{"a":{}{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert_eq!(code(command(&nested(31), "")), None);
    assert_eq!(code(command(&nested(32), "")), Some(DeadLetterCode::NotJson));
}

#[test]
fn tokens_differ_by_question_and_saga() {
    let secret = support::SECRET;
    let token_of = |step, kind, round| token(secret, step, kind, round);
    let first = token_of("a", Kind::Action, 1);
    for other in [
        token_of("b", Kind::Action, 1),
        token_of("a", Kind::Compensate, 1),
        token_of("a", Kind::Action, 2),
        token(saga_model::state::Secret(secret.0 + 1), "a", Kind::Action, 1),
    ] {
        assert_ne!(first, other);
    }
    assert!(token_is(&first, secret, "a", Kind::Action, 1));
    for wrong in [first.to_uppercase(), format!("+{}", &first[1..]), first[1..].to_owned(), String::new()] {
        assert!(!token_is(&wrong, secret, "a", Kind::Action, 1), "{wrong}");
    }
}
