//! One HTTP request over TCP as the load client makes it, and the ways in which it can fail.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    time::Duration,
};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

/// Why a request counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    Timeout,
    Refused,
    Reset,
    /// Not HTTP, not 200, or cut short.
    BadAnswer,
    /// An open connection was answered by another backend than before.
    Moved,
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::BadAnswer => "bad answer",
            Self::Moved => "moved to another backend",
            Self::Other => "other",
        })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Linux reports a send or receive timeout as "would block", and one of connect as "in progress".
        if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) {
            return Self::Timeout;
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::BadAnswer,
            _ => Self::Other,
        }
    }
}

/// Where requests go, from where, and how long each step may take.
#[derive(Clone, Copy)]
pub struct Target {
    pub address: SocketAddrV4,
    pub source: Option<Ipv4Addr>,
    pub timeout: Duration,
}

/// An open connection.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(target: &Target) -> Result<Self, Failure> {
        Ok(Self(BufReader::new(dial(target)?)))
    }

    /// Asks and leaves the connection open.
    pub fn ask(&mut self) -> Result<String, Failure> {
        self.exchange("keep-alive")
    }

    /// Asks for the last time, and sees the other side close in order.
    pub fn ask_and_close(mut self) -> Result<String, Failure> {
        let answer = self.exchange("close")?;
        let rest = self.0.read(&mut [0])?;
        if rest == 0 { Ok(answer) } else { Err(Failure::BadAnswer) }
    }

    fn exchange(&mut self, connection: &str) -> Result<String, Failure> {
        let request = format!("GET / HTTP/1.1\r\nHost: foobar.demo\r\nConnection: {connection}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut self.0)
    }
}

fn dial(target: &Target) -> io::Result<TcpStream> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // On Linux the send timeout bounds connect as well.
    for direction in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, direction, Some(target.timeout))?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = target.source {
        bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    connect(&socket, &target.address)?;
    Ok(socket.into())
}

/// The body of a 200 answer, without its line end.
fn read_answer(reader: &mut impl BufRead) -> Result<String, Failure> {
    let mut head = Vec::new();
    while !head.last().is_some_and(String::is_empty) {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(Failure::BadAnswer);
        }
        head.push(line.trim_end().to_owned());
    }
    if !head[0].starts_with("HTTP/1.1 200 ") {
        return Err(Failure::BadAnswer);
    }
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    let mut body = vec![0; length.ok_or(Failure::BadAnswer)?];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Failure, read_answer};

    #[test]
    fn only_a_whole_answer_is_an_answer() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nb1\n";

        assert_eq!(read_answer(&mut whole.as_bytes()), Ok("b1".to_owned()));
        for cut in 0..whole.len() {
            assert_eq!(read_answer(&mut &whole.as_bytes()[..cut]), Err(Failure::BadAnswer), "cut at {cut}");
        }
    }

    #[test]
    fn another_status_is_no_answer() {
        let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

        assert_eq!(read_answer(&mut busy.as_bytes()), Err(Failure::BadAnswer));
    }
}
