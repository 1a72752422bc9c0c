//! docker-compose.yml, the Dockerfile and the native scripts start the same system.
//!
//! Containers cannot be started everywhere that tests run, so this reads both sides: versions, ports, settings,
//! commands, and how the broker, Postgres and Redis are set. What one side says and the other does not fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

/// Every setting that `saga serve`, `saga migrate` and `worker` know. Anything else in a container's environment is a
/// slip of the pen.
const SETTINGS: &[&str] = &[
    "DATABASE_URL",
    "KAFKA_BROKERS",
    "KAFKA_TOPIC_PREFIX",
    "REDIS_URL",
    "HTTP_ADDR",
    "SHUTDOWN_GRACE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "RUST_LOG",
    "LOG_FORMAT",
    "STEP_TIMEOUT",
    "STEP_ATTEMPTS",
    "COMPENSATION_ATTEMPTS",
    "RETRY_BASE",
    "RETRY_CAP",
    "SAGA_DEADLINE",
    "LEASE_TIMEOUT",
    "SAGA_API_KEYS",
    "SAGA_OPEN_SCOPES",
    "KAFKA_PARTITIONS",
    "KAFKA_REPLICATION",
    "INVENTORY_DEFAULT_STOCK",
    "PAYMENT_SUCCESS_RATE",
];

/// Service in docker-compose.yml, its command, the name of its port in deploy/versions.env.
const PROCESSES: &[(&str, &str, &str)] = &[
    ("orchestrator", "saga serve", "SERVE_PORT"),
    ("inventory", "worker inventory", "INVENTORY_PORT"),
    ("payment", "worker payment", "PAYMENT_PORT"),
    ("notification", "worker notification", "NOTIFICATION_PORT"),
];

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, Scalar>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Option<HealthCheck>,
}

