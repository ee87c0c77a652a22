//! Short connections at a rate: each hears who serves it, and closes. Each is written down.
//!
//! One thread for all. On a machine that cannot keep up, fewer are begun.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use foobar_userspace::netns;
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with},
};

use super::{
    PATIENCE,
    echo::{GREETING_LEN, greeter},
    poll::Poll,
    shell::wait_until,
};

const MOST_OPEN: usize = 4096;
/// What is begun at once after a pause.
const MOST_BEHIND: Duration = Duration::from_millis(50);
/// After which a connection has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One connection from its begin to its end.
#[derive(Clone, Debug)]
pub struct Short {
    /// Before its SYN.
    pub began: Instant,
    pub ended: Instant,
    /// Who served it, or what failed.
    pub end: Result<String, io::ErrorKind>,
}

impl Short {
    pub fn is_of(&self, server: &str) -> bool {
        self.end.as_ref().is_ok_and(|name| name == server)
    }
}

/// Connections that are begun until this ends.
#[derive(Debug)]
pub struct Shorts {
    done: Arc<Mutex<Vec<Short>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shorts {
    /// Begins inside a network namespace, from each source in turn.
    pub fn begin(namespace: &str, address: SocketAddr, sources: &[IpAddr], per_second: u32) -> Self {
        let (done, stopping) = (Arc::<Mutex<Vec<Short>>>::default(), Arc::<AtomicBool>::default());
        let (shared, stop) = (Arc::clone(&done), Arc::clone(&stopping));
        let (namespace, sources) = (namespace.to_owned(), sources.to_vec());
        let thread = thread::spawn(move || {
            netns::enter(&namespace).expect("the client's namespace");
            let every = Duration::from_secs(1) / per_second;
            let poll = Poll::new().expect("epoll");
            let run = Run { poll, address, sources, every, next: Instant::now(), number: 0, open: HashMap::new() };
            run.go_on(&shared, &stop).expect("the thread of the short connections");
        });
        Self { done, stopping, thread: Some(thread) }
    }

    pub fn so_far(&self) -> usize {
        locked(&self.done).len()
    }

    /// Waits until so many more have ended.
    pub fn wait_for(&self, more: usize) {
        let enough = self.so_far() + more;
        wait_until("short connections", PATIENCE, || self.so_far() >= enough);
    }

    /// Stops, after those under way, and returns all.
    pub fn end(mut self) -> Vec<Short> {
        self.stop();
        std::mem::take(&mut *locked(&self.done))
    }

    fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Shorts {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Run {
    poll: Poll,
    address: SocketAddr,
    sources: Vec<IpAddr>,
    every: Duration,
    next: Instant,
    number: u64,
    open: HashMap<u64, (OwnedFd, Instant)>,
}

impl Run {
    fn go_on(mut self, done: &Mutex<Vec<Short>>, stopping: &AtomicBool) -> io::Result<()> {
        let mut timeouts = VecDeque::new();
        while !stopping.load(Ordering::Relaxed) || !self.open.is_empty() {
            for number in self.poll.wait(LOOK_EVERY)? {
                if let Some(end) = self.open.get(&number).and_then(|(socket, _)| heard(socket)) {
                    self.end(number, end, done);
                }
            }
            while let Some((_, number)) = timeouts.pop_front_if(|(due, _)| *due <= Instant::now()) {
                self.end(number, Err(io::ErrorKind::TimedOut), done);
            }
            if !stopping.load(Ordering::Relaxed) {
                self.begin_those_due(&mut timeouts, done)?;
            }
        }
        Ok(())
    }

    fn begin_those_due(&mut self, timeouts: &mut VecDeque<(Instant, u64)>, done: &Mutex<Vec<Short>>) -> io::Result<()> {
        let now = Instant::now();
        self.next = self.next.max(now.checked_sub(MOST_BEHIND).unwrap_or(now));
        while self.next <= now && self.open.len() < MOST_OPEN {
            self.next += self.every;
            self.number += 1;
            let (number, began) = (self.number, Instant::now());
            match self.dial() {
                Ok(socket) => {
                    self.poll.add(&socket, number)?;
                    self.open.insert(number, (socket, began));
                    timeouts.push_back((began + TIMEOUT, number));
                }
                Err(error) => locked(done).push(Short { began, ended: Instant::now(), end: Err(error.kind()) }),
            }
        }
        Ok(())
    }

    fn dial(&self) -> io::Result<OwnedFd> {
        let family = if self.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        let source = self.sources[self.number as usize % self.sources.len()];
        bind(&socket, &SocketAddr::new(source, 0))?;
        match connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }

    /// One that ended before is none that ends.
    fn end(&mut self, number: u64, end: Result<String, io::ErrorKind>, done: &Mutex<Vec<Short>>) {
        if let Some((_, began)) = self.open.remove(&number) {
            locked(done).push(Short { began, ended: Instant::now(), end });
        }
    }
}

/// What a connection has come to; absent where it goes on. A greeting is one segment.
fn heard(socket: &OwnedFd) -> Option<Result<String, io::ErrorKind>> {
    let mut greeting = [0; GREETING_LEN];
    match recv(socket, &mut greeting, RecvFlags::empty()) {
        Ok((_, GREETING_LEN)) => Some(greeter(greeting).ok_or(io::ErrorKind::InvalidData)),
        Ok(_) => Some(Err(io::ErrorKind::UnexpectedEof)),
        Err(Errno::AGAIN) => None,
        Err(error) => Some(Err(io::Error::from(error).kind())),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
