//! The tables' answer against the rule list read top to bottom, for flows of both families.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use foobar_common::{
    Flow, Outcome, Tables as _,
    address::{Address, V4, V6},
    admit::{admit, decide},
    extension::{self, KINDS, is_extension},
    flow::{ICMP, ICMPV6, Segment, TCP, Transport, UDP},
    fragment::{Admission, Fragment, admit_later},
    image::HostTables,
    plane::Way,
    sets::host::HostSets,
    terms::Terms,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    daemon::sets::{join, journal::Overlay},
    domain::{Ports, rule::arbitrary::enforceable_rule, set::compact},
};

/// Where and when packets come in: by a rule's place, the second when it ends, if it has `for`.
#[derive(Clone, Debug)]
struct Moment {
    now: u32,
    /// Where packets come in.
    ingress: u32,
    ends: Vec<u32>,
}

impl Moment {
    fn is_over(&self, place: usize, rule: &Rule) -> bool {
        rule.lifetime.is_some() && self.now >= self.ends[place % self.ends.len()]
    }

    /// The rules that hold.
    fn holding(&self, rules: &[Rule]) -> Vec<Rule> {
        let holds = |(place, rule): &(usize, &Rule)| !self.is_over(*place, rule);
        let holding: Vec<_> = rules.iter().enumerate().filter(holds).map(|(_, rule)| rule.clone()).collect();
        on_interface(&holding, self.ingress)
    }
}

fn moments() -> impl Strategy<Value = Moment> {
    (0..4u32, 2..6u32, prop::collection::vec(1..4u32, 1..8)).prop_map(|(now, ingress, ends)| Moment {
        now,
        ingress,
        ends,
    })
}

fn tables(rules: &[Rule], moment: &Moment) -> HostTables {
    let numbered: Vec<_> = rules.iter().enumerate().map(|(id, rule)| Numbered { rule, id: id as u32 }).collect();
    let mut image = Image::default();
    let ids = (0..).zip(SETS).map(|(id, (name, _))| (name.to_owned(), id)).collect();
    classify(&numbered, &ifindexes(), &ids, &mut image).expect("enforceable rules");
    let end = |place: usize| Terms::NONE.until(moment.ends[place % moment.ends.len()]);
    let timed = rules.iter().enumerate().filter(|(_, rule)| rule.lifetime.is_some());
    let terms = timed.map(|(place, _)| (place as u32, end(place))).collect();
    HostTables { image, terms, sets: host_sets(), now: moment.now, ingress: moment.ingress, ..HostTables::default() }
}

/// One interface by its name, one that two have, one that is not there.
const INTERFACES: [(&str, &[u32]); 3] = [("a", &[3]), ("b", &[4, 5]), ("c", &[])];

fn ifindexes() -> Ifindexes {
    INTERFACES.into_iter().map(|(name, of)| (name.to_owned(), of.iter().copied().collect())).collect()
}

/// The rules that hold for what comes in there.
fn on_interface(rules: &[Rule], ingress: u32) -> Vec<Rule> {
    let is_named = |name: &String| INTERFACES.iter().any(|(other, of)| other == name && of.contains(&ingress));
    rules.iter().filter(|rule| rule.on.is_empty() || rule.on.iter().any(is_named)).cloned().collect()
}

/// Sets that rules name: their prefixes lie among those of near rules.
const SETS: [(&str, &[&str]); 3] = [
    ("a", &["10.0.0.0/22", "10.0.4.1/32", "2001:db8::/59", "2001:db8:0:2000::/64"]),
    ("b", &["10.0.0.0/24", "10.0.5.0/28", "10.0.6.0/23", "2001:db8::/57"]),
    ("c", &["0.0.0.0/0", "::/1"]),
];
/// What is in set `b` until it ends, later than any moment.
const ENDING: &str = "10.0.3.0/30";

fn host_sets() -> HostSets {
    let mut sets = HostSets::default();
    for (_, texts) in SETS {
        let nets: Vec<IpNet> = texts.iter().map(|text| text.parse().expect("a prefix")).collect();
        let [v4, v6] = join(&nets, &Overlay::default());
        sets.push([&v4, &v6]);
    }
    sets.add_until(1, false, compact(&ENDING.parse().expect("a prefix")).1, 100);
    sets
}

fn set_covers(name: &str, address: &IpAddr) -> bool {
    let listed = SETS.iter().filter(|(set, _)| *set == name).flat_map(|(_, texts)| texts.iter().copied());
    let ending = (name == "b").then_some(ENDING);
    listed.chain(ending).any(|text| text.parse::<IpNet>().expect("a prefix").contains(address))
}

