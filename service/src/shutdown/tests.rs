use tokio::sync::mpsc;

use super::Asked::{Interrupt, Terminate};
use super::*;

const GRACE: Duration = Duration::from_secs(4);

/// Gives signals at so many milliseconds each: which of them, counted from 0, ends the process on the spot, and whether
/// it listens no more by then.
async fn heeded(signals: &[(u64, Asked)]) -> (Option<usize>, bool) {
    let (send, mut receive) = mpsc::unbounded_channel();
    let shutdown = Shutdown::new();
    let mut heeding = Box::pin(shutdown.heed(GRACE, |context| receive.poll_recv(context).map(Option::unwrap)));
    let mut ended = None;
    for (index, (at, signal)) in signals.iter().enumerate() {
        send.send(*signal).unwrap();
        let next = signals.get(index + 1).map_or(at + 1, |(next, _)| *next);
        if let Ok(last) = tokio::time::timeout(Duration::from_millis(next - at), &mut heeding).await {
            assert_eq!(last, *signal);
            ended = Some(index);
            break;
        }
        assert!(shutdown.draining().is_cancelled(), "the first one drains");
    }
    (ended, shutdown.closing().is_cancelled())
}

#[tokio::test(start_paused = true)]
async fn what_ends_it_on_the_spot() {
    for (signals, expected) in [
        (&[(0, Terminate)][..], (None, false)),
        (&[(0, Interrupt)], (None, true)),
        // One request on two ways, or on several.
        (&[(0, Terminate), (3, Terminate)], (None, false)),
        (&[(0, Interrupt), (3, Interrupt)], (None, true)),
        (&[(0, Terminate), (1, Terminate), (998, Terminate), (999, Terminate)], (None, false)),
        // A second request.
        (&[(0, Terminate), (1_001, Terminate)], (Some(1), false)),
        (&[(0, Terminate), (600, Terminate), (1_200, Terminate)], (Some(2), false)),
        (&[(0, Interrupt), (2, Interrupt), (1_500, Interrupt)], (Some(2), true)),
        (&[(0, Terminate), (5_000, Terminate)], (Some(1), true)),
        // Another signal is another request, however soon.
        (&[(0, Terminate), (0, Interrupt)], (Some(1), false)),
        (&[(0, Interrupt), (3, Interrupt), (4, Terminate)], (Some(2), true)),
    ] {
        assert_eq!(heeded(signals).await, expected, "{signals:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_does_not_lengthen_the_grace() {
    let (send, mut receive) = mpsc::unbounded_channel();
    let shutdown = Shutdown::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        asked.heed(GRACE, |context| receive.poll_recv(context).map(Option::unwrap)).await;
    });
    let begun = Instant::now();
    send.send(Terminate).unwrap();
    shutdown.draining().cancelled().await;
    tokio::time::advance(Duration::from_millis(900)).await;
    send.send(Terminate).unwrap();
    assert!(!shutdown.closing().is_cancelled());
    tokio::time::timeout(2 * GRACE, shutdown.closing().cancelled()).await.expect("it closes");
    let over = begun.elapsed() - GRACE;
    assert!(over < Duration::from_millis(10), "{over:?}");
}

#[test]
fn temporary_folders_do_not_stay() {
    let outer = tempfile::tempdir().unwrap();
    let (gone, made) = (outer.path().join("gone"), outer.path().join("made"));
    std::fs::create_dir_all(made.join("inner")).unwrap();
    std::fs::write(made.join("inner/admin-key"), "secret").unwrap();
    let shutdown = Shutdown::new();
    shutdown.leaves(gone);
    shutdown.clone().leaves(made);
    shutdown.remove_temporary();
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 0);
}
