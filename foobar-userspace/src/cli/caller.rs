//! The connection over which whoever typed the command reached this host.
//!
//! `SSH_CONNECTION` says it where the environment was kept. `sudo` and `su` strip it: then an ancestor's environment has
//! it, or an ancestor, which is the SSH server's own process, has the connection open.

use std::{env, fs, net::SocketAddr, path::Path};

use crate::api::types::SafeConnection;

/// Ancestors that are looked at.
const GENERATIONS: usize = 64;

/// `None` where nothing is found, as on a console.
pub fn connection() -> Option<SafeConnection> {
    let own = env::var("SSH_CONNECTION").ok().and_then(|text| said(&text));
    own.or_else(|| of_ancestors(Path::new("/proc"), std::process::id()))
}

/// `peer-address peer-port local-address local-port` (ssh(1)).
fn said(text: &str) -> Option<SafeConnection> {
    let mut words = text.split_whitespace();
    let mut end = || {
        let address: std::net::IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
    };
    let (peer, local) = (end()?, end()?);
    Some(SafeConnection { local, peer })
}

/// The nearest ancestor's that says one, else that of the nearest that holds one.
fn of_ancestors(proc: &Path, process: u32) -> Option<SafeConnection> {
    let ancestors: Vec<_> = std::iter::successors(parent(proc, process), |process| parent(proc, *process))
        .take_while(|process| *process > 1)
        .take(GENERATIONS)
        .collect();
    let saying = ancestors.iter().find_map(|process| in_environment(proc, *process));
    saying.or_else(|| ancestors.iter().find_map(|process| held_by(proc, *process)))
}

fn parent(proc: &Path, process: u32) -> Option<u32> {
    let status = fs::read_to_string(proc.join(process.to_string()).join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn in_environment(proc: &Path, process: u32) -> Option<SafeConnection> {
    let environment = fs::read(proc.join(process.to_string()).join("environ")).ok()?;
    let variables = environment.split(|byte| *byte == 0);
    variables
        .filter_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="))
        .find_map(|value| said(std::str::from_utf8(value).ok()?))
}

/// The established connection of an SSH server's process that came in from elsewhere.
fn held_by(proc: &Path, process: u32) -> Option<SafeConnection> {
    let place = proc.join(process.to_string());
    let command = fs::read_to_string(place.join("comm")).ok()?;
    if !command.starts_with("sshd") && !command.starts_with("dropbear") {
        return None;
    }
    let links = fs::read_dir(place.join("fd")).ok()?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode =
        |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned);
    let sockets: Vec<_> = links.filter_map(inode).collect();
    ["net/tcp", "net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(place.join(table)).ok()?;
        table.lines().skip(1).find_map(|line| established(line, &sockets))
    })
}

/// A line of `/proc/net/tcp` or `tcp6` (proc(5)), if it is one of these sockets and established.
fn established(line: &str, sockets: &[String]) -> Option<SafeConnection> {
    const ESTABLISHED: &str = "01";
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, local, peer, state, _, _, _, _, _, inode, ..] = words[..] else { return None };
    let is_it = state == ESTABLISHED && sockets.iter().any(|socket| socket == inode);
    let (local, peer) = is_it.then(|| Some((end(local)?, end(peer)?)))??;
    (!peer.ip().is_loopback()).then_some(SafeConnection { local, peer })
}

/// `0100007F:0016`: words of the address as this machine stores them, and the port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => std::net::IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            std::net::IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn connection(peer: &str, local: &str) -> SafeConnection {
        SafeConnection { local: local.parse().expect("an address"), peer: peer.parse().expect("an address") }
    }

    #[test]
    fn what_ssh_says_is_read() {
        let plain = connection("192.0.2.7:4000", "10.0.0.1:22");
        assert_eq!(said("192.0.2.7 4000 10.0.0.1 22"), Some(plain.clone()));
        assert_eq!(said("::ffff:192.0.2.7 4000 ::ffff:10.0.0.1 22"), Some(plain));
        assert_eq!(said("fe80::1%eth0 4000 fe80::2%eth0 22"), Some(connection("[fe80::1]:4000", "[fe80::2]:22")));
        for wrong in ["", "192.0.2.7 4000", "UNKNOWN 65535 UNKNOWN 65535"] {
            assert_eq!(said(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_ancestor_says_it_or_holds_it() {
        let proc = tempfile::tempdir().expect("a directory");
        let process = |number: u32, parent: u32, command: &str, environment: &[u8]| {
            let place = proc.path().join(number.to_string());
            fs::create_dir_all(place.join("fd")).expect("made");
            fs::create_dir_all(place.join("net")).expect("made");
            fs::write(place.join("status"), format!("Name:\t{command}\nPPid:\t{parent}\n")).expect("written");
            fs::write(place.join("comm"), format!("{command}\n")).expect("written");
            fs::write(place.join("environ"), environment).expect("written");
            place
        };
        process(40, 30, "foobar", b"A=1\0");
        process(30, 20, "sudo", b"");
        let server = process(20, 1, "sshd-session", b"SSH_CONNECTION=nothing\0");
        assert_eq!(of_ancestors(proc.path(), 40), None);

        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = |inode: u32, state: &str| {
            format!(
                "   0: 0100000A:0016 070200C0:0FA0 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"
            )
        };
        symlink("socket:[77]", server.join("fd/3")).expect("a link");
        fs::write(server.join("net/tcp"), [head, &line(76, "01"), &line(77, "0A")].concat()).expect("written");
        assert_eq!(of_ancestors(proc.path(), 40), None, "another's, and one that listens");
        fs::write(server.join("net/tcp"), [head, &line(77, "01")].concat()).expect("written");
        assert_eq!(of_ancestors(proc.path(), 40), Some(connection("192.0.2.7:4000", "10.0.0.1:22")));

        process(30, 20, "sudo", b"B=2\0SSH_CONNECTION=198.51.100.9 5 10.0.0.1 22\0");
        assert_eq!(of_ancestors(proc.path(), 40), Some(connection("198.51.100.9:5", "10.0.0.1:22")));
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let v6 = "B80D0120000000000000000001000000:0016";
        assert_eq!(end(v6), Some("[2001:db8::1]:22".parse().expect("an address")));
        assert_eq!(end("0000000000000000FFFF00000100000A:0016"), Some("10.0.0.1:22".parse().expect("an address")));
        assert_eq!(end("xyz"), None);
    }
}
