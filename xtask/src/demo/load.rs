//! The client: a new connection per request from many workers, and connections held open beside them.
//!
//! Runs inside a namespace, tells its counters as a line of JSON every 200 ms, and ends when its stdin does. Any connect
//! error, timeout, reset or wrong answer is a failed request; none is tried again.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    counts::Counts,
    process,
    request::{Connection, Failure, Target},
};

const REPORT_EVERY: Duration = Duration::from_millis(200);
/// A held connection asks this often.
const HELD_EVERY: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    target: SocketAddrV4,
    #[arg(long)]
    source: Option<Ipv4Addr>,
    #[arg(long, default_value_t = 16)]
    workers: u32,
    /// Stop after so many requests
    #[arg(long)]
    requests: Option<u64>,
    /// Requests per second; as fast as they go if not given
    #[arg(long)]
    rate: Option<u32>,
    /// Connections to hold open beside
    #[arg(long, default_value_t = 0)]
    hold: u32,
    #[arg(long, default_value_t = 3000)]
    timeout_ms: u64,
}

/// What the workers share.
struct Client {
    target: Target,
    start: Instant,
    rate: Option<u32>,
    most: u64,
    taken: AtomicU64,
    stopping: AtomicBool,
    counts: Mutex<Counts>,
}

pub fn run(args: &Args) -> Result<()> {
    process::end_with_parent()?;
    let timeout = Duration::from_millis(args.timeout_ms);
    let client = Client {
        target: Target { address: args.target, source: args.source, timeout },
        start: Instant::now(),
        rate: args.rate,
        most: args.requests.unwrap_or(u64::MAX),
        taken: AtomicU64::new(0),
        stopping: AtomicBool::new(false),
        counts: Mutex::default(),
    };
    let client: &'static Client = Box::leak(Box::new(client));
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        client.stopping.store(true, Ordering::Relaxed);
    });
    let workers: Vec<_> = (0..args.workers).map(|_| thread::spawn(|| client.send_requests())).collect();
    let holders: Vec<_> = (0..args.hold).map(|_| thread::spawn(|| client.hold_connection())).collect();
    while !workers.iter().all(thread::JoinHandle::is_finished) {
        thread::sleep(REPORT_EVERY.min(if args.requests.is_some() { Duration::from_millis(5) } else { REPORT_EVERY }));
        client.tell()?;
    }
    client.stopping.store(true, Ordering::Relaxed);
    for thread in workers.into_iter().chain(holders) {
        let _ = thread.join();
    }
    client.tell()?;
    Ok(())
}

impl Client {
    fn send_requests(&self) {
        while let Some(due) = self.next_due() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.is_stopping() {
                return;
            }
            let start = Instant::now();
            let answer = Connection::open(&self.target).and_then(Connection::ask_and_close);
            self.note(true, answer, start);
        }
    }

    /// When the next request is to be sent; none when all are.
    fn next_due(&self) -> Option<Instant> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.most || self.is_stopping() {
            return None;
        }
        let delay = self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(number.min(1 << 32)) / rate);
        Some(self.start + delay)
    }

    /// Asks over one connection until the end. Another backend's answer, or a lost connection, is a failure.
    fn hold_connection(&self) {
        let mut open = None;
        while !self.is_stopping() {
            let start = Instant::now();
            let answer = self.ask_held(&mut open);
            if answer.is_err() {
                open = None;
            }
            self.note(false, answer, start);
            thread::sleep(HELD_EVERY.saturating_sub(start.elapsed()));
        }
        if let Some((connection, _)) = open {
            let _ = connection.ask_and_close();
        }
    }

    fn ask_held(&self, open: &mut Option<(Connection, String)>) -> Result<String, Failure> {
        let Some((connection, backend)) = open else {
            let mut connection = Connection::open(&self.target)?;
            let backend = connection.ask()?;
            *open = Some((connection, backend.clone()));
            return Ok(backend);
        };
        let answer = connection.ask()?;
        if answer == *backend { Ok(answer) } else { Err(Failure::Moved) }
    }

    fn note(&self, is_fresh: bool, answer: Result<String, Failure>, start: Instant) {
        let took = start.elapsed();
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).note(is_fresh, answer, took);
    }

    fn tell(&self) -> io::Result<()> {
        let line = self.counts.lock().unwrap_or_else(PoisonError::into_inner).to_line();
        writeln!(io::stdout(), "{line}")
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