/// The rule list read top to bottom.
fn naive<A: Address>(rules: &[Rule], flow: &Flow<A>) -> Option<usize> {
    (0..rules.len()).find(|place| matches(&rules[*place], flow) || denies_a_header(rules, *place, flow))
}

fn matches<A: Address>(rule: &Rule, flow: &Flow<A>) -> bool {
    let port = |list: &[std::ops::RangeInclusive<u16>], port: u16| {
        list.is_empty() || list.iter().any(|range| range.contains(&port))
    };
    let is = |number: u8| flow.protocol == number;
    let matcher = match (&rule.matcher, flow.transport) {
        (Matcher::Any, _) => true,
        (Matcher::Tcp(list), Transport::Tcp(segment)) => port(&list.0, segment.destination),
        (Matcher::Udp(list), Transport::Udp { destination, .. }) => port(&list.0, destination),
        (Matcher::Icmp(list), Transport::Icmp { kind, .. }) if is(ICMP) => list.0.is_empty() || list.0.contains(&kind),
        (Matcher::Icmpv6(list), Transport::Icmp { kind, .. }) if is(ICMPV6) => {
            list.0.is_empty() || list.0.contains(&kind)
        }
        (Matcher::Icmp(list), Transport::Other) => list.0.is_empty() && is(ICMP),
        (Matcher::Icmpv6(list), Transport::Other) => list.0.is_empty() && is(ICMPV6),
        (Matcher::Protocol(number), Transport::Other) => is(*number),
        _ => false,
    };
    matcher && on_the_way(rule, flow)
}

/// The rule's addresses are the flow's.
fn on_the_way<A: Address>(rule: &Rule, flow: &Flow<A>) -> bool {
    within(&rule.from, flow.source) && within(&rule.to, flow.destination)
}

fn within<A: Address>(prefixes: &[Source], of_flow: A) -> bool {
    let address = address(of_flow);
    let covers = |source: &Source| match source {
        Source::Prefix(net) => net.contains(&address),
        Source::Set(name) => set_covers(name, &address),
    };
    prefixes.is_empty() || prefixes.iter().any(covers)
}

/// The rule at `place` denies the number of an extension header that the packet has, and is the first on that number.
fn denies_a_header<A: Address>(rules: &[Rule], place: usize, flow: &Flow<A>) -> bool {
    let rule = &rules[place];
    let Matcher::Protocol(number) = rule.matcher else { return false };
    let earlier = |earlier: &Rule| earlier.matcher == rule.matcher && on_the_way(earlier, flow);
    rule.verdict == Verdict::Deny
        && on_the_way(rule, flow)
        && !rules[..place].iter().any(earlier)
        && is_extension(number)
        && flow.extensions & extension::bit(number) != 0
}

fn address<A: Address>(address: A) -> IpAddr {
    let [high, low] = address.words();
    if A::V6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

/// Rules about few ports and prefixes that lie within each other, so that many rules speak of the same packets.
fn near_rule() -> impl Strategy<Value = Rule> {
    let prefix = |v6: bool| {
        let net = move |(bits, len): (u32, u8)| -> Source {
            Source::Prefix(if v6 {
                let address =
                    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits & 7) << 61 | u128::from(bits >> 29));
                Ipv6Net::new(address, 57 + len).expect("a length").trunc().into()
            } else {
                Ipv4Net::new(Ipv4Addr::from_bits(0x0a00_0000 | bits & 0x707), 20 + len)
                    .expect("a length")
                    .trunc()
                    .into()
            })
        };
        let set = prop::sample::select(&["a", "b", "c"]).prop_map(|name| Source::Set(name.to_owned()));
        let one = prop_oneof![3 => (any::<u32>(), 0u8..=12).prop_map(net), 1 => set];
        let lists = prop::collection::vec(one, 0..3);
        (lists.clone(), lists)
    };
    let matcher = prop_oneof![
        Just(Matcher::Any),
        (0u16..4, 0u16..3).prop_map(|(low, more)| Matcher::Tcp(Ports::new([low..=low + more]))),
        Just(Matcher::Tcp(Ports::default())),
        Just(Matcher::Udp(Ports::default())),
        prop::sample::select(&KINDS).prop_map(Matcher::Protocol),
    ];
    let lifetime = prop_oneof![2 => Just(None), 1 => Just(Some(Duration::from_secs(9)))];
    let parts = (any::<bool>(), matcher, any::<bool>().prop_flat_map(prefix), lifetime);
    (parts, on()).prop_map(|((allow, matcher, (from, to), lifetime), on)| {
        let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
        Rule { from, to, on, lifetime, ..Rule::new(verdict, matcher) }
    })
}