#[derive(Deserialize)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
struct HealthCheck {
    #[serde(default)]
    test: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

impl Service {
    fn variable(&self, name: &str) -> String {
        match self.environment.get(name) {
            Some(Scalar::Number(number)) => number.to_string(),
            Some(Scalar::Text(text)) => text.clone(),
            None => panic!("{name} is not set for the image {}", self.image),
        }
    }
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Lines `name SEPARATOR value`, without comments and quotes.
fn pairs(path: &str, separator: &str) -> BTreeMap<String, String> {
    read(path)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(separator))
        .map(|(name, value)| (name.trim().into(), value.trim().trim_matches('"').into()))
        .collect()
}

fn versions() -> BTreeMap<String, String> {
    pairs("deploy/versions.env", "=")
}

fn compose() -> Compose {
    let mut file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    file.apply_merge().unwrap();
    serde_yaml_ng::from_value(file).unwrap()
}

fn programs(compose: &Compose) -> impl Iterator<Item = (&String, &Service)> {
    let image = &compose.services["orchestrator"].image;
    compose.services.iter().filter(move |(_, service)| service.image == *image)
}

#[test]
fn images_are_of_the_versions_that_run_natively() {
    let (compose, versions) = (compose(), versions());
    for (service, image, version) in [
        ("kafka", "apache/kafka", "KAFKA_VERSION"),
        ("postgres", "postgres", "POSTGRES_MAJOR"),
        ("redis", "redis", "REDIS_MAJOR"),
        ("jaeger", "jaegertracing/jaeger", "JAEGER_VERSION"),
    ] {
        assert_eq!(compose.services[service].image, format!("{image}:{}", versions[version]));
    }
}

#[test]
fn the_dockerfile_builds_with_the_listed_versions() {
    let (dockerfile, versions) = (read("deploy/Dockerfile"), versions());
    for name in ["RUST_VERSION", "DEBIAN_CODENAME", "CARGO_CHEF_VERSION"] {
        let line = format!("ARG {name}={}", versions[name]);
        assert!(dockerfile.lines().any(|l| l == line), "deploy/Dockerfile lacks `{line}`");
    }

    let number = |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    let needed = &pairs("Cargo.toml", "=")["rust-version"];
    assert!(number(&versions["RUST_VERSION"]) >= number(needed), "the workspace needs Rust {needed}");
}

#[test]
fn processes_have_the_same_commands_and_ports() {
    let (compose, versions, run) = (compose(), versions(), read("deploy/local/run"));

    let mut commands = BTreeMap::from([("migrate", "saga migrate".to_string())]);
    for (name, command, port) in PROCESSES {
        let (service, port) = (&compose.services[*name], &versions[*port]);
        commands.insert(name, command.to_string());
        assert_eq!(service.variable("HTTP_ADDR"), format!("0.0.0.0:{port}"));
        assert_eq!(service.ports, [format!("127.0.0.1:{port}:{port}")]);
        assert_eq!(service.healthcheck.as_ref().unwrap().test, ["CMD", "healthcheck", port]);
    }
    let composed: BTreeMap<_, _> = programs(&compose).map(|(name, s)| (name.as_str(), s.command.join(" "))).collect();
    assert_eq!(composed, commands);

    assert!(run.contains("\"$programs/saga\" migrate\n"));
    assert!(run.contains("start serve \"$programs/saga\" serve\n"));
    assert!(
        run.contains("for name in inventory payment notification; do start \"$name\" \"$programs/worker\" \"$name\"")
    );
    for (_, _, port) in PROCESSES {
        assert!(run.contains(&format!("]=${port}")), "deploy/local/run does not use {port}");
    }
}

#[test]
fn the_key_is_public_so_every_port_is_on_the_loopback_address() {
    for (name, service) in &compose().services {
        for port in &service.ports {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn settings_are_known_and_have_the_same_values() {
    let (compose, demo) = (compose(), pairs("deploy/demo.env", "="));
    let known: BTreeSet<&str> = SETTINGS.iter().copied().collect();

    let mut composed = BTreeMap::<&str, BTreeSet<String>>::new();
    for (name, service) in programs(&compose) {
        for setting in service.environment.keys() {
            assert!(known.contains(setting.as_str()), "{name}: unknown setting {setting}");
            composed.entry(setting).or_default().insert(service.variable(setting));
        }
    }
    for (setting, value) in &demo {
        assert!(known.contains(setting.as_str()), "deploy/demo.env: unknown setting {setting}");
        assert_eq!(composed.get(setting.as_str()), Some(&BTreeSet::from([value.clone()])), "{setting}");
    }
    // The shop as people know it, and a divisor of the 64 slots.
    assert_eq!(demo["INVENTORY_DEFAULT_STOCK"], "100");
    assert_eq!(demo["PAYMENT_SUCCESS_RATE"], "0.8");
    assert_eq!(64 % demo["KAFKA_PARTITIONS"].parse::<u32>().unwrap(), 0);
}

#[test]
fn addresses_lead_to_the_services() {
    let compose = compose();
    let (postgres, kafka) = (&compose.services["postgres"], &compose.services["kafka"]);
    let database = format!(
        "postgres://{}:{}@postgres:5432/{}",
        postgres.variable("POSTGRES_USER"),
        postgres.variable("POSTGRES_PASSWORD"),
        postgres.variable("POSTGRES_DB")
    );
    for (_, service) in programs(&compose) {
        assert_eq!(service.variable("DATABASE_URL"), database);
        assert_eq!(service.variable("REDIS_URL"), "redis://redis:6379");
        assert_eq!(service.variable("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://jaeger:4318");
        let broker = format!("INSIDE://{}", service.variable("KAFKA_BROKERS"));
        assert!(kafka.variable("KAFKA_ADVERTISED_LISTENERS").split(',').any(|l| l == broker));
    }
}

#[test]
fn nothing_starts_before_what_it_needs() {
    let compose = compose();
    let conditions = |name: &str| -> BTreeMap<&str, &str> {
        let needs = compose.services[name].depends_on.iter();
        needs.map(|(name, dependency)| (name.as_str(), dependency.condition.as_str())).collect()
    };
    let services = [("postgres", "service_healthy"), ("kafka", "service_healthy")];
    assert_eq!(conditions("migrate"), BTreeMap::from(services));
    for (name, _, _) in PROCESSES {
        let mut needs = BTreeMap::from(services);
        needs.insert("migrate", "service_completed_successfully");
        if *name == "inventory" {
            needs.insert("redis", "service_healthy");
        }
        assert_eq!(conditions(name), needs, "{name}");
    }
    for name in ["postgres", "kafka", "redis"] {
        assert!(!compose.services[name].healthcheck.as_ref().unwrap().test.is_empty(), "{name}");
    }
}

#[test]
fn the_broker_is_set_as_natively() {
    let compose = compose();
    let kafka = &compose.services["kafka"];
    let properties = pairs("deploy/local/conf/kafka.properties", "=");
    for (name, value) in &properties {
        let variable = format!("KAFKA_{}", name.replace('.', "_").to_uppercase());
        assert_eq!(kafka.variable(&variable), *value, "{variable}");
    }
    // Topics come from `saga migrate` alone, with its number of partitions.
    assert_eq!(properties["auto.create.topics.enable"], "false");
    let options = kafka.variable("KAFKA_JVM_PERFORMANCE_OPTS");
    assert!(read("deploy/local/lib/kafka.sh").contains(&format!(" {options} -Xms")), "the broker's JVM: {options}");
}

#[test]
fn postgres_and_redis_are_set_as_natively() {
    let compose = compose();
    let postgres: Vec<String> =
        compose.services["postgres"].command.iter().skip(1).filter(|a| *a != "-c").cloned().collect();
    let natively: BTreeSet<String> =
        pairs("deploy/local/conf/postgres.conf", "=").iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(postgres.into_iter().collect::<BTreeSet<_>>(), natively);

    let redis = &compose.services["redis"].command[1..];
    let redis: BTreeMap<String, String> =
        redis.chunks(2).map(|pair| (pair[0].trim_start_matches("--").to_string(), pair[1].clone())).collect();
    assert_eq!(redis, pairs("deploy/local/conf/redis.conf", " "));
}
