//! Resolves addresses, has the kernel ask for those who are silent, and bridges short silences.
//!
//! A backend whose MAC moves is silent for a moment, between the last unicast question and the first broadcast one.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use foobar_common::next_hop;
use rtnetlink::{Error, Handle};
use tracing::debug;

use super::{
    NextHop, NextHops,
    kernel::{self, Links},
    way::{Neighbour, Way, judge},
};

/// How long a next hop outlives its neighbour's silence.
const GRACE: Duration = Duration::from_secs(5);

/// How often the kernel is told to ask again for a neighbour that did not answer, or did a while ago.
const ASK_AGAIN: Duration = Duration::from_secs(4);

/// How often it is told to ask for one that it has forgotten.
const ASK: Duration = Duration::from_millis(900);

/// Remembers between rounds what was known, and what was asked for.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    known: HashMap<IpAddr, Known>,
    asked: HashMap<IpAddr, Instant>,
}

/// A next hop, and since when its neighbour is silent.
#[derive(Debug)]
struct Known {
    hop: NextHop,
    silent_since: Option<Instant>,
}

/// What one round found.
#[derive(Debug)]
pub(super) struct Round {
    pub hops: NextHops,
    /// Somebody may yet answer.
    pub is_waiting: bool,
}

impl Resolver {
    /// Remembers ways that packets take already, as after a restart: a short silence is bridged on them too.
    pub fn adopt(&mut self, links: &Links, in_force: impl IntoIterator<Item = (IpAddr, next_hop::NextHop)>) {
        for (address, hop) in in_force {
            let Some(ifindex) = hop.interface() else { continue };
            let Some(link) = links.get(&ifindex) else { continue };
            let (destination_mac, source_mac) = hop.macs();
            let hop = NextHop {
                interface: link.name.clone(),
                ifindex,
                destination_mac,
                source_mac,
                gateway: None,
                source: None,
                network: None,
                mtu: 0,
            };
            self.known.insert(address, Known { hop, silent_since: None });
        }
    }

    /// Looks every address up anew.
    pub async fn resolve(&mut self, handle: &Handle, addresses: &[IpAddr]) -> Result<Round, Error> {
        self.known.retain(|address, _| addresses.contains(address));
        let mut round = Round { hops: NextHops::new(), is_waiting: false };
        if addresses.is_empty() {
            return Ok(round);
        }
        let mut nexts = HashSet::new();
        let links = kernel::links(handle).await?;
        let neighbours = kernel::neighbours(handle).await?;
        let networks = kernel::networks(handle).await?;
        for &address in addresses {
            let route = kernel::route(handle, address).await?;
            let next = route.neighbour(address);
            let link = next.and_then(|(ifindex, _)| links.get(&ifindex));
            let neighbour = next.and_then(|next| neighbours.get(&next).copied());
            let mut way = judge(address, route, link, neighbour);
            if let Way::Found(hop) = &mut way
                && hop.gateway.is_none()
            {
                hop.network = networks.around(hop.ifindex, address);
            }
            round.is_waiting |= matches!(way, Way::Unanswered { .. });
            if let Some((ifindex, next)) = next {
                self.ask(handle, next, ifindex, neighbour).await;
            }
            round.hops.insert(address, self.settle(address, way, Instant::now()));
            nexts.extend(next.map(|(_, next)| next));
        }
        self.asked.retain(|next, _| nexts.contains(next));
        Ok(round)
    }

    /// Has the kernel ask for the neighbour, if it does not by itself and was not told so lately.
    async fn ask(&mut self, handle: &Handle, address: IpAddr, ifindex: u32, neighbour: Option<Neighbour>) {
        if !self.is_due(address, neighbour, Instant::now()) {
            return;
        }
        if let Err(error) = kernel::ask(handle, ifindex, address).await {
            debug!(%address, %error, "the kernel does not ask for a neighbour");
        }
    }

    fn is_due(&mut self, address: IpAddr, neighbour: Option<Neighbour>, now: Instant) -> bool {
        let spacing = match neighbour {
            None => ASK,
            Some(Neighbour::Silent | Neighbour::Stale(_)) => ASK_AGAIN,
            Some(Neighbour::Sure(_) | Neighbour::Checked(_) | Neighbour::Asked) => return false,
        };
        let is_due = self.asked.get(&address).is_none_or(|&last| now.duration_since(last) >= spacing);
        if is_due {
            self.asked.insert(address, now);
        }
        is_due
    }