fn on() -> impl Strategy<Value = Vec<String>> {
    let names = || prop::sample::subsequence(INTERFACES.map(|(name, _)| name.to_owned()).to_vec(), 1..=2);
    prop_oneof![3 => Just(Vec::new()), 1 => names()]
}

/// Enforceable rules; some of them speak of extension headers, and half of the same packets.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let verdict = prop_oneof![Just(Verdict::Allow), Just(Verdict::Deny)];
    let on_header =
        (verdict, prop::sample::select(&KINDS), any::<bool>(), on()).prop_map(|(verdict, number, ends, on)| Rule {
            on,
            lifetime: ends.then_some(Duration::from_secs(9)),
            ..Rule::new(verdict, Matcher::Protocol(number))
        });
    prop::collection::vec(prop_oneof![3 => enforceable_rule(), 4 => near_rule(), 1 => on_header], 0..16)
}

fn transports(v6: bool) -> impl Strategy<Value = (u8, Transport)> {
    let tcp = |destination| {
        (TCP, Transport::Tcp(Segment { source: 9, destination, flags: Segment::ACK, header: 34, end: 54 }))
    };
    let icmp = if v6 { ICMPV6 } else { ICMP };
    prop_oneof![
        any::<u16>().prop_map(tcp),
        (0u16..1024).prop_map(tcp),
        (0u16..8).prop_map(tcp),
        (0u16..1024).prop_map(|destination| (UDP, Transport::Udp { source: 9, destination, header: 34 })),
        any::<u8>().prop_map(move |kind| (icmp, Transport::Icmp { kind, header: 0 })),
        any::<u8>()
            .prop_filter("read further", move |number| {
                !([TCP, UDP, icmp].contains(number) || v6 && is_extension(*number))
            })
            .prop_map(|number| (number, Transport::Other)),
    ]
}

fn flow<A: Address>(words: [u64; 2], make: fn([u64; 2]) -> A, extensions: u64, found: (u8, Transport)) -> Flow<A> {
    let (protocol, transport) = found;
    let (source, destination, fragment) = (make(words), make([7, 7]), Fragment::WHOLE);
    Flow { source, destination, protocol, extensions, hops: 64, fragment, transport }
}

fn v4(words: [u64; 2]) -> V4 {
    V4(words[1] as u32)
}

fn flows_v4() -> impl Strategy<Value = Flow<V4>> {
    (any::<[u64; 2]>(), transports(false)).prop_map(|(words, found)| flow(words, v4, 0, found))
}

fn flows_v6() -> impl Strategy<Value = Flow<V6>> {
    let kinds = |count| prop::sample::subsequence(KINDS.to_vec(), count);
    let walked = prop_oneof![kinds(0..=0), kinds(1..=1), kinds(0..=8)];
    let extensions = walked.prop_map(|kinds| kinds.into_iter().fold(0, |mask, kind| mask | extension::bit(kind)));
    (any::<[u64; 2]>(), extensions, transports(true)).prop_map(|(words, walked, found)| flow(words, V6, walked, found))
}

/// A family's addresses of the prefixes that the rules speak of.
fn spoken_of<A>(rules: &[Rule], read: impl Fn(IpNet) -> Option<A>) -> Vec<A> {
    let prefix = |source: &Source| match source {
        Source::Prefix(net) => read(*net),
        Source::Set(_) => None,
    };
    rules.iter().flat_map(|rule| rule.from.iter().chain(&rule.to)).filter_map(prefix).collect()
}

fn net_v4(net: IpNet) -> Option<V4> {
    if let IpNet::V4(net) = net { Some(net.addr().into()) } else { None }
}

fn net_v6(net: IpNet) -> Option<V6> {
    if let IpNet::V6(net) = net { Some(net.addr().into()) } else { None }
}

