//! What the kernel made of the program: nothing on the hot path calls a function of the program's own, since the
//! compiler's copying functions go byte by byte.

use std::process::Command;

use foobar_tests::lab::Lab;

/// Far below the verifier's million, and what a tired reader can still look at.
const INSTRUCTIONS: usize = 4096;

#[test]
fn the_program_calls_no_function_of_its_own() {
    let text = translated(&mut Lab::new());
    let instructions: Vec<_> = text.lines().filter(|line| is_instruction(line)).collect();
    println!("{} instructions", instructions.len());
    assert!((200..INSTRUCTIONS).contains(&instructions.len()), "{} instructions", instructions.len());
    let calls: Vec<_> = instructions.iter().filter(|line| line.contains("call pc+")).collect();
    assert!(calls.is_empty(), "calls to memcpy, memmove or memset cost 20 ns each: {calls:#?}");
}

fn translated(lab: &mut Lab) -> String {
    let id = lab.datapath().program_id().expect("the program is loaded").to_string();
    let output = Command::new("bpftool").args(["prog", "dump", "xlated", "id", &id]).output();
    let output = output.expect("bpftool runs; hint: `cargo xtask setup` installs it");
    assert!(output.status.success(), "bpftool: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("bpftool prints text")
}

/// `  12: (85) call …`
fn is_instruction(line: &str) -> bool {
    line.trim_start().split_once(": (").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}