    /// A next hop, remembered, or the one remembered from a moment ago.
    fn settle(&mut self, address: IpAddr, way: Way, now: Instant) -> Result<NextHop, String> {
        match way {
            Way::Found(hop) => {
                self.known.insert(address, Known { hop: hop.clone(), silent_since: None });
                Ok(hop)
            }
            Way::Unanswered { ifindex, problem } => {
                let known = self.known.get_mut(&address).filter(|known| known.hop.ifindex == ifindex);
                let known = known.and_then(|known| (known.silence(now) < GRACE).then(|| known.hop.clone()));
                known.ok_or(problem)
            }
            Way::None(problem) => {
                self.known.remove(&address);
                Err(problem)
            }
        }
    }
}

impl Known {
    /// How long its neighbour has been silent, from the first time that this is asked.
    fn silence(&mut self, now: Instant) -> Duration {
        now.duration_since(*self.silent_since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexthop::way::Link;

    fn hop() -> NextHop {
        NextHop {
            interface: "eth0".into(),
            ifindex: 3,
            destination_mac: [2; 6],
            source_mac: [4; 6],
            gateway: None,
            source: None,
            network: None,
            mtu: 0,
        }
    }

    fn silence(ifindex: u32) -> Way {
        Way::Unanswered { ifindex, problem: "silent".into() }
    }

    #[test]
    fn a_short_silence_is_bridged_and_a_long_one_is_not() {
        let (mut resolver, address, start) = (Resolver::default(), "10.0.0.9".parse().unwrap(), Instant::now());

        assert_eq!(resolver.settle(address, Way::Found(hop()), start), Ok(hop()));
        let later = start + 10 * GRACE;
        assert_eq!(resolver.settle(address, silence(3), later), Ok(hop()));
        assert_eq!(resolver.settle(address, silence(3), later + GRACE / 2), Ok(hop()));
        assert_eq!(resolver.settle(address, silence(3), later + GRACE), Err("silent".into()));
    }

    #[test]
    fn a_short_silence_is_bridged_on_an_adopted_way_too() {
        let (mut resolver, start) = (Resolver::default(), Instant::now());
        let [adopted, unresolved, gone] = ["10.0.0.9", "10.0.0.10", "10.0.0.11"].map(|text| text.parse().unwrap());
        let links = [(3, Link { name: "eth0".into(), mac: Some([4; 6]), works: true, mtu: 1500 })].into();
        let in_force = [
            (adopted, next_hop::NextHop::new([2; 6], [4; 6], 3)),
            (unresolved, next_hop::NextHop::UNRESOLVED),
            (gone, next_hop::NextHop::new([2; 6], [4; 6], 7)),
        ];
        resolver.adopt(&links, in_force);

        assert_eq!(resolver.settle(adopted, silence(3), start), Ok(hop()));
        assert_eq!(resolver.settle(adopted, silence(3), start + GRACE / 2), Ok(hop()));
        assert_eq!(resolver.settle(adopted, silence(3), start + GRACE), Err("silent".into()));
        assert_eq!(resolver.settle(unresolved, silence(3), start), Err("silent".into()));
        assert_eq!(resolver.settle(gone, silence(7), start), Err("silent".into()), "its interface is no more");
    }

    #[test]
    fn nothing_is_bridged_over_another_interface_or_a_lost_route() {
        let (mut resolver, address, now) = (Resolver::default(), "10.0.0.9".parse().unwrap(), Instant::now());
        resolver.settle(address, Way::Found(hop()), now).unwrap();

        assert_eq!(resolver.settle(address, silence(4), now), Err("silent".into()));
        assert_eq!(resolver.settle(address, Way::None("no route".into()), now), Err("no route".into()));
        assert_eq!(resolver.settle(address, silence(3), now), Err("silent".into()));
    }

    #[test]
    fn the_kernel_is_told_to_ask_once_in_a_while_and_never_while_it_does() {
        let (mut resolver, address, now) = (Resolver::default(), "10.0.0.9".parse().unwrap(), Instant::now());

        assert!(!resolver.is_due(address, Some(Neighbour::Sure([2; 6])), now));
        assert!(!resolver.is_due(address, Some(Neighbour::Asked), now));
        assert!(resolver.is_due(address, None, now));
        assert!(resolver.is_due(address, None, now + ASK));
        assert!(!resolver.is_due(address, Some(Neighbour::Silent), now + ASK_AGAIN));
        assert!(resolver.is_due(address, Some(Neighbour::Stale([2; 6])), now + ASK + ASK_AGAIN));
    }
}
