//! A process of ours: started, listened to, killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running process and what it has written so far.
pub struct Process {
    pub name: String,
    child: Child,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<String>>,
    more: Condvar,
}

impl Process {
    /// Starts `program` with `args` and exactly the variables `env` beside PATH and HOME.
    pub fn start(name: &str, program: &str, args: &[&str], env: &BTreeMap<String, String>) -> Self {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let lines = Arc::new(Lines::default());
        listen(child.stdout.take().unwrap(), lines.clone());
        listen(child.stderr.take().unwrap(), lines.clone());
        Self { name: name.to_owned(), child, lines }
    }

    /// Waits until a line contains all of `parts`, and returns it.
    pub fn wait_for(&self, parts: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        let mut seen = self.lines.seen.lock().unwrap();
        loop {
            if let Some(line) = seen.iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} never wrote {parts:?}; it wrote:\n{}", self.name, seen.join("\n"));
            seen = self.lines.more.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// The lines so far that contain all of `parts`.
    pub fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        let seen = self.lines.seen.lock().unwrap();
        seen.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
    }

    /// All it has written.
    pub fn output(&self) -> String {
        self.lines.seen.lock().unwrap().join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without warning (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Sends it a signal by name, as `kill -s` knows it.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Asks it to end (SIGTERM) and returns its exit code.
    pub fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for its end and returns its exit code (-1 for a signal).
    pub fn wait(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "{} does not end; it wrote:\n{}", self.name, self.output());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
        if std::thread::panicking() {
            let lines = self.lines.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let from = lines.len().saturating_sub(30);
            eprintln!("--- the last lines of {}:\n{}", self.name, lines[from..].join("\n"));
        }
    }
}

fn listen(stream: impl Read + Send + 'static, lines: Arc<Lines>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.seen.lock().unwrap().push(line);
            lines.more.notify_all();
        }
    });
}
