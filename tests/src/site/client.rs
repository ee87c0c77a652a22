//! The client's side of a connection. Every socket is made in the calling thread's network namespace.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt},
};

use super::echo::{GREETING_LEN, greeter};

/// Who is asked, from where, and how long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub source: Option<IpAddr>,
    pub timeout: Duration,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub backend: String,
    /// The client's port of the connection.
    pub port: u16,
}

/// An open connection over which requests go.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    asked: u32,
}

impl Target {
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self { address: SocketAddr::new(address, port), source: None, timeout: Duration::from_secs(10) }
    }

    pub const fn from(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// For what is expected not to be answered.
    pub const fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub fn connect(&self) -> io::Result<Connection> {
        Ok(Connection { reader: BufReader::new(self.dial()?), asked: 0 })
    }

    /// One request on a connection of its own, that ends in order.
    pub fn ask(&self) -> io::Result<Answer> {
        self.connect()?.ask_and_close()
    }

    /// The name that an echo server says, on a connection of its own.
    pub fn greet(&self) -> io::Result<String> {
        let mut greeting = [0; GREETING_LEN];
        self.dial()?.read_exact(&mut greeting)?;
        greeter(greeting).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(super) fn dial(&self) -> io::Result<TcpStream> {
        let family = if self.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // On Linux the send timeout bounds connect as well.
        for direction in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
            sockopt::set_socket_timeout(&socket, direction, Some(self.timeout))?;
        }
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(source) = self.source {
            bind(&socket, &SocketAddr::new(source, 0))?;
        }
        match connect(&socket, &self.address) {
            Err(Errno::INPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
            result => Ok(result.map(|()| socket.into())?),
        }
    }
}

impl Connection {
    /// Asks, and leaves the connection open.
    pub fn ask(&mut self) -> io::Result<Answer> {
        self.exchange("keep-alive")
    }

    /// Asks for the last time, and sees the other side close in order.
    pub fn ask_and_close(mut self) -> io::Result<Answer> {
        let answer = self.exchange("close")?;
        match self.reader.read(&mut [0])? {
            0 => Ok(answer),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than an answer")),
        }
    }

    fn exchange(&mut self, connection: &str) -> io::Result<Answer> {
        self.asked += 1;
        let path = format!("/{}", self.asked);
        let request = format!("GET {path} HTTP/1.1\r\nHost: site.test\r\nConnection: {connection}\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        let body = read_answer(&mut self.reader)?;
        let port = self.reader.get_ref().local_addr()?.port();
        match body.trim_end().split_once(' ') {
            Some((backend, said)) if said == path => Ok(Answer { backend: backend.to_owned(), port }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("asked for {path}, got {body:?}"))),
        }
    }
}

/// The body of a 200 answer.
fn read_answer(reader: &mut impl BufRead) -> io::Result<String> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = Vec::new();
    while !head.last().is_some_and(String::is_empty) {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(line.trim_end().to_owned());
    }
    if !head[0].starts_with("HTTP/1.1 200 ") {
        return Err(bad(&head[0]));
    }
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let mut body = vec![0; length.ok_or_else(|| bad("no length"))?];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
