//! Who claims which ports, and the table that a packet finds it in.
//!
//! Ports of a protocol that the same claims are for are a group. A key is of a group and not of a port: a range of ports
//! costs as much as one, unless other claims cut it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use super::Image;
use crate::{
    find::{BUCKET_WORDS, Group, Kind, ServiceKey, bucket_index, displacement_index, protocol_of, with_group},
    flow::{TCP, UDP},
    layout::{
        GROUPS_IN_A_WORD, SERVICE_BUCKETS, SERVICE_DISPLACED, SERVICE_DISPLACEMENTS, SERVICE_WORDS, service_entry,
    },
};

/// Ports of an address that something is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its key without the group.
    pub key: ServiceKey,
    /// No two ranges overlap.
    pub ports: Vec<RangeInclusive<u16>>,
    /// What the key's bucket says.
    pub entry: [u64; 2],
    /// Packets to these ports ask for it; else whoever reads [`Image::groups`] by himself does.
    pub listens: bool,
}

impl Image {
    /// Lays down everything that ports are claimed for. All of it at once, since a group is of all claims on its ports.
    ///
    /// Of two claims of one key on one port the last holds. Claims of protocols without ports are for nothing.
    pub fn claim(&mut self, claims: &[Claim]) {
        for protocol in [TCP, UDP] {
            let mut groups = HashMap::<Vec<usize>, Group>::new();
            for (ports, set) in spans(claims, protocol) {
                let number = groups.len() as Group + 1;
                let group = *groups.entry(set.clone()).or_insert_with(|| {
                    for Claim { key, entry, .. } in set.iter().map(|claim| &claims[*claim]) {
                        self.put(with_group(*key, number), *entry);
                    }
                    number
                });
                let listens = set.iter().any(|claim| claims[*claim].listens);
                for entry in ports.filter_map(|port| service_entry(protocol, port)) {
                    self.groups[entry] = group;
                    self.ports[entry].listens = listens;
                }
            }
        }
    }

    fn put(&mut self, key: ServiceKey, entry: [u64; 2]) {
        if Kind::of(&key) == Kind::Service {
            self.services.insert(key, entry);
        } else {
            self.others.insert(key, entry[0]);
        }
    }

    /// The groups as a bank's table holds them.
    pub fn group_words(&self) -> impl ExactSizeIterator<Item = u64> {
        let (words, _) = self.groups.as_chunks::<GROUPS_IN_A_WORD>();
        words.iter().map(|groups| groups.iter().rev().fold(0, |word, group| word << Group::BITS | u64::from(*group)))
    }

    /// The services and all else as a bank's table holds them: a seed under which no two services share a bucket, the
    /// buckets, and the seeds that find the others' buckets.
    ///
    /// `None` where no such seed was found, as with more keys than `MAX_SERVICE_KEYS` and `MAX_ANSWER_KEYS`.
    pub fn service_table(&self) -> Option<Vec<u64>> {
        let seed = self.service_seed()?;
        let mut words = vec![0; SERVICE_WORDS];
        words[0] = seed;
        for (key, entry) in &self.services {
            fill(&mut words, bucket_index(*key, seed), *key, *entry);
        }
        let mut apart = vec![Vec::new(); SERVICE_DISPLACEMENTS];
        for key in self.others.keys() {
            apart[displacement_index(*key, seed)].push(*key);
        }
        let mut order: Vec<_> = (0..SERVICE_DISPLACEMENTS).filter(|index| !apart[*index].is_empty()).collect();
        // The largest first, while most buckets are free (Belazzougui, Botelho and Dietzfelbinger, ESA 2009).
        order.sort_by_key(|index| std::cmp::Reverse(apart[*index].len()));
        for index in order {
            let displacement = seeds().find(|seed| are_free(&words, &apart[index], *seed))?;
            words[SERVICE_DISPLACED + index] = displacement;
            for key in &apart[index] {
                fill(&mut words, bucket_index(*key, displacement), *key, [self.others[key], 0]);
            }
        }
        Some(words)
    }

    fn service_seed(&self) -> Option<u64> {
        // By bucket, the last try that had a key there.
        let mut taken = vec![0; SERVICE_BUCKETS];
        (1..).zip(seeds()).find_map(|(number, seed)| {
            let is_free = |key| std::mem::replace(&mut taken[bucket_index(key, seed)], number) != number;
            self.services.keys().copied().all(is_free).then_some(seed)
        })
    }
}

