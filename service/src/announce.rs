//! What a process says on standard output to whoever started it, a line for each: where it listens, that it is ready.

use std::io::Write;

/// Says a line. A closed standard output does not end the process.
pub fn announce(line: &str) {
    let mut out = std::io::stdout();
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
