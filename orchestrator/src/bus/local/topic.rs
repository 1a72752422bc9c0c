//! A topic of commands or events, and the worker that reads it.

use std::collections::VecDeque;

use saga_model::ids::ShardCount;
use tokio::sync::mpsc::UnboundedSender;
use workers::transport::Delivery;

use crate::bus::{Ack, Progress, Ticket};

/// So many messages are in the hands of a worker at a time; the others wait, and their time with them: the step's time
/// begins when it is handed over. Two of a worker's batches.
const IN_HAND: usize = 2 * workers::transport::MAX_BATCH;

/// The partitions of a topic, and its reader.
#[derive(Debug)]
pub(super) struct Topic {
    partitions: Vec<Partition>,
    reader: Option<Reader>,
}

#[derive(Debug, Default)]
struct Partition {
    /// The offset that the next message gets.
    end: i64,
    /// Everything before was handed over; none if nothing ever was.
    handed: Option<i64>,
    /// Everything before was finished with.
    done: i64,
    /// Messages that count as sent only once they are finished with.
    unfinished: VecDeque<(i64, Ticket)>,
}

#[derive(Debug)]
struct Reader {
    hands: UnboundedSender<Delivery>,
    in_hand: usize,
    waiting: VecDeque<Delivery>,
}

impl Topic {
    pub(super) fn new(partitions: ShardCount) -> Self {
        Self { partitions: partitions.all().map(|_| Partition::default()).collect(), reader: None }
    }

    /// From now on somebody reads it.
    pub(super) fn read_by(&mut self, hands: UnboundedSender<Delivery>) {
        self.reader = Some(Reader { hands, in_hand: 0, waiting: VecDeque::new() });
    }

    pub(super) fn is_read(&self) -> bool {
        self.reader.is_some()
    }

    /// Puts a message that nobody reads at the end of its partition, that is: forgets it.
    pub(super) fn pass(&mut self, partition: i32) -> i64 {
        let Some(partition) = usize::try_from(partition).ok().and_then(|index| self.partitions.get_mut(index)) else {
            return -1; // no such partition: nobody could read it
        };
        partition.end += 1;
        partition.end - 1
    }

    /// Puts a message for the reader at the end of its partition. With a ticket, it counts as sent when it is
    /// finished with.
    pub(super) fn keep(&mut self, mut delivery: Delivery, ticket: Option<Ticket>) -> i64 {
        delivery.offset = self.pass(delivery.partition);
        let offset = delivery.offset;
        if let Some(partition) = self.partition(delivery.partition)
            && let Some(ticket) = ticket
        {
            partition.unfinished.push_back((offset, ticket));
        }
        if let Some(reader) = &mut self.reader {
            reader.waiting.push_back(delivery);
        }
        self.hand_over();
        offset
    }

    /// The reader has finished with everything before `next`: what counts as sent now.
    pub(super) fn done(&mut self, partition: i32, next: i64) -> Vec<Ack> {
        let Some(of) = self.partition(partition) else { return Vec::new() };
        let next = next.min(of.handed.unwrap_or(0));
        let finished = usize::try_from(next - of.done).unwrap_or(0);
        of.done = of.done.max(next);
        let sent = of.unfinished.partition_point(|(offset, _)| *offset < next);
        let acks = of.unfinished.drain(..sent).map(|(offset, ticket)| Ack { ticket, partition, offset }).collect();
        if let Some(reader) = &mut self.reader {
            reader.in_hand = reader.in_hand.saturating_sub(finished);
        }
        self.hand_over();
        acks
    }

    /// Whether the reader has finished with a message.
    pub(super) fn is_done(&self, partition: i32, offset: i64) -> bool {
        let partition = usize::try_from(partition).ok().and_then(|index| self.partitions.get(index));
        partition.is_none_or(|partition| partition.done > offset)
    }

    /// A command is taken when it is handed over.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let progress = |(number, partition): (i32, &Partition)| Progress {
            partition: number,
            begin: partition.done,
            end: partition.end,
            committed: partition.handed,
        };
        (0..).zip(&self.partitions).map(progress).collect()
    }

    fn hand_over(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        while reader.in_hand < IN_HAND
            && let Some(delivery) = reader.waiting.pop_front()
        {
            let (partition, next) = (delivery.partition, delivery.offset + 1);
            if reader.hands.send(delivery).is_err() {
                // The workers have ended: the process ends too, and all is sent again after its start.
                return reader.waiting.clear();
            }
            reader.in_hand += 1;
            if let Some(partition) = usize::try_from(partition).ok().and_then(|index| self.partitions.get_mut(index)) {
                partition.handed = Some(next);
            }
        }
    }

    fn partition(&mut self, number: i32) -> Option<&mut Partition> {
        usize::try_from(number).ok().and_then(|index| self.partitions.get_mut(index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use saga_model::ids::ShardId;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::bus::MadeOf;

    fn topic() -> (Topic, UnboundedReceiver<Delivery>) {
        let (sender, receiver) = unbounded_channel();
        let mut topic = Topic::new(ShardCount::new(2).unwrap());
        topic.read_by(sender);
        (topic, receiver)
    }

    fn delivery(partition: i32) -> Delivery {
        Delivery {
            topic: Arc::from("t"),
            partition,
            offset: 0,
            key: None,
            value: None,
            headers: service::headers::Headers::new(),
        }
    }

    fn ticket(shard_seq: u64) -> Ticket {
        Ticket { shard: ShardId(0), epoch: 1, made_of: MadeOf::Row(shard_seq), command: None }
    }

    #[test]
    fn a_long_queue_waits_to_be_handed_over() {
        let (mut topic, receiver) = topic();
        (0..3 * IN_HAND).for_each(|_| _ = topic.keep(delivery(1), None));
        let window = IN_HAND as i64;
        assert_eq!(receiver.len(), IN_HAND);
        let seen = topic.progress()[1];
        assert_eq!((seen.begin, seen.end, seen.committed), (0, 3 * window, Some(window)));
        topic.done(1, 10);
        assert_eq!((receiver.len(), topic.progress()[1].committed), (IN_HAND + 10, Some(window + 10)));
        topic.done(1, 10);
        topic.done(1, 3 * window);
        assert_eq!(receiver.len(), 2 * IN_HAND + 10, "no more than what it had in hand is finished with");
        assert_eq!(topic.progress()[0].committed, None);
    }

    #[test]
    fn what_counts_when_done_counts_then() {
        let (mut topic, _receiver) = topic();
        for seq in 0..3 {
            topic.keep(delivery(0), Some(ticket(seq)));
            topic.keep(delivery(1), Some(ticket(seq + 10)));
        }
        let sent = |acks: Vec<Ack>| acks.iter().map(|ack| ack.ticket).collect::<Vec<_>>();
        assert_eq!(sent(topic.done(1, 2)), [10, 11].map(ticket));
        assert_eq!(sent(topic.done(0, 3)), [0, 1, 2].map(ticket));
        assert!(topic.done(1, 2).is_empty());
        assert_eq!(sent(topic.done(1, 3)), [12].map(ticket));
    }

    #[test]
    fn nothing_strange_breaks_it() {
        let (mut topic, receiver) = topic();
        assert_eq!(topic.keep(delivery(-1), Some(ticket(1))), -1);
        assert!(topic.done(7, 5).is_empty() && topic.done(0, i64::MAX).is_empty() && topic.done(0, -3).is_empty());
        drop(receiver);
        topic.keep(delivery(0), None);
        assert_eq!(topic.progress()[0].committed, None);
    }
}