/// Seeds that are tried.
const SEEDS: u64 = 100_000;
/// How far they lie apart: neighbours would permute keys that are neighbours, and no more.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn seeds() -> impl Iterator<Item = u64> {
    (1..=SEEDS).map(|number| number.wrapping_mul(SEED_STEP))
}

fn fill(words: &mut [u64], bucket: usize, key: ServiceKey, entry: [u64; 2]) {
    let bucket = &mut words[1 + bucket * BUCKET_WORDS..][..BUCKET_WORDS];
    bucket[..3].copy_from_slice(&key);
    bucket[3..].copy_from_slice(&entry);
}

/// Whether the keys have buckets of their own under a seed, which nobody has.
fn are_free(words: &[u64], keys: &[ServiceKey], seed: u64) -> bool {
    let buckets: BTreeSet<_> = keys.iter().map(|key| bucket_index(*key, seed)).collect();
    let is_free = |bucket: &usize| words[1 + bucket * BUCKET_WORDS..][..BUCKET_WORDS].iter().all(|word| *word == 0);
    buckets.len() == keys.len() && buckets.iter().all(is_free)
}

/// Ports of a protocol without a gap, in order, and the claims on all of them: one at least.
fn spans(claims: &[Claim], protocol: u8) -> Vec<(RangeInclusive<u16>, Vec<usize>)> {
    let mut edges = BTreeMap::<u32, Vec<usize>>::new();
    for (index, claim) in claims.iter().enumerate().filter(|(_, claim)| protocol_of(claim.key) == protocol) {
        for range in &claim.ports {
            edges.entry(u32::from(*range.start())).or_default().push(index);
            edges.entry(u32::from(*range.end()) + 1).or_default().push(index);
        }
    }
    let ends: Vec<_> = edges.keys().copied().skip(1).collect();
    let (mut open, mut spans) = (BTreeSet::new(), Vec::new());
    for ((first, changes), end) in edges.into_iter().zip(ends) {
        for claim in changes {
            // It begins here, or ends here.
            if !open.insert(claim) {
                open.remove(&claim);
            }
        }
        if !open.is_empty() {
            spans.push((first as u16..=(end - 1) as u16, open.iter().copied().collect()));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        address::{Address, V4, V6},
        find::{ServiceEntry, key_of, service_key},
        layout::{MAX_ANSWER_KEYS, MAX_SERVICE_KEYS, MAX_SERVICES},
        snat::MAX_POOL,
    };

    fn claim<A: Address>(address: A, protocol: u8, ports: &[RangeInclusive<u16>], ring: u32) -> Claim {
        let entry = ServiceEntry { ring, ..ServiceEntry::default() }.to_words();
        Claim { key: service_key(address, 0, protocol), ports: ports.to_vec(), entry, listens: true }
    }

    fn image(claims: &[Claim]) -> Image {
        let mut image = Image::default();
        image.claim(claims);
        image
    }

    /// The ring of an address, protocol and port, as a packet finds it.
    fn ring_of<A: Address>(image: &Image, address: A, protocol: u8, port: u16) -> Option<u32> {
        let entry = service_entry(protocol, port)?;
        let key = service_key(address, image.groups[entry], protocol);
        assert_eq!(image.ports[entry].listens, image.groups[entry] != 0);
        image.services.get(&key).map(|words| ServiceEntry::from_words(*words).ring)
    }

    #[test]
    fn every_port_is_whose_claim_it_is() {
        let (a, b, c) = (V4(0x0a00_0001), V4(0x0a00_0002), V6([1, 2]));
        let claims = [
            claim(a, TCP, &[80..=80, 443..=443, 5000..=5999], 1),
            claim(a, TCP, &[6000..=6999], 2),
            claim(b, TCP, &[1..=65535], 3),
            claim(c, TCP, &[443..=443, 5500..=6500], 4),
            claim(a, UDP, &[443..=443, 65535..=65535], 5),
        ];
        let image = image(&claims);
        for port in 0..=u16::MAX {
            for (address, protocol) in [(a, TCP), (b, TCP), (a, UDP), (b, UDP)] {
                let wanted = claims.iter().position(|claim| {
                    claim.key == service_key(address, 0, protocol) && claim.ports.iter().any(|r| r.contains(&port))
                });
                let wanted = wanted.map(|index| index as u32 + 1);
                assert_eq!(ring_of(&image, address, protocol, port), wanted, "{address:?} {protocol}/{port}");
            }
            let wanted = (port == 443 || (5500..=6500).contains(&port)).then_some(4);
            assert_eq!(ring_of(&image, c, TCP, port), wanted, "{port}");
        }
    }

    #[test]
    fn a_range_is_one_key_and_equal_lists_share_their_groups() {
        let lists: Vec<_> = (0..64).map(|n| claim(V4(n + 1), TCP, &[80..=80, 443..=443, 5000..=5999], n)).collect();
        assert_eq!(image(&lists).services.len(), 64);
        let any = [claim(V4(1), TCP, &[1..=65535], 0), claim(V4(2), TCP, &[80..=80], 1)];
        let image = image(&any);
        assert_eq!(image.services.len(), 3, "the first has a key for 80 and one for all else");
    }

    #[test]
    fn what_is_asked_for_otherwise_has_a_group_and_does_not_listen() {
        let mut answers = claim(V4(9), UDP, &[53..=53], 7);
        answers.listens = false;
        let image = image(&[answers]);
        let entry = service_entry(UDP, 53).expect("an entry");
        assert!(image.groups[entry] == 1 && !image.ports[entry].listens);
    }

    #[test]
    fn groups_stand_four_to_a_word() {
        let image = image(&[claim(V4(1), TCP, &[1..=1, 6..=6], 0), claim(V4(1), TCP, &[2..=3], 1)]);
        let words: Vec<_> = image.group_words().take(2).collect();
        assert_eq!(words, [2 << 48 | 2 << 32 | 1 << 16, 1 << 32]);
    }

    #[test]
    fn server_ids_find_a_seed_however_they_lie() {
        for (services, step) in [(1, 1), (64, 1), (64, 65_536), (16, 1 << 56)] {
            let mut image = image(&[claim(V4(1), UDP, &[443..=443], 0)]);
            for n in 0..4096_u32 {
                let id = u64::from(n / services).wrapping_mul(step);
                image.server(n % services * 65, id, n);
            }
            assert_eq!(image.others.len(), 4096);
            let words = image.service_table().expect("a seed");
            for (key, entry) in &image.others {
                let seed = words[SERVICE_DISPLACED + displacement_index(*key, words[0])];
                let bucket = &words[1 + bucket_index(*key, seed) * BUCKET_WORDS..][..BUCKET_WORDS];
                assert_eq!(bucket, [key[0], key[1], key[2], *entry, 0]);
            }
        }
    }

    #[test]
    fn as_many_keys_as_there_may_be_find_a_seed() {
        let claims: Vec<_> = (0..MAX_SERVICE_KEYS as u32 / 2)
            .flat_map(|n| {
                let v6 = claim(V6([0x2001_0db8 << 32, u64::from(n)]), TCP, &[443..=443], n);
                [claim(V4(0xc000_0200 + n), TCP, &[80..=80], n), v6]
            })
            .collect();
        let answers = (0..MAX_ANSWER_KEYS as u32).map(|n| {
            let key = key_of(Kind::Backend, V4(0x0a00_0100 + n / 2), 0, TCP);
            let port = 8000 + (n % 2) as u16;
            Claim { key, ports: vec![port..=port], entry: [u64::from(n / 2) + 1, 0], listens: false }
        });
        let mut image = image(&claims.into_iter().chain(answers).collect::<Vec<_>>());
        (0..MAX_POOL).for_each(|place| image.pool(V4(0x0a09_0000 + place as u32), place));
        (0..MAX_SERVICES).for_each(|n| image.balancer(V4(0x0a0a_0000 + n)));
        assert_eq!(image.services.len(), MAX_SERVICE_KEYS);
        assert_eq!(image.others.len(), MAX_ANSWER_KEYS + MAX_POOL + MAX_SERVICES as usize);
        let before = Instant::now();
        let words = image.service_table().expect("a seed");
        println!("a seed after {:?}", before.elapsed());
        let bucket = |key: ServiceKey, seed| &words[1 + bucket_index(key, seed) * BUCKET_WORDS..][..BUCKET_WORDS];
        for (key, [first, second]) in &image.services {
            assert_eq!(bucket(*key, words[0]), [key[0], key[1], key[2], *first, *second]);
        }
        for (key, entry) in &image.others {
            let displacement = words[SERVICE_DISPLACED + displacement_index(*key, words[0])];
            assert_eq!(bucket(*key, displacement), [key[0], key[1], key[2], *entry, 0]);
        }
    }
}
