//! A full turn, and all that can be wrong with its members: each stands for itself.

use orchestrator::engine::StartError;
use orchestrator::store::StoreError;
use saga_model::json::RawJson;
use saga_model::state::{Failure, Outcome};
use saga_model::wire::reply;

use crate::support::{Steps, keyed, request, success};

#[tokio::test]
async fn one_key_many_times_in_one_turn_is_one_saga() {
    let mut steps = Steps::new(1).await;
    let mut answers = steps.begin((0..20).map(|n| keyed("k", if n % 4 == 3 { "another" } else { "this" })).collect());
    // Until the last of them has its answer: a key that is under way is waited for.
    let mut all = Vec::new();
    while let Some(first) = answers.pop() {
        let answered = loop {
            if first.is_finished() {
                break first.await.unwrap();
            }
            steps.turn().await;
            tokio::task::yield_now().await;
        };
        all.push(answered);
    }
    let started: Vec<_> = all.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(steps.store.started(), 1);
    let bodies: std::collections::BTreeSet<_> = started.iter().map(|started| started.record.saga.id).collect();
    assert_eq!((bodies.len(), started.iter().filter(|started| !started.replayed).count()), (1, 1));
    let refused = all.iter().filter(|answer| matches!(answer, Err(StartError::KeyReused))).count();
    assert_eq!(refused + started.len(), 20);
    assert!(refused == 5 || refused == 15, "whichever came first, the others are another request: {refused}");
}

#[tokio::test]
async fn a_full_turn_with_poison_of_every_kind() {
    let mut steps = Steps::new(1).await;
    let commands = steps.started(300).await;
    let sagas: Vec<_> = commands.iter().map(|command| command.saga_id).collect();
    // Refused for what they are: three sagas at their next step, and every submission whose input says so.
    let poisonous: Vec<_> = [0, 150, 299].map(|n| sagas[n]).into();
    let refused = poisonous.clone();
    steps.store.judge(move |batch| {
        let goes_on = |id| batch.history.iter().any(|row| row.saga == id && row.row.data.stuck.is_none());
        let update =
            batch.updates.iter().any(|write| refused.contains(&write.record.saga.id) && goes_on(write.record.saga.id));
        let start = batch.inserts.iter().any(|write| write.record.origin.input.get().contains("poison"));
        if update || start { Err(StoreError::Refused("not with this one".to_owned())) } else { Ok(()) }
    });

    let mut replies: Vec<Vec<u8>> = commands.iter().map(success).collect();
    let mut stranger = commands[10].clone();
    stranger.token = "x".repeat(stranger.token.len());
    let huge = RawJson::from_string(format!(r#"{{"a": "{}"}}"#, "x".repeat(100_000))).unwrap();
    let nul = Failure::new("A\0B", "says \0");
    let text =
        |command, from: &str, to: &str| String::from_utf8(success(command)).unwrap().replace(from, to).into_bytes();
    let foreign = [
        b"no reply".to_vec(),
        Vec::new(),
        b"\xff\xfe".to_vec(),
        success(&stranger),
        reply::write(&commands[20], Outcome::Succeeded, Some(&huge), None).unwrap(),
        text(&commands[30], r#""attempt":1"#, r#""attempt":99999999999999999999"#),
        text(&commands[31], r#""round":1"#, r#""round":-1"#),
        text(&commands[32], r#""output":{}"#, &format!(r#""output":{}1{}"#, "[".repeat(200), "]".repeat(200))),
    ];
    for (n, message) in foreign.iter().enumerate() {
        replies.insert(n * 40, message.clone());
    }
    // Genuine, and hard to store: the saga that says so is refused, and its code can be read.
    let rejecting = commands[200].saga_id;
    let place = replies.iter().position(|reply| *reply == success(&commands[200])).unwrap();
    replies[place] = reply::write(&commands[200], Outcome::Rejected, None, Some(&nul)).unwrap();
    let read = replies.len() as i64;

    let starts = (0..40).map(|n| request(if n % 20 == 7 { r#"{"poison":true}"# } else { "{}" }));
    let answers: Vec<_> = steps.begin(starts.collect());
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    steps.read(0, replies).await;
    steps.turn().await;

    for saga in &sagas {
        let wanted = match saga {
            saga if poisonous.contains(saga) => "STUCK",
            saga if *saga == rejecting => "COMPENSATED",
            _ => "RUNNING",
        };
        assert_eq!((steps.status(*saga).await, steps.revision(*saga).await), (wanted, 2), "{saga}");
    }
    let mut started = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(_) => started += 1,
            Err(error) => assert!(matches!(error, StartError::Failed(_)), "{error:?}"),
        }
    }
    assert_eq!((started, steps.store.started()), (38, 338));
    assert_eq!(steps.dead_letters(), foreign.len() + poisonous.len());
    steps.idle().await;
    assert_eq!(steps.store.reply_marks(), [read]);
}

#[tokio::test]
async fn so_many_that_move_and_no_more() {
    let mut steps = Steps::with(1, 2).await;
    let commands = steps.started(2).await;
    steps.idle().await;
    let refused = steps.begin(vec![request("{}")]).remove(0).await.unwrap();
    assert!(matches!(refused, Err(StartError::Overloaded)), "{refused:?}");
    // One that is stuck stands in nobody's way, however many there are of them.
    let poison = commands[0].saga_id;
    steps.store.judge(move |batch| {
        let goes_on = batch.history.iter().any(|row| row.saga == poison && row.row.data.stuck.is_none());
        if goes_on { Err(StoreError::Refused("not this one".to_owned())) } else { Ok(()) }
    });
    steps.read(0, vec![success(&commands[0])]).await;
    steps.turn().await;
    assert_eq!(steps.status(poison).await, "STUCK");
    steps.idle().await;
    let taken = steps.begin(vec![request("{}")]).remove(0);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    steps.turn().await;
    assert!(taken.await.unwrap().is_ok());
    steps.idle().await;
    let refused = steps.begin(vec![request("{}")]).remove(0).await.unwrap();
    assert!(matches!(refused, Err(StartError::Overloaded)), "{refused:?}");
}
