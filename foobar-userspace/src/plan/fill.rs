//! How full a configuration makes the tables of a bank.

use foobar_common::{
    find::BUCKET_WORDS,
    image::Image,
    layout::{
        MAX_INTERFACES, MAX_LINKS, MAX_NARROWED, MAX_NODES, MAX_PAIRS, MAX_SERVICE_KEYS, MAX_SOURCES, MAX_SPARSE,
        NODE_WORDS,
    },
};
use serde::Serialize;

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// What it holds, in the plural.
    pub of: &'static str,
    pub used: usize,
    pub room: usize,
    /// What is used, in bytes.
    pub bytes: usize,
}

/// The tables that rules and services fill, as they are planned.
pub fn fill(image: &Image) -> Vec<Fill> {
    let fill = |of, used, room, each| Fill { of, used, room, bytes: used * each };
    vec![
        fill("trie nodes", image.nodes.0.len(), MAX_NODES, NODE_WORDS * 8),
        fill("kinds of sources", image.sources.len(), MAX_SOURCES, 8),
        fill("narrowed kinds of ports", image.narrowed.len(), MAX_NARROWED, 8),
        fill("interfaces", image.interfaces.len(), MAX_INTERFACES, 8),
        fill("pairs", image.pairs.len(), MAX_PAIRS, 4),
        fill("hashed pairs", image.sparse.len(), MAX_SPARSE, 8),
        fill("links", image.links.len(), MAX_LINKS, 8),
        fill("keys of services", image.services.len(), MAX_SERVICE_KEYS, BUCKET_WORDS * 8),
    ]
}
