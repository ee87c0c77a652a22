//! The words for a service's settings: how it forwards, what it counts.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use super::{Affinity, BackendState, Encapsulation, Forward, Queries};
use crate::domain::{
    Mistake,
    mistake::{Word, choice},
};

impl Forward {
    pub(crate) const WORDS: [(&str, Self); 4] =
        [("dsr", Self::Dsr), ("tunnel", Self::Tunnel), ("nat", Self::Nat), ("snat", Self::Snat)];
}

impl Encapsulation {
    pub(crate) const WORDS: [(&str, Self); 2] = [("ip", Self::Ip), ("gue", Self::Gue)];
}

impl Queries {
    pub(crate) const WORDS: [(&str, Self); 3] =
        [("auto", Self::Auto), ("http", Self::Http), ("connections", Self::Connections)];
    pub(crate) const LATER: [&str; 3] = ["tls", "mysql", "dns"];
}

impl Affinity {
    pub(crate) const WORDS: [(&str, Self); 3] = [("flow", Self::Flow), ("source", Self::Source), ("quic", Self::Quic)];
}

impl FromStr for Forward {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        choice(Word::whole(text), "forward", &Self::WORDS, &[]).map_err(|fault| fault.within(text))
    }
}

impl FromStr for Encapsulation {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        choice(Word::whole(text), "encapsulation", &Self::WORDS, &[]).map_err(|fault| fault.within(text))
    }
}

impl FromStr for Queries {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        choice(Word::whole(text), "queries", &Self::WORDS, &Self::LATER).map_err(|fault| fault.within(text))
    }
}

impl FromStr for Affinity {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        choice(Word::whole(text), "affinity", &Self::WORDS, &[]).map_err(|fault| fault.within(text))
    }
}

impl Display for Affinity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::Source => "source",
            Self::Quic => "quic",
        })
    }
}

impl Display for Forward {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dsr => "dsr",
            Self::Tunnel => "tunnel",
            Self::Nat => "nat",
            Self::Snat => "snat",
        })
    }
}

impl Display for Encapsulation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Gue => "gue",
        })
    }
}

impl Display for Queries {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Http => "http",
            Self::Connections => "connections",
        })
    }
}

impl Display for BackendState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Emptying => "emptying",
            Self::Removing => "removing",
            Self::Maint => "maint",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values_are_inverse() {
        for (word, forward) in Forward::WORDS {
            assert_eq!((word.parse(), forward.to_string().as_str()), (Ok(forward), word));
        }
        for (word, encapsulation) in Encapsulation::WORDS {
            assert_eq!((word.parse(), encapsulation.to_string().as_str()), (Ok(encapsulation), word));
        }
        for (word, queries) in Queries::WORDS {
            assert_eq!((word.parse(), queries.to_string().as_str()), (Ok(queries), word));
        }
        for (word, affinity) in Affinity::WORDS {
            assert_eq!((word.parse(), affinity.to_string().as_str()), (Ok(affinity), word));
        }
    }

    #[test]
    fn words_of_later_versions_are_refused_as_such() {
        for later in Queries::LATER {
            let mistake = later.parse::<Queries>().unwrap_err();
            assert_eq!(mistake.problem, format!("`{later}` as `queries` is not in this version"));
            assert_eq!(mistake.hint.as_deref(), Some("`queries` is `auto` or `http` or `connections`"));
        }
    }
}