fn as_read<A: Address + std::fmt::Debug>(
    rules: &[Rule],
    moment: &Moment,
    spoken_of: &[A],
    flows: Vec<(Flow<A>, [Index; 2], [bool; 2])>,
) -> Result<(), TestCaseError> {
    let tables = tables(rules, moment);
    let holding = &moment.holding(rules);
    for (mut flow, [source, destination], [from_there, to_there]) in flows {
        if from_there && !spoken_of.is_empty() {
            flow.source = *source.get(spoken_of);
        }
        if to_there && !spoken_of.is_empty() {
            flow.destination = *destination.get(spoken_of);
        }
        let expected = match naive(holding, &flow) {
            None => Ok(false),
            Some(place) if holding[place].verdict == Verdict::Allow => Ok(true),
            Some(_) => Err(Outcome::Denied),
        };
        let (settled, listens) = decide(&flow, tables.generation(), Way::In, &tables);
        let allowed = admit(&flow, settled, &tables, 64).map(|()| settled.decision.allows());
        prop_assert_eq!((allowed, listens), (expected, false), "{:?} {:?} {:?}", flow, moment, rules);
    }
    Ok(())
}

/// What the rules say of a flow's packet, whole or a later fragment.
fn judged<A: Address>(flow: &Flow<A>, tables: &HostTables) -> Result<Admission, Outcome> {
    let (settled, _) = decide(flow, tables.generation(), Way::In, tables);
    if flow.fragment.is_later() {
        return admit_later(flow, settled, tables.generation().plane(Way::In), tables, 64);
    }
    admit(flow, settled, tables, 64)?;
    Ok(if settled.decision.allows() { Admission::Allowed } else { Admission::Undecided })
}

fn no_better<A: Address + std::fmt::Debug>(
    (rules, moment): (&[Rule], &Moment),
    odd: &Flow<A>,
    plain: &Flow<A>,
    drops: bool,
) -> Result<(), TestCaseError> {
    let tables = tables(rules, moment);
    let passes = |flow| match judged(flow, &tables) {
        Ok(Admission::Allowed) => true,
        Ok(Admission::Undecided) => !drops,
        Ok(Admission::Open) | Err(_) => false,
    };
    let (odd, plain) = (passes(odd), passes(plain));
    prop_assert!(!odd || plain, "{:?}: {:?} but {:?}", rules, odd, plain);
    Ok(())
}

/// The number of a header that is denied says nothing of a later fragment behind another one: its first tells.
#[test]
fn a_denied_extension_header_leaves_later_fragments_of_others_to_their_first() {
    let rules = ["deny proto/43", "allow ah"].map(|text| text.parse::<Rule>().expect("a rule"));
    let tables = tables(&rules, &Moment { now: 0, ingress: 2, ends: vec![9] });
    let ask = |fragment, protocol, transport| {
        let flow = Flow { fragment, protocol, ..flow([0, 7], v4, 0, (protocol, transport)) };
        judged(&flow, &tables)
    };
    let later = |protocol| ask(Fragment::later(1), protocol, Transport::LaterFragment);
    assert_eq!(ask(Fragment::first(1), extension::AUTHENTICATION, Transport::Other), Ok(Admission::Allowed));
    assert_eq!(later(extension::AUTHENTICATION), Ok(Admission::Open), "its first was allowed");
    assert_eq!(ask(Fragment::first(1), extension::ROUTING, Transport::Other), Err(Outcome::Denied));
    assert_ne!(later(extension::ROUTING), Ok(Admission::Allowed), "its first was denied");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_tables_answer_as_the_list_read_top_to_bottom(
        rules in rules(),
        moment in moments(),
        v4 in prop::collection::vec((flows_v4(), any::<[Index; 2]>(), any::<[bool; 2]>()), 64),
        v6 in prop::collection::vec((flows_v6(), any::<[Index; 2]>(), any::<[bool; 2]>()), 64),
    ) {
        as_read(&rules, &moment, &spoken_of(&rules, net_v4), v4)?;
        as_read(&rules, &moment, &spoken_of(&rules, net_v6), v6)?;
    }

    #[test]
    fn a_later_fragment_never_fares_better_than_any_packet_it_could_be_of(
        rules in rules(),
        moment in moments(),
        v4 in flows_v4(),
        v6 in flows_v6(),
        drops in any::<bool>(),
    ) {
        let (fragment, transport) = (Fragment::later(1), Transport::LaterFragment);
        no_better((&rules, &moment), &Flow { fragment, transport, ..v4 }, &v4, drops)?;
        let extensions = v6.extensions | extension::bit(extension::FRAGMENT);
        no_better((&rules, &moment), &Flow { fragment, transport, extensions, ..v6 }, &v6, drops)?;
    }

    #[test]
    fn extension_headers_never_make_a_packet_fare_better(
        rules in rules(),
        moment in moments(),
        odd in flows_v6(),
        drops in any::<bool>(),
    ) {
        no_better((&rules, &moment), &odd, &Flow { extensions: 0, ..odd }, drops)?;
    }
}
