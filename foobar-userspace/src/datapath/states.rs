//! What this host opened, as packets look it up: see [`foobar_common::state`].

use std::{collections::HashMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use foobar_common::{
    Address,
    address::{V4, V6},
    flow::{Flow, Segment, TCP, Transport, port_word},
    fragment::Fragment,
    plane::Way,
    state::{State, is_decided},
};
use rustix::time::{ClockId, clock_gettime};

use super::{
    Datapath,
    explain::Reading,
    sockets::{self, Open},
};

impl Datapath {
    /// All states of both families, by the words of the answer's key.
    pub fn states(&self) -> Result<HashMap<Vec<u64>, State>> {
        let v4 = self.maps.states_v4.iter().map(|item| item.map(|(key, word)| (key.to_vec(), word)));
        let v6 = self.maps.states_v6.iter().map(|item| item.map(|(key, word)| (key.to_vec(), word)));
        let state = |item: Result<_, _>| item.map(|(key, word)| (key, State::from_word(word)));
        v4.chain(v6).map(state).collect::<Result<_, _>>().context("reading the states")
    }

    /// What this network namespace has open, as far as the kernel tells.
    pub fn open_sockets(&self) -> Vec<Open> {
        let (sockets, errors) = sockets::open();
        for error in errors {
            tracing::warn!("{error:#}");
        }
        sockets
    }

    /// Notes what this network namespace has open, as if it had just spoken. What cannot be is said, and stops nothing.
    pub fn note_open_sockets(&mut self) {
        let (sockets, mut errors) = sockets::open();
        let noted = sockets.iter().map(|socket| self.note_socket(socket));
        errors.extend(noted.filter_map(Result::err));
        if let Some(error) = errors.first() {
            tracing::warn!(
                "answers to some of what is open already are dropped until this host speaks again: {error:#}"
            );
        }
        tracing::debug!("{} connections are open and go on", sockets.len());
    }

    /// Whether the rules in force decide about what the socket's peer sends.
    fn is_decided(&self, socket: &Open) -> bool {
        let (tables, generation) = (Reading::new(self, 0), self.generation());
        match (socket.peer, socket.local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => {
                is_decided(&answer(socket, V4::from(*peer.ip()), V4::from(*local.ip())), generation, Way::In, &tables)
            }
            (SocketAddr::V6(peer), SocketAddr::V6(local)) => {
                is_decided(&answer(socket, V6::from(*peer.ip()), V6::from(*local.ip())), generation, Way::In, &tables)
            }
            _ => true,
        }
    }

    /// Nobody knows any more who opened it, so what goes either way is an answer.
    fn note_socket(&mut self, socket: &Open) -> Result<()> {
        let Open { protocol, local, peer } = *socket;
        if self.attention.notes && !self.is_decided(socket) {
            self.note_way(Way::In, protocol, peer, local)?;
        }
        if self.attention.hears { self.note_way(Way::Out, protocol, local, peer) } else { Ok(()) }
    }

    fn note_way(&mut self, way: Way, protocol: u8, from: SocketAddr, to: SocketAddr) -> Result<()> {
        let word = State::new(now()).word();
        let ports = port_word(protocol, from.port(), to.port());
        let (v4, v6) = self.maps.opened_mut(way);
        let noted = match (from, to) {
            (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                v4.insert(V4::flow_key((*from.ip()).into(), (*to.ip()).into(), ports), word, 0)
            }
            (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                v6.insert(V6::flow_key((*from.ip()).into(), (*to.ip()).into(), ports), word, 0)
            }
            _ => return Ok(()),
        };
        noted.with_context(|| format!("noting the connection between {from} and {to}"))
    }
}

/// What a socket's peer sends.
fn answer<A: Address>(socket: &Open, source: A, destination: A) -> Flow<A> {
    let (from, to) = (socket.peer.port(), socket.local.port());
    let transport = if socket.protocol == TCP {
        Transport::Tcp(Segment { source: from, destination: to, flags: Segment::ACK, header: 0, end: 0 })
    } else {
        Transport::Udp { source: from, destination: to, header: 0 }
    };
    let (protocol, fragment) = (socket.protocol, Fragment::WHOLE);
    Flow { source, destination, protocol, extensions: 0, hops: 0, fragment, transport }
}

/// The second that packets see.
fn now() -> u32 {
    clock_gettime(ClockId::Monotonic).tv_sec.cast_unsigned() as u32
}
