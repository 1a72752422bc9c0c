//! Settings from the environment. The environment belongs to the whole process, so this is one test.

use clap::Parser;
use service::keys::Scope;
use service::settings::{Connections, HttpArgs, LogArgs, Timing, TimingArgs, try_parse_from};

#[derive(Parser, Debug)]
struct Saga {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Serve {
        #[command(flatten)]
        connections: Box<Connections>,
        #[command(flatten)]
        http: Box<HttpArgs>,
        #[command(flatten)]
        log: Box<LogArgs>,
        #[command(flatten)]
        timing: Box<TimingArgs>,
    },
}

fn serve(flags: &[&str]) -> Result<(Connections, HttpArgs, LogArgs, TimingArgs), clap::Error> {
    let arguments = ["saga", "serve"].iter().chain(flags).map(std::ffi::OsString::from);
    let Command::Serve { connections, http, log, timing } = try_parse_from::<Saga>(arguments)?.command;
    Ok((*connections, *http, *log, *timing))
}

fn set(variables: &[(&str, &str)]) {
    for (name, value) in variables {
        // SAFETY: this test is the only one of its process, and no other thread of it reads the environment.
        unsafe { std::env::set_var(name, value) };
    }
}

#[test]
fn the_environment_is_read_and_flags_win() {
    set(&[
        ("DATABASE_URL", "postgres://u:hush@h/d"),
        ("KAFKA_BROKERS", "k:9092"),
        // As a compose file passes on what nobody has set.
        ("REDIS_URL", ""),
        ("HTTP_ADDR", ""),
        ("SAGA_API_KEYS", ""),
        ("SAGA_OPEN_SCOPES", ""),
        ("RUST_LOG", ""),
        ("LOG_FORMAT", ""),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("STEP_TIMEOUT", ""),
        ("STEP_ATTEMPTS", "7"),
    ]);
    let (connections, http, log, timing) = serve(&[]).unwrap();
    assert_eq!(connections.kafka_brokers.as_str(), "k:9092");
    assert!(connections.require_redis().is_err() && http.given_addr().is_none());
    assert!(log.otel_exporter_otlp_endpoint.is_none() && log.rust_log.is_none());
    let timing = timing.resolve(Timing::SERVE).unwrap();
    assert_eq!((timing.policy.step_timeout.0, timing.policy.step_attempts), (10_000, 7));
    assert!(!http.api_keys().is_open(Scope::Submit), "set and empty: nothing is open");

    let (connections, _, _, timing) = serve(&["--step-attempts=8", "--kafka-brokers=other:1"]).unwrap();
    assert_eq!(timing.resolve(Timing::SERVE).unwrap().policy.step_attempts, 8);
    assert_eq!(connections.kafka_brokers.as_str(), "other:1");

    let help = serve(&["--help"]).unwrap_err();
    assert_eq!(help.exit_code(), 0);
    assert!(help.to_string().contains("DATABASE_URL") && !help.to_string().contains("hush"), "{help}");

    set(&[("STEP_TIMEOUT", "soon")]);
    let malformed = serve(&[]).unwrap_err();
    assert_eq!(malformed.exit_code(), 2);
    assert!(malformed.to_string().contains("ms, s, m or h"), "{malformed}");

    set(&[("STEP_TIMEOUT", "1s"), ("SAGA_API_KEYS", "ops:hush:everything")]);
    let malformed = serve(&[]).unwrap_err();
    assert_eq!(malformed.exit_code(), 2);
    assert!(malformed.to_string().contains("submit, read or admin") && !malformed.to_string().contains("hush"));

    set(&[("SAGA_API_KEYS", "ops:hush:admin"), ("SAGA_OPEN_SCOPES", "read,admin")]);
    assert_eq!(serve(&[]).unwrap_err().exit_code(), 2);

    set(&[("SAGA_OPEN_SCOPES", "read"), ("DATABASE_URL", "")]);
    assert_eq!(serve(&[]).unwrap_err().exit_code(), 2, "an empty address is none");
}
