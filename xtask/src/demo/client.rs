//! The demo's side of the load client: starts it in the client's namespace and keeps its latest counters.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};

use super::{counts::Counts, lab::Lab, process};

/// A running load client.
pub struct Client {
    child: Child,
    /// It stops when this closes.
    stdin: Option<ChildStdin>,
    counts: Arc<Mutex<Counts>>,
    reader: Option<JoinHandle<()>>,
}

impl Client {
    /// Arguments as `xtask __load` takes them.
    pub fn start(lab: &Lab, args: &[&str]) -> Result<Self> {
        let mut command = lab.inside("client");
        command.arg(std::env::current_exe()?).arg("__load").args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::start(&mut command)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no stdout")?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let latest = Arc::clone(&counts);
        let reader = thread::spawn(move || {
            for counts in
                BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|line| Counts::from_line(&line))
            {
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = counts;
            }
        });
        Ok(Self { child, stdin, counts, reader: Some(reader) })
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has sent all the requests that it was to send.
    pub fn is_done(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets the requests under way end, and returns what it counted in all.
    pub fn stop(mut self) -> Counts {
        drop(self.stdin.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.counts()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}
