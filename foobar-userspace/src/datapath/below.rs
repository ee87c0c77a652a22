//! What an interface stands on: packets come in by a device below it before they are its own.

use anyhow::Result;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::foreign;

/// An interface of this thread's network namespace as netlink shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    index: u32,
    name: String,
    /// The bridge or bond that it is a part of.
    controller: Option<u32>,
    /// What it stands on, in this namespace.
    lower: Option<u32>,
}

/// The names of an interface and of all that it stands on, itself first.
pub fn stack(interface: &str) -> Result<Vec<String>> {
    let devices: Vec<_> = foreign::links(None)?.into_iter().map(device).collect();
    Ok(names(&devices, interface))
}

fn names(devices: &[Device], interface: &str) -> Vec<String> {
    let mut found: Vec<_> = devices.iter().filter(|device| device.name == interface).collect();
    let mut next = 0;
    while let Some(upper) = found.get(next).copied() {
        let is_below = |device: &&Device| device.controller == Some(upper.index) || upper.lower == Some(device.index);
        let below: Vec<_> = devices.iter().filter(is_below).filter(|device| !found.contains(device)).collect();
        found.extend(below);
        next += 1;
    }
    found.into_iter().map(|device| device.name.clone()).collect()
}

fn device(link: LinkMessage) -> Device {
    let mut device = Device { index: link.header.index, ..Device::default() };
    let mut stands = false;
    let mut is_elsewhere = false;
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Controller(index) => device.controller = Some(index),
            LinkAttribute::Link(index) => device.lower = Some(index),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            LinkAttribute::LinkInfo(parts) => stands = parts.iter().any(stands_on_another),
            _ => {}
        }
    }
    // The other end of a veth pair, say, is no device below it.
    device.lower = device.lower.filter(|_| stands && !is_elsewhere);
    device
}

fn stands_on_another(part: &LinkInfo) -> bool {
    use InfoKind::{IpVlan, IpVtap, MacVlan, MacVtap, Vlan};
    matches!(part, LinkInfo::Kind(Vlan | MacVlan | MacVtap | IpVlan | IpVtap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interface_stands_on_is_found_to_the_ground() {
        let device = |index, name: &str, controller, lower| Device { index, name: name.to_owned(), controller, lower };
        let devices = [
            device(1, "lo", None, None),
            device(2, "eth0", Some(4), None),
            device(3, "eth1", Some(4), None),
            device(4, "bond0", None, None),
            device(5, "bond0.7", Some(6), Some(4)),
            device(6, "bridge", None, None),
            device(7, "tap0", Some(6), None),
        ];
        assert_eq!(names(&devices, "bridge"), ["bridge", "bond0.7", "tap0", "bond0", "eth0", "eth1"]);
        assert_eq!(names(&devices, "eth0"), ["eth0"]);
        assert_eq!(names(&devices, "nowhere"), [] as [&str; 0]);
    }
}
