//! What a QUIC connection id has of its server: `0a01`, one to eight bytes, as servers are told them.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use foobar_common::quic::MAX_SERVER_ID;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Mistake,
    mistake::{Parsed, Word},
};

/// Bytes in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId {
    value: u64,
    bytes: usize,
}

impl ServerId {
    /// How many bytes it has, 1..=8.
    pub const fn bytes(self) -> usize {
        self.bytes
    }

    /// The number that its bytes are, the first one highest.
    pub const fn value(self) -> u64 {
        self.value
    }
}

/// Reads hexadecimal digits, two a byte.
pub(crate) fn server_id(word: Word<'_>) -> Parsed<ServerId> {
    let is_hex = word.text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = word.text.len() / 2;
    let fits = word.text.len().is_multiple_of(2) && (1..=MAX_SERVER_ID).contains(&bytes);
    let value = u64::from_str_radix(word.text, 16).ok().filter(|_| is_hex && fits);
    value.map(|value| ServerId { value, bytes }).ok_or_else(|| {
        word.fault(format!("`{}` is not a server id", word.text))
            .hint(format!("a server id is 1 to {MAX_SERVER_ID} bytes, two hexadecimal digits each: `0a01`"))
    })
}

impl FromStr for ServerId {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        server_id(Word::whole(text)).map_err(|fault| fault.within(text))
    }
}

impl TryFrom<String> for ServerId {
    type Error = Mistake;

    fn try_from(text: String) -> Result<Self, Mistake> {
        text.parse()
    }
}

impl From<ServerId> for String {
    fn from(id: ServerId) -> Self {
        id.to_string()
    }
}

impl Display for ServerId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$x}", self.value, digits = 2 * self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_shown() {
        for (text, value, bytes, shown) in [
            ("0a01", 0x0a01, 2, "0a01"),
            ("00", 0, 1, "00"),
            ("FFffFFffFFffFFff", u64::MAX, 8, "ffffffffffffffff"),
            ("000001", 1, 3, "000001"),
        ] {
            let id: ServerId = text.parse().expect(text);
            assert_eq!((id.value(), id.bytes(), id.to_string().as_str()), (value, bytes, shown));
            assert_eq!(shown.parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "0", "0a0", "0x0a", "web1", "+1", "0a 1", "00112233445566778899"] {
            let mistake = text.parse::<ServerId>().expect_err(text);
            assert!(mistake.problem.contains("is not a server id") && mistake.hint.is_some(), "{mistake}");
        }
    }
}
