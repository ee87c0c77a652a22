//! What the kernel made of the programs: nothing on the common path calls a function of their own, since the compiler's
//! copying functions go byte by byte.

use std::process::Command;

use foobar_tests::lab::Lab;

/// Far below the verifier's million, and what a tired reader can still look at.
const INSTRUCTIONS: usize = 8704;
/// Half of the verifier's million: another kernel's may look at more.
const VERIFIED: u32 = 500_000;

/// Functions of their own that rare packets call: those that a rule with terms matches, that have extension headers, whose
/// pairs are hashed, that are shown, that are fragments, or that are sent where there are rules for that.
const RARE: &[&str] = &[
    "_settle_apart",
    "_sparse_pair",
    "_show",
    "_show_sent",
    "_within_limit_apart",
    "_least_rank_apart",
    "_remember_v4",
    "_remember_v6",
    "_recall_v4",
    "_recall_v6",
    "_walk_v4",
    "_walk_v6",
    "_answer_apart",
    "_answered_apart",
    "_is_balancers_apart",
    "_hand_over_apart",
];

/// And those that packets call where rules name sets.
const SETS: &[&str] = &[
    "_members_v4",
    "_members_v6",
    "_lasts_v6",
    "_is_in_leaves",
    "_is_in_block",
    "_is_timed_v4",
    "_is_timed_v6",
    "_weigh_sources_apart",
    "_weigh_apart",
];

#[test]
fn the_common_path_calls_no_function() {
    let mut lab = Lab::new();
    let main = lab.datapath().program_id().expect("the program is loaded");
    let egress = lab.egress_program().info().expect("the program is loaded").id();
    for (name, id) in [("main", main), ("egress", egress)] {
        let text = translated(id);
        let instructions: Vec<_> = text.lines().filter(|line| is_instruction(line)).collect();
        println!("{name}: {} instructions", instructions.len());
        assert!((200..INSTRUCTIONS).contains(&instructions.len()), "{name}: {} instructions", instructions.len());
        let is_rare = |line: &str| RARE.iter().chain(SETS).any(|name| line.trim_end().ends_with(name));
        let calls: Vec<_> = instructions.iter().filter(|line| line.contains("call pc") && !is_rare(line)).collect();
        assert!(calls.is_empty(), "{name}: calls to memcpy, memmove or memset cost 20 ns each: {calls:#?}");
    }
}

#[test]
fn the_verifier_has_half_of_its_budget_left() {
    let mut lab = Lab::new();
    let main = lab.program().info().expect("the program is loaded");
    let egress = lab.egress_program().info().expect("the program is loaded");
    for (name, info) in [("main", main), ("egress", egress)] {
        let verified = info.verified_instruction_count().expect("the kernel counts them (Linux 5.16)");
        println!("{name}: {verified} instructions verified");
        assert!(verified < VERIFIED, "{name}: {verified} instructions verified");
    }
}

fn translated(id: u32) -> String {
    let output = Command::new("bpftool").args(["prog", "dump", "xlated", "id", &id.to_string()]).output();
    let output = output.expect("bpftool runs; hint: `cargo xtask setup` installs it");
    assert!(output.status.success(), "bpftool: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("bpftool prints text")
}

/// `  12: (85) call …`
fn is_instruction(line: &str) -> bool {
    line.trim_start().split_once(": (").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}
