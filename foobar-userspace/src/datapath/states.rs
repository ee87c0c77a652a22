//! What this host opened, as packets look it up: see [`foobar_common::state`].

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use foobar_common::state::State;

use super::Datapath;

impl Datapath {
    /// All states of both families, by the words of the answer's key.
    pub fn states(&self) -> Result<HashMap<Vec<u64>, State>> {
        let v4 = self.maps.states_v4.iter().map(|item| item.map(|(key, word)| (key.to_vec(), word)));
        let v6 = self.maps.states_v6.iter().map(|item| item.map(|(key, word)| (key.to_vec(), word)));
        let state = |item: Result<_, _>| item.map(|(key, word)| (key, State::from_word(word)));
        v4.chain(v6).map(state).collect::<Result<_, _>>().context("reading the states")
    }
}
