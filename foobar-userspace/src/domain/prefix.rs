//! Addresses and prefixes as text. A bare address is a prefix of its whole length, and is shown bare.
//!
//! IPv4 addresses inside IPv6 (`::ffff:0:0/96`) are never accepted: no honest packet carries them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net};

use super::{
    Mistake,
    mistake::{Fault, Parsed, Word},
};

/// Shows a prefix, without its length where that is the whole address.
pub fn write(prefix: &IpNet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if prefix.prefix_len() == prefix.max_prefix_len() { write!(f, "{}", prefix.addr()) } else { write!(f, "{prefix}") }
}

/// Reads the address of a service.
pub fn parse_address(text: &str) -> Result<IpAddr, Mistake> {
    address(Word::whole(text)).map_err(|fault| fault.within(text))
}

/// Reads `ADDRESS` or `ADDRESS/LENGTH` without host bits.
pub(crate) fn read(word: Word<'_>) -> Parsed<IpNet> {
    match read_masked(word)? {
        (prefix, false) => Ok(prefix),
        (prefix, true) => {
            let address = word.text.split('/').next().unwrap_or_default();
            let fault = word.fault(format!("`{}` has bits set beyond its first {}", word.text, prefix.prefix_len()));
            Err(fault.hint(format!("is `{prefix}` meant, or `{address}` alone?")))
        }
    }
}

/// Reads the same, takes host bits off, and says whether there were some.
pub(crate) fn read_masked(word: Word<'_>) -> Parsed<(IpNet, bool)> {
    let (address_word, len) = match word.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (word, None),
    };
    let address = plain(address_word).ok_or_else(|| not_an_address(word, address_word))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let len = len.map_or(Ok(longest), |len| length(word, address, len, longest))?;
    let prefix = IpNet::new(address, len).map_err(|_| word.fault(format!("`{}` is not a prefix", word.text)))?;
    mapped(word, &prefix)?;
    Ok((prefix.trunc(), prefix.trunc() != prefix))
}

/// Reads one address, of a service or of a backend.
pub(crate) fn address(word: Word<'_>) -> Parsed<IpAddr> {
    let Some(address) = plain(word) else {
        let before = word.split_once('/').map_or(word, |(before, _)| before);
        return Err(match plain(before) {
            Some(address) if before != word => word
                .fault(format!("`{}` is a prefix, and one address is needed", word.text))
                .hint(format!("write `{address}`")),
            _ => not_an_address(word, before),
        });
    };
    mapped(word, &IpNet::from(address))?;
    Ok(address)
}

fn plain(word: Word<'_>) -> Option<IpAddr> {
    word.text.parse().ok()
}

fn length(word: Word<'_>, address: IpAddr, len: Word<'_>, longest: u8) -> Parsed<u8> {
    if let (IpAddr::V4(address), Ok(mask)) = (address, len.text.parse::<Ipv4Addr>()) {
        let meant = Ipv4Net::with_netmask(address, mask).map(|prefix| format!("write `{}`", prefix.trunc())).ok();
        return Err(word.fault("a prefix has a length, not a netmask").maybe_hint(meant));
    }
    if len.text.is_empty() {
        let hint = format!("write it as in `{address}/{}`, or leave the slash out", longest / 4);
        return Err(word.fault("a length is missing after the slash").hint(hint));
    }
    let digits = len.text.bytes().all(|b| b.is_ascii_digit());
    let family = if longest == 32 { "IPv4" } else { "IPv6" };
    len.text.parse().ok().filter(|len| digits && *len <= longest).ok_or_else(|| {
        word.fault(format!("`{}` is not the length of an {family} prefix", len.text))
            .hint(format!("a length is a number from 0 to {longest}"))
    })
}

fn mapped(word: Word<'_>, prefix: &IpNet) -> Parsed<()> {
    let IpNet::V6(net) = prefix else { return Ok(()) };
    let Some(v4) = net.addr().to_ipv4_mapped().filter(|_| net.prefix_len() >= 96) else {
        return Ok(());
    };
    let meant = match net.prefix_len() - 96 {
        32 => v4.to_string(),
        len => format!("{v4}/{len}"),
    };
    Err(word
        .fault(format!("`{}` is an IPv4 address inside IPv6, which no packet may carry", word.text))
        .hint(format!("write `{meant}`")))
}

fn not_an_address(word: Word<'_>, address: Word<'_>) -> Fault {
    let text = address.text;
    let fault = word.fault(format!("`{}` is not an address", word.text));
    if text == "any" || text == "all" || text == "anywhere" {
        return fault.hint("leave it out: without it, every address matches");
    }
    if let Some((plain, _)) = text.split_once('%').filter(|(plain, _)| plain.parse::<Ipv6Addr>().is_ok()) {
        return fault.hint(format!("an address stands without its interface: `{plain}`"));
    }
    if let Some(plain) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return fault.hint(format!("brackets belong to an address with a port only: `{plain}`"));
    }
    if text.split_once('-').is_some_and(|(low, high)| [low, high].iter().all(|end| end.parse::<IpAddr>().is_ok())) {
        return fault.hint("write a range of addresses as prefixes, such as `10.0.0.0/29,10.0.0.8`");
    }
    if text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.contains(':') {
        return fault.hint("names are not looked up: write the address");
    }
    if let Some((plain, port)) = text.rsplit_once(':').filter(|(plain, _)| plain.parse::<Ipv4Addr>().is_ok()) {
        return fault.hint(format!("an address stands without a port: `{plain}`, and `tcp/{port}` for the port"));
    }
    if text.contains('*') {
        return fault.hint("write all addresses of a network as a prefix, such as `10.0.0.0/24`");
    }
    if text.strip_prefix('!').is_some_and(|text| text.parse::<IpAddr>().is_ok()) {
        return fault
            .hint("nothing says `not`: the first rule that matches decides, so put a rule for it before this one");
    }
    if text.split('.').any(|part| part.len() > 1 && part.starts_with('0')) {
        return fault.hint("write numbers without leading zeros");
    }
    fault.hint("write an address such as `192.0.2.7` or `2001:db8::7`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(text: &str) -> String {
        read(Word::whole(text)).expect_err(text).hint.unwrap_or_default()
    }

    #[test]
    fn a_netmask_is_translated() {
        assert_eq!(hint_of("10.1.0.0/255.0.0.0"), "write `10.0.0.0/8`");
    }

    #[test]
    fn mapped_prefixes_are_refused_and_translated() {
        assert_eq!(hint_of("::ffff:192.0.2.1"), "write `192.0.2.1`");
        assert_eq!(hint_of("::ffff:0:0/96"), "write `0.0.0.0/0`");
        assert!(read(Word::whole("::/0")).is_ok(), "a prefix that only contains them is an IPv6 prefix");
    }

    #[test]
    fn an_address_is_not_a_prefix() {
        let fault = address(Word::whole("192.0.2.10/24")).unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("write `192.0.2.10`"));
    }
}
