//! A backend's web server: answers every request with the backend's name and the path that was asked for.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::net::Shutdown;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: Arc<TcpListener>,
    asked: Arc<AtomicU64>,
}

impl Server {
    /// Listens on every address, of both families, of the calling thread's network namespace.
    pub fn listen(name: &str, port: u16) -> Self {
        let listener = TcpListener::bind(("::", port)).unwrap_or_else(|error| panic!("{name}, port {port}: {error}"));
        let (listener, asked) = (Arc::new(listener), Arc::new(AtomicU64::new(0)));
        let server = Self { listener: Arc::clone(&listener), asked: Arc::clone(&asked) };
        let name: Arc<str> = name.into();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (name, asked) = (Arc::clone(&name), Arc::clone(&asked));
                // A client that hangs up ends its conversation, and nothing else.
                thread::spawn(move || converse(&stream, &name, &asked));
            }
        });
        server
    }

    /// Requests that were read.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread that accepts.
        let _ = rustix::net::shutdown(&*self.listener, Shutdown::Both);
    }
}

fn converse(stream: &TcpStream, name: &str, asked: &AtomicU64) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    loop {
        let request = lines.next()?;
        let headers: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        asked.fetch_add(1, Ordering::Relaxed);
        let body = format!("{name} {}\n", request.split(' ').nth(1)?);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut out = stream;
        out.write_all(answer.as_bytes()).ok()?;
        if headers.iter().any(|header| header.eq_ignore_ascii_case("connection: close")) {
            return None;
        }
    }
}
