//! Flags alone: what the environment adds is tested in a process of its own (`tests/settings_env.rs`).

use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::exit::Stop;
use crate::keys::Scope;

/// Everything at once, as no command has it.
#[derive(Parser, Debug)]
struct All {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    timing: TimingArgs,
    #[command(flatten)]
    topics: KafkaTopicArgs,
}

const NEEDED: [&str; 5] = ["all", "--database-url", "postgres://u:pass@h/d", "--kafka-brokers", "k1:9092, k2:9093"];

fn read(flags: &[&str]) -> Result<All, clap::Error> {
    parse_flags(NEEDED.iter().chain(flags).map(OsString::from))
}

/// Reads flags alone: whoever runs the tests may have set the variables.
fn parse_flags(arguments: impl IntoIterator<Item = OsString>) -> Result<All, clap::Error> {
    parse_as(All::command().mut_args(|arg| arg.env(None::<&'static str>)), arguments)
}

#[test]
fn defaults() {
    let all = read(&[]).unwrap();
    assert_eq!(all.connections.database_url.expose(), "postgres://u:pass@h/d");
    assert_eq!(all.connections.kafka_brokers.as_str(), "k1:9092,k2:9093");
    assert!(matches!(all.connections.require_redis(), Err(Stop::Usage(_))));
    let default: ListenAddr = "127.0.0.1:8081".parse().unwrap();
    assert_eq!(all.http.listen_addr(default.clone()), default);
    assert!(all.http.api_keys().is_open(Scope::Submit) && all.http.api_keys().is_open(Scope::Read));
    assert_eq!(all.timing.resolve(Timing::SERVE), Ok(Timing::SERVE));
    assert_eq!(all.timing.resolve(Timing::DEV), Ok(Timing::DEV));
    assert_eq!(all.http.shutdown_grace(), Duration::from_secs(1));
    assert_eq!(all.topics.kafka_partitions.get(), 4);
    assert_eq!(all.topics.kafka_replication, None);
}

#[test]
fn the_defaults_of_timing() {
    let table = |timing: Timing| {
        let policy = timing.policy;
        let durations =
            [policy.step_timeout, policy.retry_base, policy.retry_cap, policy.saga_deadline, timing.lease_timeout];
        (durations.map(crate::duration::write), policy.step_attempts, policy.compensation_attempts)
    };
    assert_eq!(table(Timing::SERVE), (["10s", "500ms", "30s", "24h", "10s"].map(str::to_owned), 5, 10));
    assert_eq!(table(Timing::DEV), (["3s", "100ms", "2s", "24h", "10s"].map(str::to_owned), 5, 10));
}

#[test]
fn a_first_delay_above_the_longest_is_refused() {
    let delays = |flags: &[&str]| {
        let policy = read(flags).unwrap().timing.resolve(Timing::DEV)?.policy;
        Ok((policy.retry_base.0, policy.retry_cap.0))
    };
    let both: Result<(u64, u64), Stop> = delays(&["--retry-base=2s", "--retry-cap=1s"]);
    assert!(matches!(&both, Err(Stop::Usage(why)) if why.contains("RETRY_BASE is 2s and RETRY_CAP 1s")), "{both:?}");
    assert_eq!(delays(&["--retry-base=1s", "--retry-cap=1s"]), Ok((1_000, 1_000)));
    assert_eq!(delays(&["--retry-base=5s"]), Ok((5_000, 5_000)), "a default gives way");
    assert_eq!(delays(&["--retry-cap=50ms"]), Ok((50, 50)), "a default gives way");
}

#[test]
fn flags_are_read() {
    let all = read(&[
        "--redis-url=redis://r",
        "--http-addr=:0",
        "--saga-api-keys=ops:s3cret:read+admin",
        "--saga-open-scopes=",
        "--shutdown-grace=0ms",
        "--rust-log=debug,service=trace",
        "--log-format=text",
        "--otel-exporter-otlp-endpoint=http://c:4318/",
        "--step-timeout=1s",
        "--step-attempts=1",
        "--compensation-attempts=2",
        "--retry-base=3ms",
        "--retry-cap=4m",
        "--saga-deadline=5h",
        "--lease-timeout=6s",
        "--kafka-partitions=64",
        "--kafka-replication=3",
    ])
    .unwrap();
    assert_eq!(all.connections.require_redis().unwrap().expose(), "redis://r");
    assert_eq!(all.http.given_addr().unwrap().as_str(), "0.0.0.0:0");
    let keys = all.http.api_keys();
    assert!(!keys.is_open(Scope::Submit) && !keys.is_open(Scope::Read));
    assert_eq!(all.http.shutdown_grace(), Duration::ZERO);
    assert_eq!(all.log.format(), LogFormat::Text);
    assert_eq!(all.log.otel_exporter_otlp_endpoint.unwrap().traces_url(), "http://c:4318/v1/traces");
    let timing = all.timing.resolve(Timing::DEV).unwrap();
    let policy = timing.policy;
    assert_eq!((policy.step_timeout.0, policy.step_attempts, policy.compensation_attempts), (1_000, 1, 2));
    assert_eq!((policy.retry_base.0, policy.retry_cap.0), (3, 240_000));
    assert_eq!((policy.saga_deadline.0, timing.lease_timeout.0), (18_000_000, 6_000));
    assert_eq!((all.topics.kafka_partitions.get(), all.topics.kafka_replication), (64, Some(3)));
}

#[test]
fn malformed_ones_say_what_to_write_and_end_with_2() {
    for (flag, says) in [
        ("--http-addr=8081", "host:port"),
        ("--http-addr=127.0.0.1:80810", "host:port"),
        ("--http-addr=[::1:80", "host:port"),
        ("--saga-open-scopes=read,write", "submit, read"),
        ("--saga-open-scopes=admin", "admin"),
        ("--saga-open-scopes=read,,submit", "submit, read"),
        ("--shutdown-grace=5s", "at most 4s"),
        ("--shutdown-grace=1", "ms, s, m or h"),
        ("--rust-log=noise=very", "level"),
        ("--log-format=xml", "json"),
        ("--otel-exporter-otlp-endpoint=collector:4318", "http://host:port"),
        ("--otel-exporter-otlp-endpoint=https://collector", "http://host:port"),
        ("--step-timeout=10", "ms, s, m or h"),
        ("--step-timeout=0s", "above 0"),
        ("--step-attempts=0", "from 1"),
        ("--step-attempts=+5", "from 1"),
        ("--compensation-attempts=2147483648", "from 1"),
        ("--kafka-partitions=3", "1, 2, 4"),
        ("--kafka-partitions=128", "1, 2, 4"),
        ("--kafka-replication=0", "from 1"),
        ("--redis-url=localhost:6379", "redis://host:port"),
        ("--no-such-flag", "--no-such-flag"),
    ] {
        let error = read(&[flag]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{flag}");
        assert!(error.to_string().contains(says), "{flag}: {error}");
    }
    let missing = parse_flags(["all".into()]).unwrap_err();
    assert_eq!((missing.kind(), missing.exit_code()), (ErrorKind::MissingRequiredArgument, 2));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", read(&["--redis-url=redis://:hush@r", "--saga-api-keys=ops:hush:read"]).unwrap());
    assert!(!shown.contains("hush") && !shown.contains("pass"), "{shown}");
    let wrong_database = try_parse_from::<All>(["all", "--database-url=mysql://u:hush@h"].map(OsString::from));
    let wrong_keys = read(&["--saga-api-keys=ops:hush:reed"]);
    let wrong_redis = read(&["--redis-url=rediss://:hush@r"]);
    for error in [wrong_database, wrong_keys, wrong_redis].map(Result::unwrap_err) {
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::ValueValidation, 2));
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
