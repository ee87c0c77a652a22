//! Ethernet addresses of the hosts in a lab.

use std::net::IpAddr;

/// Where frames come from.
pub const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Where frames come to.
pub const BALANCER: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The address of the host with this IP address: one that was made up for it.
pub fn mac(address: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => (address.to_bits() as u32).to_be_bytes(),
    };
    [2, if address.is_ipv4() { 4 } else { 6 }, a, b, c, d]
}
