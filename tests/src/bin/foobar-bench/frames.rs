//! The frames that are timed: whole headers, padded to what the harness puts back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame is. Sources 203.0.113.0/24 and `2001:db8:bad::/48` are denied; others here are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    DeniedSource,
    AllowedPort,
    Established,
    Syn,
    Request,
    /// A backend's, to the client of the other frames.
    Answer,
}

/// The addresses of the services, on tcp/80.
pub const SERVICE_V4: &str = "192.0.2.10";
pub const SERVICE_V6: &str = "2001:db8:2::10";

/// The servers behind each.
pub const BACKENDS_V4: [&str; 3] = ["198.18.1.1", "198.18.1.2", "198.18.1.3"];
pub const BACKENDS_V6: [&str; 3] = ["2001:db8:2::11", "2001:db8:2::12", "2001:db8:2::13"];

const CLIENT_PORT: u16 = 40_000;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// The harness puts 80 bytes back, so that is the least; what is behind the IP packet is padding.
const LEAST: usize = 80;

/// A TCP frame of this kind. Checksums are zero: nothing on this path reads them.
pub fn frame(kind: Kind, v6: bool) -> Vec<u8> {
    let payload: &[u8] =
        if kind == Kind::Request { b"GET /index.html HTTP/1.1\r\nHost: www.foobar.com\r\n\r\n" } else { b"" };
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let segment_len = (20 + payload.len()) as u16;
    if v6 {
        ipv6(&mut frame, kind, segment_len);
    } else {
        ipv4(&mut frame, kind, segment_len);
    }
    let port: u16 = if kind == Kind::AllowedPort { 22 } else { 80 };
    let (from, to) = if kind == Kind::Answer { (port, CLIENT_PORT) } else { (CLIENT_PORT, port) };
    let flags = if kind == Kind::Syn { SYN } else { ACK };
    frame.extend(from.to_be_bytes());
    frame.extend(to.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame.resize(frame.len().max(LEAST), 0);
    frame
}

/// The source of a flow whose frames are spread: the front and the end of the address, as the harness writes them.
pub fn source(flow: u64, v6: bool) -> IpAddr {
    let mixed = (flow + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [front, second] = (((mixed >> 16) as u16) & 0xff7f).to_le_bytes();
    let [third, last] = ((mixed >> 32) as u16).to_le_bytes();
    if v6 {
        let both = |high, low| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0x2001, both(front, second), 1, 0, 0, 0, 0, both(third, last)).into()
    } else {
        Ipv4Addr::new(front, second, third, last).into()
    }
}

fn ipv4(frame: &mut Vec<u8>, kind: Kind, segment_len: u16) {
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((20 + segment_len).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    let (client, service) = ([198, 18, 0, 1], [192, 0, 2, 10]);
    let ends = match kind {
        Kind::DeniedSource => [[203, 0, 113, 9], service],
        Kind::Answer => [[198, 18, 1, 1], client],
        _ => [client, service],
    };
    frame.extend(ends.concat());
}

fn ipv6(frame: &mut Vec<u8>, kind: Kind, segment_len: u16) {
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(segment_len.to_be_bytes());
    frame.extend([6, 64]);
    let third = if kind == Kind::DeniedSource { 0xbad } else { 1 };
    let client = Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 1);
    let server = |last| Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last);
    let (from, to) = if kind == Kind::Answer { (server(0x11), client) } else { (client, server(0x10)) };
    frame.extend(from.octets());
    frame.extend(to.octets());
}
