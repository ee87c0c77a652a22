//! The Internet checksum (RFC 1071), from scratch.

use std::net::IpAddr;

/// Over the bytes, and over sums that were begun elsewhere.
pub fn checksum(bytes: &[u8], begun: u32) -> u16 {
    let mut sum = begun + sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Of a TCP, UDP or `ICMPv6` message between two addresses.
pub fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    let addresses = octets(source).iter().chain(&octets(destination)).copied().collect::<Vec<_>>();
    checksum(message, sum(&addresses) + u32::from(protocol) + message.len() as u32)
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
