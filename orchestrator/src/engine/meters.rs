//! What the engine counts: every metric of it, by the name that it is read by.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use saga_model::advance::Ignored;
use saga_model::effect::Effect;
use saga_model::history::RowKind;
use saga_model::state::{Hold, SagaStatus};
use saga_model::wire::DeadLetterCode;
use saga_model::{Definition, Saga};
use service::kafka::topics::REPLIES;
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
        let meters = Self {
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
        };
        // A count that starts at nought can be compared with, whether or not anything was counted yet.
        for why in [Ignored::Duplicate, Ignored::Late, Ignored::Stale] {
            if let Some(reason) = reason(why) {
                meters.ignored.get_or_create(&ByReason { reason: reason.to_owned() }).inc_by(0);
            }
        }
        for code in DeadLetterCode::ALL {
            let labels = DeadLetterLabels { topic: REPLIES.to_owned(), code: code.as_str().to_owned() };
            meters.dead_letters.get_or_create(&labels).inc_by(0);
        }
        meters
    }

    /// Counts a draft that was stored; `core` is as it was before.
    pub(super) fn stored(&self, core: &Core, draft: &Draft, inputs: &[Input]) {
        let (mut in_flight, mut commands) = (Tally::default(), Tally::default());
        for member in &draft.members {
            self.member(core, member, &mut in_flight);
            for effect in member.transitions.iter().flat_map(|(_, effects)| effects) {
                if let Effect::Send(command) = effect {
                    commands.add((&*member.definition.step(command.step).name, command.kind.as_str()), 1);
                }
            }
        }
        for ((definition, status), by) in in_flight.0 {
            self.in_flight.get_or_create(&by_status(definition, status)).inc_by(by);
        }
        for ((step, kind), times) in commands.0 {
            let labels = ByKind { step: step.to_owned(), kind: kind.to_owned() };
            self.commands.get_or_create(&labels).inc_by(times);
        }
        let mut ended: Tally<_, Vec<f64>> = Tally::default();
        for attempt in &draft.ended {
            ended.group((attempt.step(), attempt.command.kind.as_str())).push(seconds(attempt));
        }
        for ((step, kind), durations) in ended.0 {
            let histogram = self.step_duration.get_or_create(&ByKind { step: step.to_owned(), kind: kind.to_owned() });
            durations.into_iter().for_each(|seconds| histogram.observe(seconds));
        }
        for (_, letter) in &draft.dead_letters {
            let labels = DeadLetterLabels { topic: letter.topic.clone(), code: letter.code.clone() };
            self.dead_letters.get_or_create(&labels).inc();
        }
        self.read(draft, inputs);
    }

    /// Counts the replies of a draft, also of one that stores nothing.
    pub(super) fn read(&self, draft: &Draft, inputs: &[Input]) {
        let mut replies = Tally::default();
        for input in inputs {
            if let Input::Reply(reply) = input
                && let Ok(message) = &reply.reading
                && draft.known_steps.contains(&message.step)
            {
                replies.add((&*message.step, message.outcome.as_str()), 1);
            }
        }
        for ((step, outcome), times) in replies.0 {
            let labels = ByOutcome { step: step.to_owned(), outcome: outcome.to_owned() };
            self.replies.get_or_create(&labels).inc_by(times);
        }
        for (why, times) in &draft.ignored {
            if let Some(reason) = reason(*why) {
                self.ignored.get_or_create(&ByReason { reason: reason.to_owned() }).inc_by(u64::from(*times));
            }
        }
    }

    fn member<'a>(&self, core: &'a Core, member: &'a Member, in_flight: &mut Tally<(&'a str, SagaStatus), i64>) {
        let (saga, definition) = (&member.record.saga, member.definition.name());
        if member.submission.is_some() {
            self.started.get_or_create(&ByDefinition { definition: definition.to_owned() }).inc();
        }
        // The first late reply of its kind is a transition; those after it are counted with what changed nothing.
        let late = member.transitions.iter().filter(|(row, _)| row.kind == RowKind::ReplyIgnored).count();
        if let Some(reason) = reason(Ignored::Late).filter(|_| late > 0) {
            self.ignored.get_or_create(&ByReason { reason: reason.to_owned() }).inc_by(late as u64);
        }
        let before = core.sagas.get(&saga.id);
        if let Some(live) = before {
            in_flight.add((live.definition.name(), live.record.saga.status()), -1);
            self.weigh_stuck(&live.record.saga, &live.definition, -1);
        }
        if !saga.phase.is_final() {
            in_flight.add((definition, saga.status()), 1);
            self.weigh_stuck(saga, &member.definition, 1);
        } else if before.is_some() {
            self.finished.get_or_create(&by_status(definition, saga.status())).inc();
            let took = saga.updated_at.since(saga.created_at) as f64 / 1e6;
            self.duration.get_or_create(&ByDefinition { definition: definition.to_owned() }).observe(took);
        }
    }

    /// Takes the sagas of a shard in (1) or out (-1) of what is in flight.
    pub(super) fn weigh(&self, live: &Live, by: i64) {
        let saga = &live.record.saga;
        self.in_flight.get_or_create(&by_status(live.definition.name(), saga.status())).inc_by(by);
        self.weigh_stuck(saga, &live.definition, by);
    }

    fn weigh_stuck(&self, saga: &Saga, definition: &Definition, by: i64) {
        if let Some(labels) = stuck_at(saga, definition) {
            self.stuck.get_or_create(&labels).inc_by(by);
        }
    }
}

/// What is counted under each of a few labels: a batch has many members, and each look at a metric costs.
struct Tally<K, V>(Vec<(K, V)>);

impl<K, V> Default for Tally<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V: Default> Tally<K, V> {
    fn group(&mut self, key: K) -> &mut V {
        let index = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, V::default()));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }

    fn add(&mut self, key: K, by: V)
    where
        V: std::ops::AddAssign,
    {
        *self.group(key) += by;
    }
}

fn by_status(definition: &str, status: SagaStatus) -> ByStatus {
    ByStatus { definition: definition.to_owned(), status: status.as_str().to_owned() }
}

fn stuck_at(saga: &Saga, definition: &Definition) -> Option<ByStep> {
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
