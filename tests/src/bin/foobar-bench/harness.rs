//! Runs programs in turn through the wrapper, and takes the middle of many measurements.

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use foobar_userspace::datapath::HARNESS;

use super::{
    ours::Ours,
    scene::{Scene, Stage},
};

/// Bytes that the wrapper puts back.
const HEAD: usize = 80;
const WORDS: usize = 23;
/// Where the counts of actions begin.
const ACTIONS: usize = 15;

/// The wrapper programs, loaded.
pub struct Harness {
    ebpf: Ebpf,
    settings: Array<MapData, [u64; WORDS]>,
    plain: ProgramArray<MapData>,
    frags: ProgramArray<MapData>,
}

/// What is called: the empty program or one under test, with or without multi-buffer support; or one of the
/// harness's own that does a single thing.
pub enum Target {
    Empty,
    EmptyFrags,
    OwnFrags(&'static str),
    Plain(ProgramFd),
    Frags(ProgramFd),
}

impl Target {
    const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty | Self::EmptyFrags)
    }
}

/// One frame, and over how many flows it is spread (0: each run is a new one).
pub struct Load {
    pub frame: Vec<u8>,
    pub flows: u64,
    pub v6: bool,
    /// Sources from everywhere: their fronts differ too.
    pub spread: bool,
}

impl Load {
    /// The offset of the source's port, in bytes.
    pub const fn port(&self) -> usize {
        if self.v6 { 14 + 40 } else { 14 + 20 }
    }
}

/// Programs that are given the same frames.
pub struct Case {
    pub name: &'static str,
    pub targets: Vec<Target>,
    pub load: Load,
    /// What all but the empty ones have to answer.
    pub action: u32,
    /// Whose program is timed, among those that are loaded.
    pub ours: Option<usize>,
}

impl Case {
    fn ours<'a>(&self, loaded: &'a mut [Ours]) -> Option<&'a mut Ours> {
        self.ours.and_then(|index| loaded.get_mut(index))
    }

    fn scene<'a>(&self, loaded: &'a mut [Ours]) -> Option<(Scene, &'a mut Ours)> {
        self.ours(loaded).and_then(|ours| Some((ours.scene?, ours)))
    }
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    pub repeat: u32,
    pub rounds: usize,
}

impl Harness {
    pub fn load() -> Result<Self> {
        if HARNESS.is_empty() {
            bail!("the timing programs were not built: run `cargo xtask setup`, then build again");
        }
        let mut ebpf = Ebpf::load(HARNESS).context("loading the harness (are you root?)")?;
        for name in ["wrap", "wrap_frags", "empty", "empty_frags", "grow_frags", "apart_frags", "clock_frags"] {
            xdp(&mut ebpf, name)?.load().with_context(|| format!("loading {name}"))?;
        }
        let mut map = |name: &str| ebpf.take_map(name).with_context(|| format!("the harness has no map {name}"));
        let settings = Array::try_from(map("SETTINGS")?)?;
        let plain = ProgramArray::try_from(map("TARGET")?)?;
        let frags = ProgramArray::try_from(map("TARGET_FRAGS")?)?;
        Ok(Self { ebpf, settings, plain, frags })
    }

    /// Nanoseconds a run of each target of each case. All cases take turns in every round, so that what the machine does
    /// meanwhile falls on all of them.
    pub fn compare(&mut self, cases: &[Case], loaded: &mut [Ours], effort: &Effort) -> Result<Vec<Vec<f64>>> {
        let mut times: Vec<_> = cases.iter().map(|case| vec![Vec::new(); case.targets.len()]).collect();
        for case in cases {
            if let Some((scene, ours)) = case.scene(loaded) {
                let mut stage = Stage { harness: self, ours, load: &case.load };
                scene.begin(&mut stage).with_context(|| format!("timing {}", case.name))?;
            }
        }
        for round in 0..=effort.rounds {
            for (case, times) in cases.iter().zip(&mut times) {
                for (target, times) in case.targets.iter().zip(times) {
                    let time = self.time(case, target, loaded, round as u64, effort.repeat);
                    let time = time.with_context(|| format!("timing {}", case.name))?;
                    // The first round warms up.
                    if round > 0 {
                        times.push(time);
                    }
                }
            }
        }
        Ok(times.into_iter().map(|case| case.into_iter().map(midmean).collect()).collect())
    }

