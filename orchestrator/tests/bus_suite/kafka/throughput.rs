//! How much the producing side carries, and what it costs. With `--release --nocapture` it says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator::bus::{Bus, Class, Outgoing};

use super::rig::KafkaRig;
use crate::acks::PATIENCE;
use crate::rig::{message, saga};

/// The size of a real command, with the headers of one.
fn real(topic: &Arc<str>, class: Class, number: u64) -> Outgoing {
    let mut message = message(topic, class, saga(u128::from(number) * 7919), number);
    message.value = Some(vec![b'x'; 600]);
    let headers = [
        ("ce_type", 20),
        ("ce_source", 5),
        ("ce_specversion", 3),
        ("ce_time", 27),
        ("ce_subject", 36),
        ("content-type", 16),
        ("traceparent", 55),
    ];
    headers.into_iter().for_each(|(name, bytes)| message.headers.push(name, &vec![b'h'; bytes]));
    message
}

/// The processor time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Hundredths of a second, in user and system mode (proc(5), fields 14 and 15).
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_messages_leave() {
    const MESSAGES: u64 = 50_000;
    // As many as a commit of the engine makes.
    const BATCH: u64 = 500;
    let rig = KafkaRig::new().await;
    let (commands, events) = (Arc::<str>::from("inventory.commands"), Arc::<str>::from("order.created"));
    rig.bus.send(vec![real(&commands, Class::Command, 0), real(&events, Class::Event, 0)]);
    rig.bus.flush(PATIENCE).await;
    for (name, topic, class) in [("commands", &commands, Class::Command), ("events", &events, Class::Event)] {
        let batches: Vec<Vec<Outgoing>> = (0..MESSAGES / BATCH)
            .map(|batch| (0..BATCH).map(|n| real(topic, class, batch * BATCH + n)).collect())
            .collect();
        let (start, before) = (Instant::now(), cpu());
        for batch in batches {
            rig.bus.send(batch);
        }
        rig.bus.flush(PATIENCE).await;
        let (took, used) = (start.elapsed(), cpu() - before);
        println!(
            "{name}: {:.0} messages/s, {:.2} us of processor time each",
            MESSAGES as f64 / took.as_secs_f64(),
            used.as_secs_f64() * 1e6 / MESSAGES as f64,
        );
        assert_eq!(rig.bus.unacked(), 0);
    }
    assert_eq!(rig.acks.now().len() as u64, 2 * MESSAGES + 2);
}
