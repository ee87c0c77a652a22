//! Loops as verifiers of Linux 6.1 take them (`check_cfg` in `kernel/bpf/verifier.c`): only a jump leads back. What falls
//! through into an instruction whose successors are still being looked at is refused.

use aya_obj::{Object, generated::bpf_insn};
use foobar_userspace::datapath;

const CLASS: u8 = 0x07;
const JUMPS: [u8; 2] = [0x05, 0x06];
const OPERATION: u8 = 0xf0;
const ALWAYS: u8 = 0x00;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// Both halves of a 64-bit constant are one instruction.
const WIDE: u8 = 0x18;

#[test]
fn what_leads_back_is_a_jump() {
    let object = Object::parse(datapath::object()).expect("the object is one that aya reads");
    assert!(object.functions.len() > 20, "its functions are there");
    for function in object.functions.values() {
        assert_eq!(falls_back(&function.instructions), None, "{}: an instruction that falls back", function.name);
    }
}

#[test]
fn what_falls_back_is_found() {
    let registers = bpf_insn::new_bitfield_1(0, 0);
    let insn = |code, off| bpf_insn { code, _bitfield_align_1: [], _bitfield_1: registers, off, imm: 0 };
    let (add, back, jump, end) = (insn(0x07, 0), insn(0x15, -2), insn(0x05, 1), insn(0x95, 0));
    assert_eq!(falls_back(&[add, back, end]), None, "a loop with its test at the end");
    assert_eq!(falls_back(&[jump, add, back, end]), Some(1), "one that is entered at its test");
}

/// The first instruction that falls through into one that led to it.
fn falls_back(instructions: &[bpf_insn]) -> Option<usize> {
    let mut led_to = vec![None; instructions.len()];
    let mut path = vec![(0, 0)];
    led_to[0] = Some(true);
    while let Some((at, edge)) = path.pop() {
        let Some(&(next, is_jump)) = edges(instructions, at).get(edge) else {
            led_to[at] = Some(false);
            continue;
        };
        path.push((at, edge + 1));
        match led_to[next] {
            None => {
                led_to[next] = Some(true);
                path.push((next, 0));
            }
            Some(true) if !is_jump => return Some(at),
            Some(_) => {}
        }
    }
    None
}

/// Where an instruction leads, and whether by a jump, in the order of the kernel's.
fn edges(instructions: &[bpf_insn], at: usize) -> Vec<(usize, bool)> {
    let bpf_insn { code, off, .. } = instructions[at];
    let next = at + if code == WIDE { 2 } else { 1 };
    if !JUMPS.contains(&(code & CLASS)) {
        return vec![(next, false)];
    }
    let target = next.strict_add_signed(off.into());
    match code & OPERATION {
        EXIT => vec![],
        CALL => vec![(next, false)],
        ALWAYS => vec![(target, true)],
        _ => vec![(next, true), (target, true)],
    }
}
