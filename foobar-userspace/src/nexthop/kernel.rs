//! The questions to the kernel: routes, links and neighbours, over rtnetlink, in the thread's network namespace.

use std::{collections::HashMap, net::IpAddr};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia},
    },
};

use super::way::{Link, Neighbour, Networks, Path, Route};

pub(super) type Links = HashMap<u32, Link>;
pub(super) type Neighbours = HashMap<(u32, IpAddr), Neighbour>;

/// Every interface, by index.
pub(super) async fn links(handle: &Handle) -> Result<Links, Error> {
    let messages: Vec<_> = handle.link().get().execute().try_collect().await?;
    Ok(messages.into_iter().map(|message| (message.header.index, link(message))).collect())
}

/// Every neighbour that has been asked for, by interface and address.
pub(super) async fn neighbours(handle: &Handle) -> Result<Neighbours, Error> {
    let mut found = Neighbours::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let messages: Vec<_> = handle.neighbours().get().set_address_family(family).execute().try_collect().await?;
        found.extend(messages.iter().filter_map(neighbour));
    }
    Ok(found)
}

/// What every interface has addresses in.
pub(super) async fn networks(handle: &Handle) -> Result<Networks, Error> {
    let messages: Vec<_> = handle.address().get().execute().try_collect().await?;
    Ok(Networks(messages.iter().filter_map(network).collect()))
}

/// Where a packet to the address would go, as in `ip route get`.
pub(super) async fn route(handle: &Handle, address: IpAddr) -> Result<Route, Error> {
    let mut question = RouteMessage::default();
    let (family, len, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, 32, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(address)),
    };
    question.header.address_family = family;
    question.header.destination_prefix_length = len;
    question.attributes.push(RouteAttribute::Destination(destination));
    match handle.route().get(question).execute().try_next().await {
        Ok(Some(answer)) => Ok(read(&answer)),
        // The kernel answers with an error where there is no route, or one that says no.
        Ok(None) | Err(Error::NetlinkError(_)) => Ok(Route::Unreachable),
        Err(error) => Err(error),
    }
}

/// Has the kernel ask for a neighbour, as if a packet were on its way there.
pub(super) async fn ask(handle: &Handle, ifindex: u32, address: IpAddr) -> Result<(), Error> {
    let request = handle.neighbours().add(ifindex, address).state(NeighbourState::None).flags(NeighbourFlags::Use);
    request.replace().execute().await
}

fn link(message: LinkMessage) -> Link {
    let mut name = String::new();
    let (mut mac, mut mtu) = (None, 0);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(given) => name = given,
            LinkAttribute::Mtu(given) => mtu = given,
            LinkAttribute::Address(address) => mac = <[u8; 6]>::try_from(address).ok(),
            _ => {}
        }
    }
    let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let works = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Link { name, mac: mac.filter(|_| is_ethernet), works, mtu }
}

fn network(message: &AddressMessage) -> Option<(u32, IpNet)> {
    // Of a link with two ends only, this is the other one's.
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    Some((message.header.index, IpNet::new(address, message.header.prefix_len).ok()?))
}

fn neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => {}
        }
    }
    let state = match (message.header.state, mac) {
        (NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp, Some(mac)) => {
            Neighbour::Sure(mac)
        }
        (NeighbourState::Delay | NeighbourState::Probe, Some(mac)) => Neighbour::Checked(mac),
        (NeighbourState::Stale, Some(mac)) => Neighbour::Stale(mac),
        (NeighbourState::Incomplete, _) => Neighbour::Asked,
        _ => Neighbour::Silent,
    };
    Some(((message.header.ifindex, address?), state))
}

fn read(answer: &RouteMessage) -> Route {
    match answer.header.kind {
        RouteType::Unicast => unicast(&answer.attributes),
        RouteType::Local => Route::Local,
        RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => Route::NotOneHost,
        _ => Route::Unreachable,
    }
}

fn unicast(attributes: &[RouteAttribute]) -> Route {
    let (mut path, mut gateway, mut is_direct) = (Path::default(), None, true);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(ifindex) => path.ifindex = *ifindex,
            RouteAttribute::PrefSource(RouteAddress::Inet(v4)) => path.source = Some((*v4).into()),
            RouteAttribute::PrefSource(RouteAddress::Inet6(v6)) => path.source = Some((*v6).into()),
            RouteAttribute::Metrics(metrics) => path.mtu = metrics.iter().find_map(mtu).or(path.mtu),
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) | RouteAttribute::Via(RouteVia::Inet(v4)) => {
                gateway = Some((*v4).into());
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) | RouteAttribute::Via(RouteVia::Inet6(v6)) => {
                gateway = Some((*v6).into());
            }
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) | RouteAttribute::Encap(_) => is_direct = false,
            _ => {}
        }
    }
    match gateway {
        _ if path.ifindex == 0 => Route::Unreachable,
        Some(gateway) => Route::Gateway(Some(gateway), path),
        None if is_direct => Route::OnLink(path),
        None => Route::Gateway(None, path),
    }
}

/// A route's own MTU; 0 where it has none.
fn mtu(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: RouteType, attributes: Vec<RouteAttribute>) -> Route {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes = attributes;
        read(&message)
    }

    #[test]
    fn a_route_with_an_interface_alone_is_on_link() {
        let path = Path { ifindex: 3, ..Path::default() };
        assert_eq!(answer(RouteType::Unicast, vec![RouteAttribute::Oif(3)]), Route::OnLink(path));
        assert_eq!(answer(RouteType::Unicast, vec![]), Route::Unreachable);
    }

    #[test]
    fn a_gateway_of_either_family_is_a_gateway() {
        let v4 = "10.0.0.1".parse().unwrap();
        let v6 = "fe80::1".parse().unwrap();

        let plain =
            answer(RouteType::Unicast, vec![RouteAttribute::Gateway(RouteAddress::Inet(v4)), RouteAttribute::Oif(3)]);
        let via = answer(RouteType::Unicast, vec![RouteAttribute::Oif(3), RouteAttribute::Via(RouteVia::Inet6(v6))]);

        let path = Path { ifindex: 3, ..Path::default() };
        assert_eq!(plain, Route::Gateway(Some(v4.into()), path));
        assert_eq!(via, Route::Gateway(Some(v6.into()), path));
    }

    #[test]
    fn routes_that_lead_nowhere_are_told_apart() {
        assert_eq!(answer(RouteType::Local, vec![RouteAttribute::Oif(1)]), Route::Local);
        assert_eq!(answer(RouteType::Broadcast, vec![RouteAttribute::Oif(3)]), Route::NotOneHost);
        assert_eq!(answer(RouteType::BlackHole, vec![]), Route::Unreachable);
    }
}
