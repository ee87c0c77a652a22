//! Connections that are open all the time: each sends a numbered message, sees it come back, and sends the next.
//!
//! One thread for all. A connection is broken once, with the reason, and is asked nothing more.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use foobar_userspace::netns;

use super::{
    PATIENCE,
    client::Target,
    echo::{GREETING_LEN, greeter},
    poll::Poll,
    shell::wait_until,
};

/// Between two messages of one connection.
const EVERY: Duration = Duration::from_millis(500);
/// After which a message that did not come back is one that never will.
const SILENCE: Duration = Duration::from_secs(20);
const MESSAGE_LEN: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// By a RST, or another error of the socket.
    Failed(io::ErrorKind),
    /// By a FIN.
    Closed,
    /// Nothing came back for 20 seconds.
    Silent,
    /// Something else came back: who speaks is not who has the connection.
    Garbled,
}

/// What became of a connection.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Who greeted it.
    pub server: String,
    /// The client's end.
    pub client: SocketAddr,
    /// Messages that came back.
    pub echoed: u64,
    pub broken: Option<Broken>,
}

/// Connections that keep echoing until this is dropped.
#[derive(Debug)]
pub struct Echoes {
    found: Arc<Mutex<Vec<Echo>>>,
    switches: Arc<Switches>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Switches {
    ends: AtomicBool,
    hushed: AtomicBool,
}

impl Echoes {
    /// Opens them inside a network namespace, from each address in turn.
    pub fn open(namespace: &str, target: Target, sources: &[IpAddr], count: usize) -> Self {
        let open = || (0..count).map(|index| greeted(target.from(sources[index % sources.len()]))).collect();
        let opened: Vec<(TcpStream, Echo)> = netns::within(namespace, open).expect("the client's namespace");
        let (streams, echoes): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        let (found, switches) = (Arc::new(Mutex::new(echoes)), Arc::<Switches>::default());
        let (shared, told) = (Arc::clone(&found), Arc::clone(&switches));
        let thread = thread::spawn(move || {
            Talk::begin(streams, &shared).and_then(|talk| talk.go_on(&told)).expect("the echoing thread");
        });
        Self { found, switches, thread: Some(thread) }
    }

    pub fn so_far(&self) -> Vec<Echo> {
        assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the echoing thread ended");
        locked(&self.found).clone()
    }

    /// Waits until each that is not broken has sent and got so many more messages.
    pub fn wait_for(&self, more: u64) -> Vec<Echo> {
        let enough: Vec<_> = self.so_far().iter().map(|echo| echo.echoed + more).collect();
        let mut found = Vec::new();
        wait_until("the echoes", PATIENCE, || {
            found = self.so_far();
            found.iter().zip(&enough).all(|(echo, enough)| echo.broken.is_some() || echo.echoed >= *enough)
        });
        found
    }

    /// Sends nothing more until [`speak`](Self::speak).
    pub fn hush(&self) {
        self.switches.hushed.store(true, Ordering::Relaxed);
    }

    pub fn speak(&self) {
        self.switches.hushed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        self.switches.ends.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A connection, and who greeted it.
fn greeted(target: Target) -> (TcpStream, Echo) {
    let connect = || {
        let mut stream = target.dial()?;
        let mut greeting = [0; GREETING_LEN];
        stream.read_exact(&mut greeting)?;
        stream.set_nonblocking(true)?;
        let server = greeter(greeting).ok_or(io::ErrorKind::InvalidData)?;
        let client = stream.local_addr()?;
        Ok::<_, io::Error>((stream, Echo { server, client, echoed: 0, broken: None }))
    };
    connect().unwrap_or_else(|error| panic!("a connection to {}: {error}", target.address))
}

/// All connections, as their thread has them.
struct Talk<'a> {
    poll: Poll,
    talkers: Vec<Talker>,
    /// Whose turn it is when, soonest first.
    turns: VecDeque<(Instant, usize)>,
    echoes: &'a Mutex<Vec<Echo>>,
}

struct Talker {
    stream: TcpStream,
    /// Since when a message is under way.
    asked: Option<Instant>,
    sent: [u8; MESSAGE_LEN],
    received: Vec<u8>,
}

impl<'a> Talk<'a> {
    fn begin(streams: Vec<TcpStream>, echoes: &'a Mutex<Vec<Echo>>) -> io::Result<Self> {
        let (poll, now) = (Poll::new()?, Instant::now());
        for (number, stream) in streams.iter().enumerate() {
            poll.add(stream, number as u64)?;
        }
        let count = streams.len().max(1) as u32;
        let turn = |number: usize| (now + EVERY * number as u32 / count, number);
        let turns = (0..streams.len()).map(turn).collect();
        let talker = |stream| Talker { stream, asked: None, sent: [0; MESSAGE_LEN], received: Vec::new() };
        Ok(Self { poll, talkers: streams.into_iter().map(talker).collect(), turns, echoes })
    }

    fn go_on(mut self, switches: &Switches) -> io::Result<()> {
        let mut looked = Instant::now();
        while !switches.ends.load(Ordering::Relaxed) {
            for number in self.poll.wait(LOOK_EVERY)? {
                self.hear(number as usize);
            }
            if !switches.hushed.load(Ordering::Relaxed) {
                self.take_turns();
            }
            if looked.elapsed() > LOOK_EVERY * 50 {
                looked = Instant::now();
                self.find_silent();
            }
        }
        Ok(())
    }

    fn take_turns(&mut self) {
        while let Some((_, number)) = self.turns.pop_front_if(|(due, _)| *due <= Instant::now()) {
            let mut echoes = locked(self.echoes);
            let echo = &mut echoes[number];
            if echo.broken.is_none() {
                echo.broken = self.talkers[number].ask(number as u64, echo.echoed).err();
            }
        }
    }

    fn hear(&mut self, number: usize) {
        let mut echoes = locked(self.echoes);
        let (talker, echo) = (&mut self.talkers[number], &mut echoes[number]);
        if echo.broken.is_some() {
            return;
        }
        match talker.hear() {
            Ok(false) => {}
            Ok(true) => {
                echo.echoed += 1;
                self.turns.push_back((Instant::now() + EVERY, number));
            }
            Err(broken) => {
                echo.broken = Some(broken);
                // What is broken is ready for ever.
                let _ = self.poll.remove(&talker.stream);
            }
        }
    }

    fn find_silent(&mut self) {
        let mut echoes = locked(self.echoes);
        for (talker, echo) in self.talkers.iter().zip(echoes.iter_mut()) {
            if echo.broken.is_none() && talker.asked.is_some_and(|asked| asked.elapsed() > SILENCE) {
                echo.broken = Some(Broken::Silent);
            }
        }
    }
}

impl Talker {
    fn ask(&mut self, number: u64, count: u64) -> Result<(), Broken> {
        self.sent[..8].copy_from_slice(&number.to_be_bytes());
        self.sent[8..].copy_from_slice(&count.to_be_bytes());
        self.asked = Some(Instant::now());
        self.stream.write_all(&self.sent).map_err(|error| Broken::Failed(error.kind()))
    }

    /// Whether the message is back.
    fn hear(&mut self) -> Result<bool, Broken> {
        let mut bytes = [0; MESSAGE_LEN];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(Broken::Closed),
            Ok(len) => self.received.extend(&bytes[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Broken::Failed(error.kind())),
        }
        if self.asked.is_none() || !self.sent.starts_with(&self.received) {
            return Err(Broken::Garbled);
        }
        let is_back = self.received.len() == MESSAGE_LEN;
        if is_back {
            self.asked = None;
            self.received.clear();
        }
        Ok(is_back)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
