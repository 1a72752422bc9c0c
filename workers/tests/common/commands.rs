//! Commands as the orchestrator writes them, and the replies to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use saga_model::SagaId;
use saga_model::state::{Kind, Outcome};
use saga_model::wire::idempotency_key;
use saga_model::wire::reply::{self, ReplyMessage};
use serde_json::{Value, json};
use service::headers::Headers;
use uuid::Uuid;
use workers::transport::{Delivery, Outgoing};

/// One command to one worker.
#[derive(Debug, Clone)]
pub struct Ask {
    pub saga: SagaId,
    pub step: &'static str,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
    pub payload: Value,
}

impl Ask {
    pub fn action(saga: SagaId, step: &'static str, payload: Value) -> Self {
        Self { saga, step, kind: Kind::Action, round: 1, attempt: 1, payload }
    }

    pub fn undo(&self) -> Self {
        Self { kind: Kind::Compensate, ..self.clone() }
    }

    pub fn attempt(&self, attempt: u32) -> Self {
        Self { attempt, ..self.clone() }
    }

    pub fn round(&self, round: u32) -> Self {
        Self { round, ..self.clone() }
    }

    pub fn value(&self) -> Value {
        json!({
            "sagaId": self.saga, "step": self.step, "kind": self.kind, "round": self.round, "attempt": self.attempt,
            "idempotencyKey": idempotency_key(self.saga, self.step, self.round), "epoch": 1, "token": "t",
            "payload": self.payload,
        })
    }

    pub fn delivery(&self) -> Delivery {
        delivery("x.commands", Some(self.saga), self.value().to_string().into_bytes())
    }
}

/// A message at the next offset.
pub fn delivery(topic: &str, saga: Option<SagaId>, value: Vec<u8>) -> Delivery {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    Delivery {
        topic: Arc::from(topic),
        partition: 0,
        offset: NEXT.fetch_add(1, Ordering::Relaxed),
        key: saga.map(|saga| saga.to_string().into_bytes()),
        value: Some(value),
        headers: Headers::new(),
    }
}

/// A saga id that no other test has.
pub fn new_saga() -> SagaId {
    SagaId::from(Uuid::now_v7())
}

/// The payload of an order of the shop, which fits all three workers.
pub fn payload(saga: SagaId, items: &[(Uuid, u32)], method: Option<&str>) -> Value {
    let items: serde_json::Map<String, Value> =
        items.iter().map(|(sku, quantity)| (sku.to_string(), json!(quantity))).collect();
    let mut payload = json!({
        "orderId": saga, "userId": Uuid::nil(), "totalAmount": 499.99, "currency": "USD", "items": items,
        "outcome": "CONFIRMED", "steps": {},
    });
    if let Some(method) = method {
        payload["paymentMethod"] = json!(method);
    }
    payload
}

/// Reads replies.
pub fn replies(messages: &[Outgoing]) -> Vec<ReplyMessage> {
    let replies = messages.iter().filter(|message| message.topic == "saga.replies");
    replies.map(|message| reply::parse(message.value.as_deref().unwrap()).expect("a reply can be read")).collect()
}

/// A reply in short: `SUCCEEDED`, `REJECTED CODE`, `SUCCEEDED undone`, `SUCCEEDED nothing`.
pub fn short(reply: &ReplyMessage) -> String {
    let code = reply.error.as_ref().map(|error| error.code.clone());
    let output: Option<Value> = reply.output.as_ref().map(|output| serde_json::from_str(output.get()).unwrap());
    match (reply.outcome, reply.kind) {
        (Outcome::Succeeded, Kind::Action) => "SUCCEEDED".to_owned(),
        (Outcome::Succeeded, Kind::Compensate) => {
            let undone = output.unwrap()["undone"].as_bool().unwrap();
            format!("SUCCEEDED {}", if undone { "undone" } else { "nothing" })
        }
        (Outcome::Rejected, _) => format!("REJECTED {}", code.unwrap()),
        (Outcome::Retryable, _) => format!("RETRYABLE {}", code.unwrap()),
        (Outcome::Unknown, _) => format!("UNKNOWN {}", code.unwrap()),
    }
}
