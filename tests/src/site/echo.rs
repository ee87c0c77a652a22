//! A backend's echo server: says its name in eight bytes, then sends back what it reads. One thread for all connections.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use super::poll::Poll;

/// The first bytes of every connection: the server's name, filled up with zeros.
pub const GREETING_LEN: usize = 8;
const BACKLOG: i32 = 4096;
const LISTENER: u64 = 0;
/// Between two looks whether to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Echoes until it is dropped, which ends its connections.
#[derive(Debug)]
pub struct EchoServer {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EchoServer {
    /// Listens on every address, of both families, of the calling thread's network namespace.
    pub fn listen(name: &str, port: u16) -> Self {
        let listener = listener(port).unwrap_or_else(|error| panic!("{name}, port {port}: {error}"));
        let stopping = Arc::<AtomicBool>::default();
        let (stop, name) = (Arc::clone(&stopping), name.to_owned());
        let thread = thread::spawn(move || {
            serve(&listener, greeting(&name), &stop).unwrap_or_else(|error| panic!("{name}: {error}"));
        });
        Self { stopping, thread: Some(thread) }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whose greeting it is; absent where it is none.
pub fn greeter(greeting: [u8; GREETING_LEN]) -> Option<String> {
    let name = String::from_utf8(greeting.into_iter().take_while(|byte| *byte != 0).collect()).ok()?;
    (!name.is_empty()).then_some(name)
}

fn greeting(name: &str) -> [u8; GREETING_LEN] {
    let mut bytes = [0; GREETING_LEN];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn listener(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: &TcpListener, greeting: [u8; GREETING_LEN], stopping: &AtomicBool) -> io::Result<()> {
    let poll = Poll::new()?;
    poll.add(listener, LISTENER)?;
    let mut open = HashMap::new();
    let mut last = LISTENER;
    while !stopping.load(Ordering::Relaxed) {
        for number in poll.wait(LOOK_EVERY)? {
            if number != LISTENER {
                let goes_on = open.get_mut(&number).is_some_and(|stream| echo(stream).is_ok());
                if !goes_on {
                    open.remove(&number);
                }
                continue;
            }
            // What fails here is a client that is gone already, or that there are no more.
            while let Ok((stream, _)) = listener.accept() {
                last += 1;
                if greet(&stream, greeting).is_ok() {
                    poll.add(&stream, last)?;
                    open.insert(last, stream);
                }
            }
        }
    }
    Ok(())
}

fn greet(mut stream: &TcpStream, greeting: [u8; GREETING_LEN]) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    stream.write_all(&greeting)
}

/// An error where the connection is over. Who waits for each answer never fills the socket's buffer.
fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 512];
    match stream.read(&mut bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(len) => stream.write_all(&bytes[..len]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
