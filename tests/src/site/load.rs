//! Traffic that goes on beside the test: new connections at a rate, and connections that are held open.

use std::{
    collections::BTreeMap,
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use foobar_userspace::netns;

use super::{
    PATIENCE,
    client::{Connection, Target},
    shell::wait_until,
};

const WORKERS: u64 = 8;
/// Between two rounds over the held connections.
const HELD_EVERY: Duration = Duration::from_millis(20);

/// What became of the requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: BTreeMap<String, u64>,
    /// What the client saw, by how often.
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    pub fn total(&self) -> u64 {
        self.answered.values().sum()
    }

    /// Answers of one backend.
    pub fn of(&self, backend: &str) -> u64 {
        self.answered.get(backend).copied().unwrap_or(0)
    }
}

/// Requests at a rate, each on a connection of its own; ends when dropped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    stopping: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins inside a network namespace.
    pub fn begin(namespace: &str, target: Target, per_second: u32) -> Self {
        let (tally, stopping) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let (start, taken) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let worker = |_| {
            let (tally, stopping, taken) = (Arc::clone(&tally), Arc::clone(&stopping), Arc::clone(&taken));
            let namespace = namespace.to_owned();
            thread::spawn(move || {
                netns::enter(&namespace).expect("the client's namespace");
                while !stopping.load(Ordering::Relaxed) {
                    let number = taken.fetch_add(1, Ordering::Relaxed) as u32;
                    let due = start + Duration::from_secs(1) / per_second * number;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    note(&mut locked(&tally), target.ask().map(|answer| answer.backend));
                }
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { tally, stopping, workers }
    }

    /// What became of the requests up to here.
    pub fn so_far(&self) -> Tally {
        locked(&self.tally).clone()
    }

    /// Waits until so many more requests have been answered or failed.
    pub fn wait_for(&self, more: u64) {
        let count = |tally: Tally| tally.total() + tally.failed.values().sum::<u64>();
        let enough = count(self.so_far()) + more;
        wait_until("requests", PATIENCE, || count(self.so_far()) >= enough);
    }

    /// Stops, after the requests under way.
    pub fn end(mut self) -> Tally {
        self.stop();
        self.so_far()
    }

    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for worker in mem::take(&mut self.workers) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn note(tally: &mut Tally, answer: io::Result<String>) {
    match answer {
        Ok(backend) => *tally.answered.entry(backend).or_default() += 1,
        Err(error) => *tally.failed.entry(error.to_string()).or_default() += 1,
    }
}

/// What became of a held connection.
#[derive(Clone, Debug)]
pub struct Fate {
    pub backend: String,
    /// Requests that were answered over it.
    pub asked: u64,
    /// Why it ended, if it did: an error, or an answer of another backend.
    pub broken: Option<String>,
}

/// Connections that are held open and keep asking; end when dropped.
#[derive(Debug)]
pub struct Held {
    fates: Arc<Mutex<Vec<Fate>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// Opens them inside a network namespace.
    pub fn open(namespace: &str, target: Target, count: usize) -> Self {
        let open = || (0..count).map(|_| target.connect().expect("a connection")).collect::<Vec<_>>();
        let mut open = netns::within(namespace, open).expect("the client's namespace");
        let first = |connection: &mut Connection| {
            let backend = connection.ask().expect("the first answer").backend;
            Fate { backend, asked: 1, broken: None }
        };
        let fates = Arc::new(Mutex::new(open.iter_mut().map(first).collect::<Vec<_>>()));
        let (stopping, shared) = (Arc::<AtomicBool>::default(), Arc::clone(&fates));
        let stop = Arc::clone(&stopping);
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (index, connection) in open.iter_mut().enumerate() {
                    ask(connection, &shared, index);
                }
                thread::sleep(HELD_EVERY);
            }
        });
        Self { fates, stopping, thread: Some(thread) }
    }

    pub fn fates(&self) -> Vec<Fate> {
        locked(&self.fates).clone()
    }

    /// Waits until each that is not broken has been answered so many more times.
    pub fn wait_for(&self, more: u64) -> Vec<Fate> {
        let enough: Vec<_> = self.fates().iter().map(|fate| fate.asked + more).collect();
        wait_until("the held connections", PATIENCE, || {
            self.fates().iter().zip(&enough).all(|(fate, enough)| fate.broken.is_some() || fate.asked >= *enough)
        });
        self.fates()
    }

    /// Waits until every one is broken.
    pub fn wait_for_end(&self) {
        wait_until("the held connections to break", PATIENCE, || self.fates().iter().all(|fate| fate.broken.is_some()));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ask(connection: &mut Connection, fates: &Mutex<Vec<Fate>>, index: usize) {
    if locked(fates)[index].broken.is_some() {
        return;
    }
    let answer = connection.ask();
    let fate = &mut locked(fates)[index];
    match answer {
        Ok(answer) if answer.backend == fate.backend => fate.asked += 1,
        Ok(answer) => fate.broken = Some(format!("moved from {} to {}", fate.backend, answer.backend)),
        Err(error) => fate.broken = Some(error.to_string()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
