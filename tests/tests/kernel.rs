//! What this kernel makes of foobar: what its verifier looks at, how deep the stack gets, and which hooks it has.
//!
//! `cargo xtask kernels` runs it on every kernel and reads the lines that begin with `kernel: `.

use std::{collections::HashSet, fs, process::Command};

use aya::programs::ProgramInfo;
use foobar_common::layout::program;
use foobar_tests::{
    lab::Lab,
    site::{Site, quiet},
};

/// Half of the verifier's million: a kernel to come may look at more.
const VERIFIED: u32 = 500_000;
/// `MAX_BPF_STACK`.
const STACK: u32 = 512;

#[test]
fn every_program_is_loaded_within_bounds() {
    let mut lab = Lab::new();
    let pins = lab.datapath().pin_dir().to_owned();
    let layout = fs::read_dir(pins).expect("pins").next().expect("a layout").expect("an entry").path();
    for name in program::ALL {
        let info = ProgramInfo::from_pin(layout.join("programs").join(name)).expect("a pinned program");
        let verified = info.verified_instruction_count().expect("the kernel counts them (Linux 5.16)");
        let stack = stack(info.id());
        println!("kernel: program {name} verified {verified} stack {stack}");
        assert!(verified < VERIFIED, "{name}: {verified} instructions verified");
        assert!(stack <= STACK, "{name}: {stack} bytes of stack");
    }
}

/// The deepest byte below its frame that a program addresses: `*(u64 *)(r10 -144) = r1`, or `r2 = r10` and `r2 += -56`.
fn stack(id: u32) -> u32 {
    let text = quiet(Command::new("bpftool").args(["prog", "dump", "xlated", "id", &id.to_string()]));
    let mut copies = HashSet::new();
    let mut deepest = 0;
    for line in text.lines().filter_map(|line| line.trim().split_once(") ").map(|(_, text)| text)) {
        let direct = line.split_once("(r10 -").and_then(|(_, rest)| number(rest));
        let words: Vec<_> = line.split(' ').collect();
        let through = match words[..] {
            [to, "=", "r10"] => {
                copies.insert(to);
                None
            }
            [to, "+=", offset] if copies.remove(to) => offset.strip_prefix('-').and_then(number),
            [to, "=", ..] => {
                copies.remove(to);
                None
            }
            _ => None,
        };
        deepest = direct.into_iter().chain(through).fold(deepest, u32::max);
    }
    deepest
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn the_programs_stand_on_a_veth_natively_and_on_the_way_out() {
    let mut site = Site::quiet(1);
    let interface = format!("{{ name = \"eth0\", mode = \"native\", peer = \"{}\" }}", site.peer());
    site.foobar.configure(&format!("interfaces = [{interface}]\n[firewall]\ndefault = \"drop\"\n"));
    site.foobar.start();

    let details = site.network.within("lb", || {
        let show = |program: &str, args: &[&str]| quiet(Command::new(program).args(args));
        [show("ip", &["-details", "link", "show", "eth0"]), show("tc", &["filter", "show", "dev", "eth0", "egress"])]
    });

    assert!(details[0].contains("prog/xdp id") && !details[0].contains("xdpgeneric"), "{}", details[0]);
    println!("kernel: xdp native");
    let filters = details[1].contains("foobar_egress");
    let layouts = fs::read_dir(&site.foobar.pins).expect("pins").map(|entry| entry.expect("an entry").path());
    let links: usize = layouts.filter_map(|layout| fs::read_dir(layout.join("egress")).ok()).map(Iterator::count).sum();
    assert_eq!(usize::from(filters) + links, 1, "one program notes what is opened: {}", details[1]);
    println!("kernel: egress {}", if filters { "clsact" } else { "tcx" });
}
