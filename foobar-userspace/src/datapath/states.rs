//! What this host opened, as packets look it up: see [`foobar_common::state`].

use std::{collections::HashMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use foobar_common::{
    Address,
    address::{V4, V6},
    flow::port_word,
    state::State,
};
use rustix::time::{ClockId, clock_gettime};

use super::{
    Datapath,
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

    /// What this network namespace has open.
    pub fn open_sockets(&self) -> Result<Vec<Open>> {
        sockets::open()
    }

    /// Notes what this network namespace has open, as if it had just spoken. What cannot be is said, and stops nothing.
    pub(super) fn note_open_sockets(&mut self) {
        let noted = sockets::open().and_then(|sockets| {
            sockets.iter().try_for_each(|socket| self.note_socket(socket))?;
            Ok(sockets.len())
        });
        match noted {
            Ok(count) => tracing::debug!("{count} connections that are open go on"),
            Err(error) => {
                tracing::warn!("answers to what is open already are dropped until this host speaks again: {error:#}");
            }
        }
    }

    fn note_socket(&mut self, socket: &Open) -> Result<()> {
        let word = State { seen: now() }.word();
        let ports = port_word(socket.protocol, socket.peer.port(), socket.local.port());
        let noted = match (socket.peer, socket.local) {
            (SocketAddr::V4(peer), SocketAddr::V4(local)) => {
                let key = V4::flow_key((*peer.ip()).into(), (*local.ip()).into(), ports);
                self.maps.states_v4.insert(key, word, 0)
            }
            (SocketAddr::V6(peer), SocketAddr::V6(local)) => {
                let key = V6::flow_key((*peer.ip()).into(), (*local.ip()).into(), ports);
                self.maps.states_v6.insert(key, word, 0)
            }
            _ => return Ok(()),
        };
        noted.with_context(|| format!("noting the connection to {}", socket.peer))
    }
}

/// The second that packets see.
fn now() -> u32 {
    clock_gettime(ClockId::Monotonic).tv_sec.cast_unsigned() as u32
}
