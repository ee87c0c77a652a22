//! An odd packet never fares better than its plain twin: what is dropped plain is dropped with tags, options, extension
//! headers, padding and in fragments too, under any rules.

use fastrand::Rng;
use foobar_common::{Action, Outcome};
use foobar_tests::{
    frames::Packet,
    lab::{Lab, run},
    random::{odd, plain},
};
use foobar_userspace::plan::{
    classify::{Numbered, classify},
    sets::SetIds,
};

const SEED: u64 = 0x00dd;

const RULES: [&str; 27] = [
    "deny tcp/25",
    "deny tcp/80",
    "deny tcp",
    "deny udp/53",
    "deny udp",
    "deny icmp",
    "deny icmpv6/echo-request",
    "deny proto/50",
    "deny from 203.0.113.0/28",
    "deny from 2001:db8:bad::/48",
    "deny",
    "allow tcp/22",
    "allow tcp/80",
    "allow tcp",
    "allow udp/53",
    "allow udp",
    "allow from 198.51.100.0/24",
    "allow from 2001:db8:cafe::/64",
    "allow icmp",
    "allow proto/47",
    "deny ah",
    "deny proto/60",
    "allow proto/0",
    "deny tcp on eth0",
    "allow udp on eth0",
    "allow on wan",
    "deny from 203.0.113.0/28 for 10m",
];

/// Some rules in some order, and a default.
fn rules(rng: &mut Rng) -> (Vec<&'static str>, bool) {
    let mut rules = RULES.to_vec();
    rng.shuffle(&mut rules);
    rules.truncate(rng.usize(..6));
    (rules, rng.bool())
}

/// The firewall's reasons to drop, and addresses that nobody has. A damaged header is none of them: where a fragment hides
/// it, the whole packet is dropped at its first fragment.
fn is_refused(outcome: Outcome) -> bool {
    use Outcome::{BadAddress, DefaultDrop, Denied, FragmentUnknown};
    matches!(outcome, Denied | DefaultDrop | FragmentUnknown | BadAddress)
}

/// A fragment that meets no other.
fn alone(packet: Packet, id: u32) -> Packet {
    if packet.family().is_some() { packet.identified(id) } else { packet }
}

fn fares_no_better(plain: Outcome, odd: Outcome) -> bool {
    let is_forwarded = matches!(odd.action(), Action::Tx | Action::Redirect);
    if is_refused(plain) { odd.action() == Action::Drop } else { plain.action() != Action::Drop || !is_forwarded }
}

#[test]
fn under_any_rules_on_the_host() {
    println!("seed {SEED:#x}");
    let mut rng = Rng::with_seed(SEED);
    let mut tables = foobar_common::image::HostTables { ingress: 3, ..Default::default() };
    let ifindexes = [("eth0".to_owned(), [3].into()), ("wan".to_owned(), [4].into())].into();
    let mut refused = 0;
    for _ in 0..400 {
        let (texts, drops) = rules(&mut rng);
        let parsed: Vec<_> = texts.iter().map(|text| text.parse().expect("a rule")).collect();
        let numbered: Vec<_> = parsed.iter().enumerate().map(|(id, rule)| Numbered { rule, id: id as u32 }).collect();
        tables.image = foobar_common::image::Image { drops, ..Default::default() };
        tables.firsts.borrow_mut().clear();
        classify(&numbered, &ifindexes, &SetIds::default(), &mut tables.image).expect("enforceable rules");
        for id in 0..500 {
            let packet = plain(&mut rng);
            let twin = alone(odd(packet.clone(), &mut rng), id);
            let (plain, odd) = (tables.run(&mut packet.bytes()), tables.run(&mut twin.bytes()));
            assert!(fares_no_better(plain, odd), "{plain:?}, but {odd:?} for {twin:?} under {texts:?}, drops: {drops}");
            refused += u32::from(is_refused(plain));
        }
    }
    assert!(refused > 20_000, "only {refused} plain packets were refused");
}

#[test]
fn through_the_loaded_program() {
    println!("seed {SEED:#x}");
    let mut rng = Rng::with_seed(SEED);
    let mut lab = Lab::new()
        .drops()
        .rules(&["deny from 203.0.113.0/28", "allow tcp/22", "deny tcp/25", "allow icmp", "deny udp", "allow proto/47"])
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .without_echoes();
    let program = lab.program();
    let mut after = Vec::new();
    for id in 0..20_000 {
        let packet = plain(&mut rng);
        let twin = alone(odd(packet.clone(), &mut rng), id);
        let plain = run(program, &packet.bytes(), &mut after);
        let odd = run(program, &twin.bytes(), &mut after);
        assert!(plain != Action::Drop || odd == Action::Drop, "dropped, but {odd:?} for {twin:?}");
    }
}
