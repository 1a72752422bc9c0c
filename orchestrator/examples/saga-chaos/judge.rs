//! One order, judged from outside: its saga, the workers' books, its events.

use serde_json::json;

use crate::order::{End, Order};
use crate::support::Json;

/// What is to be seen of an order.
#[derive(Clone, Debug)]
pub struct Facts {
    pub saga: Json,
    pub order: Json,
    /// `GET /payments`
    pub payments: Json,
    /// `GET /notifications`
    pub notices: Json,
    /// Topics of its domain events, in order, with the sequence.
    pub events: Vec<(String, u32)>,
    /// Its events may be lost: their topics were deleted.
    pub may_miss_events: bool,
}

/// The end that it came to, or everything that is wrong with it.
pub fn judge(order: &Order, facts: &Facts) -> Result<End, Vec<String>> {
    let (status, failure) = (&facts.order["status"], &facts.order["failureReason"]["code"]);
    let right = order.ends().into_iter().find(|end| {
        (status, failure) == (&json!(end.order_status()), &json!(end.failure()))
            && facts.saga["status"] == end.saga_status()
    });
    let Some(end) = right else {
        return Err(vec![format!(
            "it may end {:?}; the order is {status} ({failure}), its saga {}",
            order.ends(),
            facts.saga["status"]
        )]);
    };
    let mut wrong = Vec::new();
    let of = |kind: &str| entries(&facts.payments).filter(|entry| entry["kind"] == kind).count();
    if (of("CAPTURE"), of("REFUND")) != end.money() {
        wrong.push(format!("it ended {end:?}, and its payments are {}", facts.payments["entries"]));
    }
    if let Some(entry) = entries(&facts.payments).find(|entry| entry["amount"] != json!(order.amount())) {
        wrong.push(format!("it is about {}, and a payment is {entry}", order.amount()));
    }
    let notices: Vec<&Json> = entries(&facts.notices).map(|entry| &entry["outcome"]).collect();
    if notices != [&json!(end.order_status())] {
        wrong.push(format!("it ended {end:?}, and the customer was told {notices:?}"));
    }
    let topics: Vec<&str> = facts.events.iter().map(|(topic, _)| topic.as_str()).collect();
    let complete = topics == end.events();
    let in_order = is_part_in_order(&topics, end.events());
    if !(complete || facts.may_miss_events && in_order) {
        wrong.push(format!("it ended {end:?}, and its events are {:?}", facts.events));
    }
    if wrong.is_empty() { Ok(end) } else { Err(wrong) }
}

fn entries(page: &Json) -> impl Iterator<Item = &Json> {
    page["entries"].as_array().into_iter().flatten()
}

/// Whether `part` is what is left of `whole` when some of it is taken away.
fn is_part_in_order(part: &[&str], whole: &[&str]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|wanted| rest.any(|found| found == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order::probe(5, "u")
    }

    fn facts() -> Facts {
        let events = End::Confirmed.events().iter().zip([1, 2, 3, 3]);
        Facts {
            saga: json!({"status": "COMPLETED"}),
            order: json!({"status": "CONFIRMED", "failureReason": null}),
            payments: json!({"entries": [{"kind": "CAPTURE", "amount": 15}]}),
            notices: json!({"entries": [{"outcome": "CONFIRMED"}]}),
            events: events.map(|(topic, sequence)| ((*topic).to_owned(), sequence)).collect(),
            may_miss_events: false,
        }
    }

    #[test]
    fn what_is_right_is_right() {
        assert_eq!(judge(&order(), &facts()), Ok(End::Confirmed));
    }

    #[test]
    fn each_lie_is_found_out() {
        type Lie = (&'static str, fn(&mut Facts));
        let lies: [Lie; 8] = [
            ("it may end", |facts| facts.order = json!({"status": "CANCELLED", "failureReason": {"code": "X"}})),
            ("it may end", |facts| facts.saga["status"] = json!("STUCK")),
            ("payments", |facts| facts.payments = json!({"entries": []})),
            ("payments", |facts| {
                let entry = json!({"kind": "CAPTURE", "amount": 15});
                facts.payments = json!({"entries": [entry, entry]});
            }),
            ("a payment is", |facts| facts.payments["entries"][0]["amount"] = json!(16)),
            ("told", |facts| facts.notices = json!({"entries": [{"outcome": "CONFIRMED"}, {"outcome": "CONFIRMED"}]})),
            ("events", |facts| drop(facts.events.remove(1))),
            ("events", |facts| facts.events.swap(0, 1)),
        ];
        for (found, lie) in lies {
            let mut facts = facts();
            lie(&mut facts);
            let wrong = judge(&order(), &facts).expect_err(found);
            assert!(wrong.len() == 1 && wrong[0].contains(found), "{found}: {wrong:?}");
        }
    }

    #[test]
    fn events_may_be_missing_only_where_topics_were_deleted_and_never_out_of_order() {
        let mut facts = Facts { may_miss_events: true, ..facts() };
        facts.events.remove(1);
        assert_eq!(judge(&order(), &facts), Ok(End::Confirmed));
        facts.events.swap(0, 1);
        assert!(judge(&order(), &facts).is_err());
    }
}
