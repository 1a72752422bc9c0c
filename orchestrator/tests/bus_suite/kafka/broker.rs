//! A broker of a test's own, which it may kill.

use std::path::Path;
use std::process::Command;

use service::settings::KafkaBrokers;

pub struct Broker {
    folder: tempfile::TempDir,
}

impl Broker {
    pub fn start() -> Self {
        let broker = Self { folder: tempfile::tempdir().unwrap() };
        broker.services(&["start", "kafka"]);
        broker
    }

    pub fn brokers(&self) -> KafkaBrokers {
        let env = std::fs::read_to_string(self.folder.path().join("env")).unwrap();
        let brokers = env.lines().find_map(|line| line.strip_prefix("KAFKA_BROKERS="));
        brokers.unwrap().parse().unwrap()
    }

    /// Nothing in good order.
    pub fn kill(&self) {
        self.services(&["kill", "kafka"]);
    }

    /// Where it was before.
    pub fn start_again(&self) {
        self.services(&["start", "kafka"]);
    }

    fn services(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/services");
        let output = Command::new(&script).args(arguments).env("SAGA_LOCAL_DIR", self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.services(&["down", "--delete"]);
    }
}
