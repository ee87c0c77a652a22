//! Loads the embedded object over new or pinned maps.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::ProgramArray,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use aya_log::EbpfLogger;
use aya_obj::Object;
use foobar_common::layout::{map, program};

use super::{
    mapped::section,
    pins::Pins,
    tables::{Tables, take},
};

/// What the build script built; empty where it had no BPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/foobar-ebpf"));

/// The embedded object with the programs and maps; empty where it was built without a BPF toolchain.
pub fn object() -> &'static [u8] {
    OBJECT
}

/// aya-log's level above all others.
const TRACE: u8 = 5;
/// How often the program's log is read.
const LOG_PAUSE: Duration = Duration::from_millis(20);

/// Loads every program; their tables and maps are those that are pinned, or are pinned as they are made.
pub fn load(pins: &Pins, trace_packets: bool) -> Result<(Ebpf, Tables)> {
    if OBJECT.is_empty() {
        bail!(
            "this foobar was built without its eBPF program: run `cargo xtask setup`, then build it again (bpf-linker or rust-src was missing)"
        );
    }
    let level = if trace_packets { TRACE } else { 0 };
    let tables = Tables::open(&Object::parse(OBJECT).context("reading the built object")?, pins)?;
    // aya writes the initial contents of every static, of one that packets are reading as well: so what is there.
    let contents = tables.contents();
    let sections: Vec<_> = map::TABLES.iter().map(|name| section(name)).collect();
    let mut loader = EbpfLoader::new();
    loader.override_global("AYA_LOG_LEVEL", &level, true);
    for (name, words) in &contents {
        loader.override_global(name, words.as_slice(), true);
    }
    for (name, section) in map::TABLES.iter().zip(&sections) {
        loader.map_pin_path(section, pins.map(name));
    }
    for name in map::MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    let mut ebpf = loader.load(OBJECT).context("creating foobar's maps")?;
    for name in program::ALL {
        let done = match program(&mut ebpf, name)? {
            Program::SchedClassifier(program) => program.load(),
            program => xdp(program, name)?.load(),
        };
        done.map_err(|error| explain(name, error))?;
    }
    fill_stages(&mut ebpf)?;
    Ok((ebpf, tables))
}

/// Lets programs hand packets over to each other. Where those of an earlier start are in there, they are replaced one by
/// one: both are of one layout, and understand each other.
fn fill_stages(ebpf: &mut Ebpf) -> Result<()> {
    let mut stages: ProgramArray<_> = take(ebpf, map::STAGES)?;
    for (stage, name) in program::STAGES {
        let fd = xdp(program(ebpf, name)?, name)?.fd().with_context(|| format!("{name} is loaded"))?;
        stages.set(stage.0, fd, 0).with_context(|| format!("putting {name} into the stages"))?;
    }
    Ok(())
}

/// Passes what the program logs on to this process's log, for as long as it lives.
pub fn follow_log(ebpf: &mut Ebpf) -> Result<()> {
    let mut log = EbpfLogger::init(ebpf).context("opening the program's log")?;
    thread::spawn(move || {
        loop {
            log.flush();
            thread::sleep(LOG_PAUSE);
        }
    });
    Ok(())
}

/// Says what a verifier's refusal means, since its log is thousands of lines.
fn explain(name: &str, error: ProgramError) -> anyhow::Error {
    let last_lines = match &error {
        ProgramError::LoadError { verifier_log, .. } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().rev().take(12).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    anyhow::Error::new(error).context(format!("the kernel refused the program {name}:\n{last_lines}"))
}

/// Pins the programs in place of those of an earlier start.
pub fn pin_programs(pins: &Pins, ebpf: &mut Ebpf) -> Result<()> {
    for name in program::ALL {
        let path = pins.program(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("replacing the pin {}", path.display()))?;
        }
        program(ebpf, name)?.pin(&path).with_context(|| format!("pinning {}", path.display()))?;
    }
    Ok(())
}

pub fn main_program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    xdp(program(ebpf, program::MAIN)?, program::MAIN)
}

pub fn pass_program(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    xdp(program(ebpf, program::PASS)?, program::PASS)
}

pub fn egress_program(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier> {
    program(ebpf, program::EGRESS)?.try_into().with_context(|| format!("{} is no TC program", program::EGRESS))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))
}

fn xdp<'a>(program: &'a mut Program, name: &str) -> Result<&'a mut Xdp> {
    program.try_into().with_context(|| format!("{name} is no XDP program"))
}

/// The programs that time others (see the harness in foobar-ebpf). The daemon never loads them.
pub static HARNESS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/foobar-harness"));