    fn time(&mut self, case: &Case, target: &Target, loaded: &mut [Ours], round: u64, repeat: u32) -> Result<f64> {
        let Case { load, action, .. } = case;
        let scene = case.scene(loaded);
        let packets = scene.as_ref().map_or(repeat, |(scene, _)| scene.packets(repeat));
        // Where each run is a new flow, no round repeats the flows of another.
        let first = round * u64::from(packets);
        if target.is_empty() {
            return Ok(self.run(target, load, first, packets)?.0);
        }
        let mut staged = None;
        if let Some((scene, ours)) = scene {
            let mut stage = Stage { harness: self, ours, load };
            staged = Some((scene, scene.prepare(&mut stage)?));
        }
        let (time, actions) = self.run(target, load, first, packets)?;
        let right = actions[*action as usize];
        ensure!(right == u64::from(packets), "{right} of {packets} runs answered {action}: {actions:?}");
        if let Some(((scene, before), ours)) = staged.zip(case.ours(loaded)) {
            scene.check(&mut Stage { harness: self, ours, load }, &before, packets)?;
        }
        Ok(time)
    }

    /// Nanoseconds a run, and how many runs answered each action. `first`: the first flow, where each run is a new one.
    pub fn run(&mut self, target: &Target, load: &Load, first: u64, repeat: u32) -> Result<(f64, [u64; 8])> {
        let wrapper = self.aim(target)?;
        self.settings.set(0, settings(load, if load.flows == 0 { first } else { 0 }), 0)?;
        let options = TestRunOptions { data_in: Some(&load.frame), repeat, ..TestRunOptions::default() };
        let result = xdp(&mut self.ebpf, wrapper)?.test_run(options)?;
        let counts = self.settings.get(&0, 0)?;
        Ok((result.duration.as_secs_f64() * 1e9, std::array::from_fn(|action| counts[ACTIONS + action])))
    }

    /// Puts the target into its table, and says which wrapper calls it.
    fn aim(&mut self, target: &Target) -> Result<&'static str> {
        let Self { ebpf, plain, frags, .. } = self;
        match target {
            Target::Empty => plain.set(0, xdp(ebpf, "empty")?.fd()?, 0)?,
            Target::EmptyFrags => frags.set(0, xdp(ebpf, "empty_frags")?.fd()?, 0)?,
            Target::OwnFrags(name) => frags.set(0, xdp(ebpf, name)?.fd()?, 0)?,
            Target::Plain(fd) => plain.set(0, fd, 0)?,
            Target::Frags(fd) => frags.set(0, fd, 0)?,
        }
        Ok(if matches!(target, Target::Empty | Target::Plain(_)) { "wrap" } else { "wrap_frags" })
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("the harness has no program {name}"))?;
    Ok(program.try_into()?)
}

/// The wrapper's settings; see the harness in foobar-ebpf for the words.
fn settings(load: &Load, first_run: u64) -> [u64; WORDS] {
    let mut address = if load.v6 { 14 + 8 + 14 } else { 14 + 12 + 2 };
    if load.spread {
        address |= if load.v6 { 14 + 8 + 2 } else { 14 + 12 } << 16;
    }
    let mut words = [0; WORDS];
    words[..5].copy_from_slice(&[load.frame.len() as u64, address, load.port() as u64, load.flows, first_run]);
    for (word, bytes) in words[5..].iter_mut().zip(load.frame[..HEAD].as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

/// The mean of the middle half: as robust as a median, and finer than the whole nanoseconds that the kernel reports.
fn midmean(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let quarter = times.len() / 4;
    let middle = &times[quarter..times.len() - quarter];
    middle.iter().sum::<f64>() / f64::from(u32::try_from(middle.len().max(1)).unwrap_or(u32::MAX))
}
