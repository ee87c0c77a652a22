//! Named sets of prefixes: where they come from, and their files.
//!
//! A file is a prefix a line. Public lists have host bits set here and there: those are taken off and counted, and
//! anything else that is odd is a mistake with its place.

use std::{fmt, path::PathBuf};

use foobar_common::sets::contents::Prefix;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{
    mistake::{Parsed, Word, words},
    prefix,
};

/// Where a set's prefixes come from; what is added live joins them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetSource {
    /// A file, read at start and at `foobar set reload`.
    File(PathBuf),
    Prefixes(Vec<IpNet>),
}

/// As in `/etc/bad.txt` or `3 prefixes`.
impl fmt::Display for SetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Prefixes(prefixes) => write!(f, "{} prefixes", prefixes.len()),
        }
    }
}

/// What a file lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub prefixes: Vec<IpNet>,
    /// How many had bits set beyond their length.
    pub masked: usize,
}

impl List {
    /// What a configuration lists itself.
    pub fn given(prefixes: &[IpNet]) -> Self {
        Self { prefixes: prefixes.to_vec(), masked: 0 }
    }

    /// Reads a list: `#` and `;` begin comments, and blank lines are nothing.
    pub(crate) fn read(text: &str) -> Parsed<Self> {
        let mut list = Self::default();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let said = line.find(['#', ';']).map_or(line, |comment| &line[..comment]);
            let mut found = words(said).into_iter();
            if let Some(Word { text, start: within }) = found.next() {
                let (prefix, masked) = prefix::read_masked(Word { text, start: start + within })?;
                list.prefixes.push(prefix);
                list.masked += usize::from(masked);
            }
            if let Some(Word { text, start: within }) = found.next() {
                let fault = Word { text, start: start + within }.fault(format!("`{text}` is not expected here"));
                return Err(fault.hint("a list has one prefix a line; a comment begins with `#` or `;`"));
            }
            start += line.len();
        }
        Ok(list)
    }
}

/// A prefix as the tables hold it, and whether it is IPv6's.
pub fn compact(net: &IpNet) -> (bool, Prefix) {
    match net {
        IpNet::V4(net) => (false, Prefix::new(u128::from(net.addr().to_bits()) << 96, net.prefix_len())),
        IpNet::V6(net) => (true, Prefix::new(net.addr().to_bits(), net.prefix_len())),
    }
}

/// The same as people know it.
pub fn expand(v6: bool, prefix: Prefix) -> IpNet {
    if v6 {
        Ipv6Net::new_assert(prefix.bits.into(), prefix.len).into()
    } else {
        Ipv4Net::new_assert(((prefix.bits >> 96) as u32).into(), prefix.len).into()
    }
}

/// A prefix without its length where that is the whole address.
pub fn show(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_comments_and_addresses_and_host_bits() {
        let text = "# a list\n\n10.0.0.0/8 ; private\r\n  192.0.2.7\n192.0.2.9/24\n2001:db8::/32 # docs";
        let list = List::read(text).expect("a list");
        let shown: Vec<_> = list.prefixes.iter().map(show).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7", "192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(list.masked, 1);
    }

    #[test]
    fn what_is_no_prefix_is_found_at_its_place() {
        for (text, at) in [("10.0.0.0/8\nexample.org\n", "example.org"), ("10.0.0.1 10.0.0.2", "10.0.0.2")] {
            let fault = List::read(text).expect_err(text);
            assert_eq!(&text[fault.span.clone()], at);
            assert!(fault.hint.is_some(), "{fault:?}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/", "::ffff:10.0.0.1", "1.2.3.4,5.6.7.8"] {
            List::read(text).expect_err(text);
        }
    }

    #[test]
    fn what_is_compact_expands_again() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/33", "2001:db8::1/128"] {
            let net: IpNet = text.parse().expect(text);
            let (v6, prefix) = compact(&net);
            assert_eq!(expand(v6, prefix), net);
        }
    }
}
