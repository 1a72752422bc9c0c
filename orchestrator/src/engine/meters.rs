//! What the engine counts: every metric of it, by the name that it is read by.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use saga_model::advance::Ignored;
use saga_model::effect::Effect;
use saga_model::state::{Hold, SagaStatus};
use service::metrics::{DeadLetterLabels, Metrics, Seconds};

use super::core::{Core, Live};
use super::draft::{Draft, Member};
use super::input::Input;
use super::trace::EndedAttempt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDefinition {
    definition: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    definition: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStep {
    definition: String,
    step: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    step: String,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    step: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

/// The engine's metrics.
#[derive(Clone)]
pub struct Meters {
    started: Family<ByDefinition, Counter>,
    finished: Family<ByStatus, Counter>,
    in_flight: Family<ByStatus, Gauge>,
    stuck: Family<ByStep, Gauge>,
    commands: Family<ByKind, Counter>,
    replies: Family<ByOutcome, Counter>,
    ignored: Family<ByReason, Counter>,
    dead_letters: Family<DeadLetterLabels, Counter>,
    step_duration: Seconds<ByKind>,
    duration: Seconds<ByDefinition>,
}

impl Meters {
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            started: metrics.counters("saga_started_total", "Sagas started"),
            finished: metrics.counters("saga_finished_total", "Sagas ended, by how"),
            in_flight: metrics.gauges("saga_in_flight", "Sagas of this instance's shards that have not ended"),
            stuck: metrics.gauges("saga_stuck", "Sagas of this instance's shards that are stuck, by the step in hand"),
            commands: metrics.counters("saga_commands_total", "Commands sent"),
            replies: metrics.counters("saga_replies_total", "Replies read, by outcome"),
            ignored: metrics.counters("saga_replies_ignored_total", "Replies that rightly changed nothing"),
            dead_letters: metrics.dead_letters(),
            step_duration: metrics.seconds("saga_step_duration_seconds", "From sending a command to its end"),
            duration: metrics.seconds("saga_duration_seconds", "From the start of a saga to its end"),
        }
    }

    /// Counts a draft that was stored; `core` is as it was before.
    pub(super) fn stored(&self, core: &Core, draft: &Draft, inputs: &[Input]) {
        for member in &draft.members {
            self.member(core, member);
        }
        for attempt in &draft.ended {
            let labels = ByKind { step: attempt.step.clone(), kind: attempt.command.kind.as_str().to_owned() };
            self.step_duration.get_or_create(&labels).observe(seconds(attempt));
        }
        for (_, letter) in &draft.dead_letters {
            let labels = DeadLetterLabels { topic: letter.topic.clone(), code: letter.code.clone() };
            self.dead_letters.get_or_create(&labels).inc();
        }
        self.read(draft, inputs);
    }

    /// Counts the replies of a draft, also of one that stores nothing.
    pub(super) fn read(&self, draft: &Draft, inputs: &[Input]) {
        for input in inputs {
            if let Input::Reply(reply) = input
                && let Ok(message) = &reply.reading
                && draft.known_steps.contains(&message.step)
            {
                let labels = ByOutcome { step: message.step.clone(), outcome: message.outcome.as_str().to_owned() };
                self.replies.get_or_create(&labels).inc();
            }
        }
        for (why, times) in &draft.ignored {
            if let Some(reason) = reason(*why) {
                self.ignored.get_or_create(&ByReason { reason: reason.to_owned() }).inc_by(u64::from(*times));
            }
        }
    }

    fn member(&self, core: &Core, member: &Member) {
        let (saga, definition) = (&member.record.saga, member.definition.name());
        if member.submission.is_some() {
            self.started.get_or_create(&ByDefinition { definition: definition.to_owned() }).inc();
        }
        if let Some(live) = core.sagas.get(&saga.id) {
            self.weigh(live, -1);
        }
        let status = saga.status();
        if saga.phase.is_final() {
            if core.sagas.contains_key(&saga.id) {
                self.finished.get_or_create(&by_status(definition, status)).inc();
                let took = saga.updated_at.since(saga.created_at) as f64 / 1e6;
                self.duration.get_or_create(&ByDefinition { definition: definition.to_owned() }).observe(took);
            }
        } else {
            self.in_flight.get_or_create(&by_status(definition, status)).inc();
            if let Some(labels) = stuck_at(&member.record.saga, &member.definition) {
                self.stuck.get_or_create(&labels).inc();
            }
        }
        for effect in member.transitions.iter().flat_map(|(_, effects)| effects) {
            if let Effect::Send(command) = effect {
                let step = member.definition.step(command.step).name.clone();
                self.commands.get_or_create(&ByKind { step, kind: command.kind.as_str().to_owned() }).inc();
            }
        }
    }

    /// Takes the sagas of a shard in (1) or out (-1) of what is in flight.
    pub(super) fn weigh(&self, live: &Live, by: i64) {
        let saga = &live.record.saga;
        self.in_flight.get_or_create(&by_status(live.definition.name(), saga.status())).inc_by(by);
        if let Some(labels) = stuck_at(saga, &live.definition) {
            self.stuck.get_or_create(&labels).inc_by(by);
        }
    }
}

fn by_status(definition: &str, status: SagaStatus) -> ByStatus {
    ByStatus { definition: definition.to_owned(), status: status.as_str().to_owned() }
}

fn stuck_at(saga: &saga_model::Saga, definition: &saga_model::Definition) -> Option<ByStep> {
    match &saga.hold {
        Hold::Stuck(stuck) => {
            let step = stuck.step.map(|step| definition.step(step).name.clone()).unwrap_or_default();
            Some(ByStep { definition: definition.name().to_owned(), step })
        }
        Hold::None | Hold::Paused { .. } => None,
    }
}

fn seconds(attempt: &EndedAttempt) -> f64 {
    attempt.ended_at.since(attempt.sent_at) as f64 / 1e6
}

/// The reason as the metric names it; none for what is no reply.
fn reason(why: Ignored) -> Option<&'static str> {
    match why {
        Ignored::Duplicate => Some("duplicate"),
        Ignored::Late => Some("late"),
        Ignored::Stale => Some("stale"),
        Ignored::SpuriousTimer | Ignored::AlreadyStarted | Ignored::NoSuchSaga | Ignored::AtRest => None,
    }
}
