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
    "_choose_apart",
    "_find_note_apart",
    "_free_in_apart",
    "_rewrite_note_apart",
    "_occupy_note_apart",
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

/// A program's functions as Linux 6.1 counts their stack: in steps of 32 bytes, the caller's and the called one's.
#[test]
fn the_stack_is_long_enough_for_linux_6_1() {
    let mut lab = Lab::new();
    let main = lab.datapath().program_id().expect("the program is loaded");
    let egress = lab.egress_program().info().expect("the program is loaded").id();
    for (name, id) in [("main", main), ("egress", egress)] {
        let functions = functions(&translated(id));
        assert!(functions.len() > 10, "{name}: {} functions", functions.len());
        let stack = functions[0].depth(&functions);
        println!("{name}: {} bytes of its own, {stack} with the functions that it calls", functions[0].stack);
        assert!((functions[0].stack + 32..=MAX_STACK).contains(&stack), "{name}: {stack} bytes of stack");
    }
}

/// `MAX_BPF_STACK` of `linux/filter.h`.
const MAX_STACK: usize = 512;

#[derive(Default)]
struct Function {
    /// The number of its first instruction.
    start: usize,
    /// Bytes.
    stack: usize,
    /// The first instructions of those that it calls.
    calls: Vec<usize>,
}

impl Function {
    /// Bytes of the longest chain of calls that begins with this one.
    fn depth(&self, all: &[Self]) -> usize {
        let called =
            |start: &usize| all.iter().find(|function| function.start == *start).expect("a function is called");
        let deepest = self.calls.iter().map(|start| called(start).depth(all)).max().unwrap_or(0);
        self.stack.max(1).next_multiple_of(32) + deepest
    }
}

/// From the listing, in which a line that ends in `):` begins a function.
fn functions(text: &str) -> Vec<Function> {
    let mut functions = Vec::<Function>::new();
    let mut begins = true;
    let mut last = "";
    for line in text.lines() {
        begins |= line.ends_with("):");
        let Some((number, what)) = line.trim_start().split_once(": (") else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        if std::mem::take(&mut begins) {
            functions.push(Function { start: number, ..Function::default() });
        }
        let function = functions.last_mut().expect("it has begun");
        let direct = what.split("r10 -").nth(1).and_then(|rest| rest.split(')').next());
        let taken = what.split("+= -").nth(1).filter(|_| last.ends_with(" = r10"));
        if let Some(bytes) = direct.or(taken) {
            function.stack = function.stack.max(bytes.trim().parse().expect("a number of bytes"));
        }
        if let Some((_, far)) = what.split_once("call pc") {
            let far = far.split('#').next().expect("there is a first part");
            function.calls.push(number.strict_add_signed(far.parse::<isize>().expect("how far it is")) + 1);
        }
        last = what;
    }
    functions
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
