//! Megabytes over one connection, in either direction: each end knows every byte that is to come.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::client::Target;

const UP: u8 = b'u';
const DOWN: u8 = b'd';
const GOOD: u8 = b'+';
const CHUNK: usize = 1 << 16;
const SEED: u64 = 7;
/// No byte may come to the server this late.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Serves streams until the test ends.
#[derive(Debug)]
pub struct StreamServer(());

impl StreamServer {
    /// Listens on every address, of both families, of the calling thread's network namespace.
    pub fn listen(port: u16) -> Self {
        let listener = TcpListener::bind(("::", port)).unwrap_or_else(|error| panic!("port {port}: {error}"));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // A client that hangs up has its own error.
                thread::spawn(move || serve(stream));
            }
        });
        Self(())
    }
}

/// Sends so many bytes, each within the target's time, and hears that they arrived as they were.
pub fn upload(target: Target, len: usize) -> io::Result<()> {
    let mut stream = ask(target, UP, len)?;
    send(&mut stream, len)?;
    let mut end = [0];
    stream.read_exact(&mut end)?;
    if end == [GOOD] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Gets so many bytes, and looks at each.
pub fn download(target: Target, len: usize) -> io::Result<()> {
    let mut stream = ask(target, DOWN, len)?;
    expect(&mut stream, len)?;
    if stream.read(&mut [0])? == 0 { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn ask(target: Target, way: u8, len: usize) -> io::Result<TcpStream> {
    let mut stream = target.dial()?;
    stream.write_all(&[&[way], (len as u64).to_be_bytes().as_slice()].concat())?;
    Ok(stream)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut asked = [0; 9];
    stream.read_exact(&mut asked)?;
    let [way, len @ ..] = asked;
    let len = u64::from_be_bytes(len) as usize;
    if way == DOWN {
        send(&mut stream, len)?;
    } else {
        expect(&mut stream, len)?;
        stream.write_all(&[GOOD])?;
    }
    stream.shutdown(Shutdown::Write)
}

fn send(stream: &mut TcpStream, len: usize) -> io::Result<()> {
    chunks(len, |bytes| stream.write_all(bytes))
}

fn expect(stream: &mut TcpStream, len: usize) -> io::Result<()> {
    let mut got = vec![0; CHUNK];
    chunks(len, |bytes| {
        let got = &mut got[..bytes.len()];
        stream.read_exact(got)?;
        if got == bytes { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    })
}

/// The same bytes every time, none of them predictable from where it stands.
fn chunks(len: usize, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut random, mut bytes, mut left) = (fastrand::Rng::with_seed(SEED), vec![0; CHUNK], len);
    while left > 0 {
        let take = left.min(CHUNK);
        random.fill(&mut bytes[..take]);
        with(&bytes[..take])?;
        left -= take;
    }
    Ok(())
}
