//! What `foobar stats --json` says, as far as the demo looks at it.

use anyhow::{Context, Result};
use serde_json::Value;

/// One answer of `foobar stats --json`.
#[derive(Clone, Debug)]
pub struct Stats(Value);

/// A backend's line in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    pub state: String,
    pub packets: u64,
    pub connections: u64,
}

impl Stats {
    pub fn read(json: &str) -> Result<Self> {
        serde_json::from_str(json).map(Self).context("reading `foobar stats --json`")
    }

    /// Packets that left by this outcome.
    pub fn outcome(&self, name: &str) -> u64 {
        let outcomes = self.0["outcomes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = outcomes.iter().find(|entry| entry["outcome"] == name);
        found.and_then(|entry| entry["packets"].as_u64()).unwrap_or(0)
    }

    pub fn backend(&self, service: &str, address: &str) -> Option<Backend> {
        let service = self.0["services"].as_array()?.iter().find(|entry| entry["name"] == service)?;
        let backend = service["backends"].as_array()?.iter().find(|entry| entry["address"] == address)?;
        Some(Backend {
            state: backend["state"].as_str()?.to_owned(),
            packets: backend["packets"].as_u64()?,
            connections: backend["connections"].as_u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, Stats};

    #[test]
    fn what_is_asked_for_is_found() {
        let stats = Stats::read(
            r#"{"outcomes":[{"outcome":"denied","action":"drop","packets":7,"bytes":1}],
                "services":[{"name":"web","backends":[{"address":"10.0.0.1","state":"ready","packets":9,"connections":2}]}]}"#,
        )
        .unwrap();

        assert_eq!((stats.outcome("denied"), stats.outcome("forwarded")), (7, 0));
        let backend = Backend { state: "ready".into(), packets: 9, connections: 2 };
        assert_eq!(stats.backend("web", "10.0.0.1"), Some(backend));
        assert_eq!(stats.backend("web", "10.0.0.2"), None);
    }
}
