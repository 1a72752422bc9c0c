#[path = "../../tests/search/mod.rs"]
mod search;
#[path = "../../tests/support/definitions.rs"]
mod short;
use search::explore::*;
use search::saga::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let def = &a[1];
    if def == "stock" {
        let n = |i: usize| a[i].parse::<u8>().unwrap();
        let size = search::stock::Size { orders: n(2), on_hand: n(3), flushes: n(4), restarts: n(5), pauses: n(6), crashes: n(7) };
        let twin = a.get(8).map(|n| search::stock::Twin::ALL[n.parse::<usize>().unwrap()]);
        let w = search::stock::World::new(size, twin).unwrap();
        let p = Progress::default();
        let f = explore(&w, Limits { threads: 2, states: 30_000_000 }, &p);
        println!("{} states {} steps depth {} complete {} {:?} mem {}M", f.states, f.steps, f.depth, f.complete, f.took, memory_stats::memory_stats().unwrap().physical_mem >> 20);
        if let Some(v) = f.violation { println!("{}", v.what); for l in v.trace { println!("  {l}"); } for l in v.way { println!("   ..{l}"); } }
        return;
    }
    if def == "leases" {
        let n = |i: usize| a[i].parse::<u8>().unwrap();
        let size = search::leases::Size { sagas: n(2), rows: n(3), takeovers: n(4), crashes: n(5), doubts: n(6), repeats: n(7) };
        let twin = a.get(8).map(|n| search::leases::Twin::ALL[n.parse::<usize>().unwrap()]);
        let w = search::leases::World::new(size, twin).unwrap();
        let p = Progress::default();
        let f = explore(&w, Limits { threads: 2, states: 400_000_000 }, &p);
        println!("{} states {} steps depth {} complete {} {:?} mem {}M", f.states, f.steps, f.depth, f.complete, f.took, memory_stats::memory_stats().unwrap().physical_mem >> 20);
        if let Some(v) = f.violation { println!("{}", v.what); for l in v.trace { println!("  {l}"); } for l in v.way { println!("   ..{l}"); } }
        return;
    }
    let verbs: u8 = a[2].parse().unwrap();
    let fails: u8 = a[3].parse().unwrap();
    let twin = a.get(4).map(|n| Twin::ALL[n.parse::<usize>().unwrap()]);
    let w = World::new(definitions::named(def).unwrap(), Trouble { verbs, engine_failures: fails, twin }).unwrap();
    let p = Progress::default();
    let done0 = std::sync::atomic::AtomicBool::new(false);
    let f = std::thread::scope(|s| {
        let done = &done0;
        let (p, w) = (&p, &w);
        s.spawn(move || while !done.load(std::sync::atomic::Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_secs(3));
            let m = memory_stats::memory_stats().unwrap().physical_mem >> 20;
            eprintln!("{:?} {:?} depth {:?} frontier {:?} pages {} mem {}M", p.states, p.steps, p.depth, p.frontier, w.book.pages(), m);
            if m > 8000 { p.stop.store(true, std::sync::atomic::Ordering::Relaxed); }
        });
        let f = explore(w, Limits { threads: 2, states: 4_000_000_000 }, p);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        f
    });
    println!("{} states {} steps depth {} complete {} {:?} pages {}", f.states, f.steps, f.depth, f.complete, f.took, w.book.pages());
    if let Some(v) = f.violation { println!("{}", v.what); for l in v.trace { println!("  {l}"); } for l in v.way { println!("   ..{l}"); } }
}
