//! CPU time of processes, from /proc.

use std::collections::BTreeMap;
use std::fs;

/// CPU seconds used so far, by part of the system.
pub type CpuTimes = BTreeMap<String, f64>;

/// CPU seconds of a process and of all below it, the ended ones it has waited for included.
pub fn of_tree(root: u32) -> f64 {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let Ok(all) = fs::read_dir("/proc") else { return 0.0 };
    for pid in all.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok()) {
        if let Some(fields) = stat(pid) {
            children.entry(fields.parent).or_default().push(pid);
        }
    }
    let mut sum = 0.0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        sum += stat(pid).map_or(0.0, |fields| fields.ticks as f64 / TICKS_PER_SECOND);
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    sum
}

/// `USER_HZ`, which is 100 on every Linux that /proc is read on (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

struct Stat {
    parent: u32,
    ticks: u64,
}

/// The fields after the name in parentheses, which may contain anything (proc(5)): state, parent, …
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime are fields 14 to 17 of the line, 11 to 14 after the name.
    let ticks = (11..=14).map(|i| number(i).unwrap_or(0)).sum();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}
