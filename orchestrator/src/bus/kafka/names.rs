//! The names of topics on a cluster that several systems share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use service::settings::TopicPrefix;

use crate::bus::Outgoing;

/// Names in full, each made once.
pub(super) struct Names {
    prefix: TopicPrefix,
    made: Mutex<HashMap<Arc<str>, Arc<str>>>,
}

impl Names {
    pub(super) fn new(prefix: TopicPrefix) -> Self {
        Self { prefix, made: Mutex::default() }
    }

    /// The name of a topic or group on the cluster.
    pub(super) fn full(&self, name: &str) -> String {
        self.prefix.full(name)
    }

    /// Puts the names of topics in full.
    pub(super) fn put_in_full(&self, messages: &mut [Outgoing]) {
        if self.prefix.is_empty() {
            return;
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            let full = made.entry(message.topic.clone()).or_insert_with_key(|name| Arc::from(self.prefix.full(name)));
            message.topic = full.clone();
        }
    }
}

/// The group that reads a topic of commands: `worker-inventory` for `inventory.commands`.
pub(super) fn group(topic: &str) -> String {
    format!("worker-{}", topic.strip_suffix(".commands").unwrap_or(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_of_commands_has_its_group() {
        assert_eq!(group("inventory.commands"), "worker-inventory");
        assert_eq!(group("my.shop.commands"), "worker-my.shop");
        assert_eq!(group("other"), "worker-other");
    }
}
