//! Which connections this host has open: asked of the kernel (`sock_diag`), in the calling thread's network namespace.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail};
use foobar_common::flow::{TCP, UDP};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

/// Bytes of one answer: the kernel fills up to 32 KiB of a dump.
const ROOM: usize = 1 << 15;

/// A socket with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// IANA protocol number.
    pub protocol: u8,
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// TCP's connections, begun and ending ones among them, and connected UDP sockets; and which of them the kernel does not
/// tell: each is an option of its build.
pub fn open() -> (Vec<Open>, Vec<anyhow::Error>) {
    let without_peer = StateFlags::LISTEN | StateFlags::CLOSE | StateFlags::TIME_WAIT;
    let (mut found, mut untold) = (Vec::new(), Vec::new());
    for (name, protocol, states) in [("TCP", TCP, !without_peer), ("UDP", UDP, StateFlags::ESTABLISHED)] {
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let extensions = ExtensionFlags::empty();
            let request = InetRequest { family, protocol, extensions, states: states.clone(), socket_id: id };
            match dump(request) {
                Ok(sockets) => found.extend(sockets.iter().filter_map(|socket| open_one(protocol, socket))),
                Err(error) => untold.push(error.context(format!("asking for the open {name} sockets"))),
            }
        }
    }
    (found, untold)
}

fn open_one(protocol: u8, socket: &SocketId) -> Option<Open> {
    // An IPv6 socket that speaks IPv4 has mapped addresses, which are never on the wire.
    let end = |address: IpAddr, port| SocketAddr::new(address.to_canonical(), port);
    let local = end(socket.source_address, socket.source_port);
    let peer = end(socket.destination_address, socket.destination_port);
    let is_remote = peer.port() != 0 && !peer.ip().is_loopback() && !peer.ip().is_unspecified();
    (is_remote && local.is_ipv4() == peer.is_ipv4()).then_some(Open { protocol, local, peer })
}

fn dump(request: InetRequest) -> Result<Vec<SocketId>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a netlink socket")?;
    socket.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    let mut buffer = Vec::with_capacity(ROOM);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if read(&buffer, &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads one answer, which holds many messages; true: it was the last one.
fn read(mut bytes: &[u8], found: &mut Vec<SocketId>) -> Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes).context("reading the kernel's answer")?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => found.push(socket.header.socket_id),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(io::Error::from(error).into()),
            _ => {}
        }
        match bytes.get((message.header.length as usize).next_multiple_of(4)..) {
            Some(rest) if message.header.length > 0 => bytes = rest,
            Some(_) => bail!("the kernel's answer has a message without a length"),
            None => break,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn socket(local: IpAddr, peer: IpAddr) -> SocketId {
        SocketId {
            source_address: local,
            source_port: 4000,
            destination_address: peer,
            destination_port: 443,
            ..SocketId::new_v6()
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let [local, peer] = [[10, 0, 0, 1], [192, 0, 2, 7]].map(Ipv4Addr::from);
        let mapped = |address: Ipv4Addr| IpAddr::V6(address.to_ipv6_mapped());
        let plain = open_one(TCP, &socket(local.into(), peer.into())).expect("a connection");
        assert_eq!((plain.local.to_string(), plain.peer.to_string()), ("10.0.0.1:4000".into(), "192.0.2.7:443".into()));
        assert_eq!(open_one(TCP, &socket(mapped(local), mapped(peer))), Some(plain));
    }

    #[test]
    fn what_never_leaves_this_host_is_left_out() {
        let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(open_one(TCP, &socket(host, host)), None);
        assert_eq!(open_one(UDP, &socket(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 1, 2, 3).into())), None);
        assert_eq!(open_one(UDP, &socket(host, Ipv6Addr::UNSPECIFIED.into())), None);
    }

    #[test]
    fn the_kernel_is_asked_to_the_end() {
        let listener = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let id = |request: StateFlags| InetRequest {
            family: AF_INET,
            protocol: UDP,
            extensions: ExtensionFlags::empty(),
            states: request,
            socket_id: SocketId::new_v4(),
        };
        let port = listener.local_addr().expect("its address").port();
        let found = dump(id(StateFlags::all())).expect("the kernel answers");
        assert!(found.iter().any(|socket| socket.source_port == port), "{found:?}");
        let (_, untold) = open();
        assert!(untold.is_empty(), "every family and protocol is known: {untold:?}");
    }
}
