//! Names: of services, rules and sets, and of network interfaces, which the kernel rules.

use super::mistake::{Parsed, Word};

/// Longest name of a service, rule or set.
pub const NAME_LEN: usize = 64;

/// Longest name of an interface: IFNAMSIZ less the final zero.
pub const INTERFACE_LEN: usize = 15;

/// Checks `[a-z0-9-_.]{1,64}`; the error is what is wrong, and what would be right.
pub(crate) fn name(word: Word<'_>) -> Parsed<&str> {
    let right = "a name is made of a-z, 0-9, `-`, `_` and `.`, at most 64 of them";
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if word.text.is_empty() {
        return Err(word.fault("a name is empty").hint(right));
    }
    if word.text.len() > NAME_LEN {
        return Err(word.fault(format!("a name of {} characters is too long", word.text.len())).hint(right));
    }
    match word.text.chars().find(|c| !lower(*c)) {
        None => Ok(word.text),
        Some(odd) => Err(word.fault(format!("`{}` is not a name: it contains {odd:?}", word.text)).hint(right)),
    }
}

/// Checks what the kernel accepts as the name of an interface, less the comma, which separates names here.
pub(crate) fn interface(word: Word<'_>) -> Parsed<&str> {
    let text = word.text;
    let problem = if text.is_empty() {
        "the name of an interface is empty".to_owned()
    } else if text.len() > INTERFACE_LEN {
        format!("`{text}` is too long for an interface")
    } else if text == "."
        || text == ".."
        || text.chars().any(|c| c.is_whitespace() || c.is_control() || "/:,".contains(c))
    {
        format!("`{text}` cannot be the name of an interface")
    } else {
        return Ok(text);
    };
    Err(word.fault(problem).hint("an interface has a name as in `ip link`, such as `eth0`, at most 15 bytes long"))
}

/// Checks `IFACE` or `NETNS:IFACE`.
pub(crate) fn peer(word: Word<'_>) -> Parsed<&str> {
    let Some((netns, iface)) = word.split_once(':') else {
        return interface(word);
    };
    if netns.text.is_empty() || netns.text == "." || netns.text == ".." || netns.text.contains(['/', ' ']) {
        return Err(netns
            .fault(format!("`{}` is not a network namespace", netns.text))
            .hint("write `NETNS:IFACE` with a name as in `ip netns`, or `IFACE` alone for this namespace"));
    }
    interface(iface)?;
    Ok(word.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for right in ["web", "a", "db-1_x.y", &"x".repeat(64)] {
            assert!(name(Word::whole(right)).is_ok(), "{right}");
        }
        for wrong in ["", "Web", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(name(Word::whole(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn interfaces_are_checked() {
        for right in ["eth0", "lo", "bond0.100", "wlp3s0@x", "exactly-fifteen"] {
            assert!(interface(Word::whole(right)).is_ok(), "{right}");
        }
        for wrong in ["", ".", "..", "a/b", "a b", "a:b", "a,b", "sixteen-is-long-"] {
            assert!(interface(Word::whole(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers_are_checked() {
        for right in ["veth1", "blue:veth1"] {
            assert!(peer(Word::whole(right)).is_ok(), "{right}");
        }
        for wrong in ["", ":veth1", "blue:", "a/b:veth1", "a:b:c"] {
            assert!(peer(Word::whole(wrong)).is_err(), "{wrong}");
        }
    }
}
