//! The backends' HTTP responder: answers every GET with the backend's name. Runs inside a namespace.
//!
//! It closes a connection only after the client's last byte, so that no answer is cut off by a reset.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::process;

/// A connection may be silent for this long.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub struct Args {
    /// What to answer
    #[arg(long)]
    name: String,
    #[arg(long)]
    listen: SocketAddr,
    /// Live on when the demo ends
    #[arg(long)]
    stay: bool,
}

pub fn run(Args { name, listen, stay }: &Args) -> Result<()> {
    if !stay {
        process::end_with_parent()?;
    }
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    println!("ready");
    for stream in listener.incoming() {
        let name = name.clone();
        // A client that went away is the client's matter.
        thread::spawn(move || stream.and_then(|stream| serve(&stream, &name)));
    }
    Ok(())
}

fn serve(stream: &TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let connection = if request.wants_close { "close" } else { "keep-alive" };
        let body = format!("{name}\n");
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}");
        (&mut &*stream).write_all(answer.as_bytes())?;
        if request.wants_close {
            break;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut reader.take(64 * 1024), &mut std::io::sink())?;
    Ok(())
}

struct Request {
    wants_close: bool,
}

/// The next request without a body, or nothing at the connection's end.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut request = Request { wants_close: false };
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" || line == "\n" {
            return Ok(Some(request));
        }
        request.wants_close |= line.trim_end().eq_ignore_ascii_case("connection: close");
    }
}

#[cfg(test)]
mod tests {
    use super::read_request;

    #[test]
    fn requests_are_told_apart_and_the_end_is_seen() {
        let mut bytes = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n"[..];

        assert!(!read_request(&mut bytes).unwrap().unwrap().wants_close);
        assert!(read_request(&mut bytes).unwrap().unwrap().wants_close);
        assert!(read_request(&mut bytes).unwrap().is_none());
    }
}
