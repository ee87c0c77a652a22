//! The kernel's side as the engine sees it: the only code that says `aya`.
//!
//! Everything loaded is pinned, so that traffic outlives this process; opening adopts what is pinned.

mod attach;
mod attempts;
pub mod below;
mod counters;
mod egress;
mod events;
mod explain;
pub mod features;
mod foreign;
mod grace;
mod limits;
mod links;
mod load;
mod mapped;
mod notes;
mod peers;
mod pins;
mod places;
mod sets;
mod sockets;
mod states;
mod sweep;
mod tables;
mod tags;
mod waiting;
mod wanted;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use aya::Ebpf;
pub use egress::Attention;
pub use events::{Events, ShownPacket};
pub use explain::Explanation;
use foobar_common::{
    find::{Kind, ServiceEntry},
    generation::Generation,
    image::Image,
    next_hop::NextHop,
    slot::Slot,
    target::Target,
    terms::Terms,
};
pub use load::{HARNESS, object};
pub use notes::{NotedFlow, Notes};
pub use pins::{is_pinned, remove_pins};
pub use sets::TooManyLengths;
pub use sockets::Open;
pub use sweep::{Owner, Sweeping, Swept};
pub use tables::KnownServices;

pub use self::attach::{AttachError, Attachment, Patience};
use self::{
    attempts::Attempts,
    grace::Grace,
    pins::Pins,
    places::Places,
    sets::Sets,
    tables::{Maps, Tables},
    wanted::Wanted,
};

/// How to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// A directory on a bpffs; made if it is not there.
    pub pin_dir: PathBuf,
    /// Let the program log every packet (aya-log, at trace).
    pub trace_packets: bool,
}

/// The loaded programs and their tables.
pub struct Datapath {
    pins: Pins,
    ebpf: Ebpf,
    tables: Tables,
    maps: Maps,
    sets: Sets,
    grace: Grace,
    /// What the program is for by which interfaces are left.
    attention: Attention,
    /// A change that waits ends with the next publication.
    is_given_up: bool,
    attempts: Attempts,
    /// Until somebody reads them.
    events: Option<Events>,
    places: Places,
    notes: Notes,
    wanted: Wanted,
}

/// A generation, and the rings that its services' entries name.
pub struct Publication<'a> {
    pub image: &'a Image,
    /// Regions that no generation in force uses, and what to write there.
    pub rings: Vec<(u32, &'a [Slot])>,
}

/// The name of an interface of this network namespace.
pub fn interface_name(ifindex: u32) -> Option<String> {
    links::name_of(ifindex).ok().flatten()
}

impl Datapath {
    /// Loads the programs over new tables, or over those that are pinned, and swaps them into the pinned links.
    ///
    /// Refused where an interface that has the program cannot be seen from here; the program stays on it.
    pub fn open(options: &Options) -> Result<Self> {
        let pins = Pins::new(&options.pin_dir)?;
        pins.prepare()?;
        links::refuse_elsewhere(&pins)?;
        peers::finish(&pins)?;
        let (mut ebpf, tables) = load::load(&pins, options.trace_packets)?;
        if options.trace_packets {
            load::follow_log(&mut ebpf)?;
        }
        let maps = Maps::take(&mut ebpf)?;
        tables.seed_buckets();
        let events = Some(Events::open(&mut ebpf)?);
        let (sets, grace) = (Sets::new()?, Grace::default());
        let (attention, attempts) = (Attention::default(), Attempts::default());
        let (places, notes, wanted) = (Places::open(&pins)?, Notes::open(&pins)?, Wanted::open(&pins)?);
        let mut datapath = Self {
            pins,
            ebpf,
            tables,
            maps,
            sets,
            grace,
            attention,
            is_given_up: false,
            attempts,
            events,
            places,
            notes,
            wanted,
        };
        datapath.adopt_links()?;
        datapath.adopt_egress()?;
        load::pin_programs(&datapath.pins, &mut datapath.ebpf)?;
        Ok(datapath)
    }

    /// The generation as it was published last.
    pub fn generation(&self) -> Generation {
        self.tables.published()
    }

    /// Publications since the tables were made; 0 where nothing was published.
    pub fn number(&self) -> u64 {
        self.tables.number()
    }

    pub fn pin_dir(&self) -> &Path {
        self.pins.root()
    }

    /// Returns when no packet can still be reading what was in force before the last publication.
    pub fn wait_for_readers(&mut self) -> Result<()> {
        self.grace.wait()
    }

    /// Returns when no packet can still be reading what stood in the tables when this was called.
    pub fn wait_for_packets(&mut self) -> Result<()> {
        self.grace.begin();
        self.grace.wait()
    }

    /// Puts rules and services in force together. Waits until no packet can be reading the idle bank.
    pub fn publish(&mut self, publication: &Publication<'_>) -> Result<Generation> {
        self.publish_with(publication, |next, _| next)
    }

    /// Publishes what `word` makes of the next generation and the one in force.
    fn publish_with(
        &mut self,
        publication: &Publication<'_>,
        word: impl FnOnce(Generation, Generation) -> Generation,
    ) -> Result<Generation> {
        self.finish_settling();
        self.grace.wait()?;
        let now = self.generation();
        ensure!(now.deadline() == 0, "a change waits for confirmation, and both banks are in use");
        let bank = 1 - now.bank();
        for (region, slots) in &publication.rings {
            self.tables.write_ring(*region, slots)?;
        }
        self.tables.write_bank(bank, publication.image)?;
        let Image { drops, narrowed, sent, .. } = publication.image;
        let next = Generation::new(bank, *drops, !narrowed.is_empty()).asking_sets(publication.image.asks_sets());
        let sent_drops = sent.as_ref().is_some_and(|sent| sent.drops);
        let Attention { judges: _, notes, hears } = self.attention;
        let next = next.sending(sent.is_some(), sent_drops).noting(*drops || notes, sent_drops || hears);
        let image = publication.image;
        let next = next
            .serving(!image.services.is_empty())
            .answering(image.has(Kind::Backend), image.has(Kind::Pool))
            .untunnelling(image.has(Kind::Balancer));
        let next = word(next, now);
        self.tables.set_generation(next, self.number() + 1);
        self.grace.begin();
        Ok(next)
    }

    /// What packets of a generation know of its services.
    pub fn services_of(&self, generation: Generation) -> KnownServices {
        self.tables.services_of_bank(generation.bank())
    }

    pub fn read_ring(&self, service: &ServiceEntry) -> Result<Vec<Slot>> {
        self.tables.read_ring(service.ring, service.slots)
    }

    /// Says what a rule asks beyond its match, for packets from this moment on.
    pub fn set_terms(&mut self, rule: u32, terms: Terms) -> Result<()> {
        self.tables.set_terms(rule, terms)
    }

    /// `None`: the backend is dead.
    pub fn set_next_hop(&mut self, backend: u32, next_hop: Option<NextHop>) -> Result<()> {
        self.tables.set_next_hop(backend, next_hop)
    }

    /// What packets are told of a backend.
    pub fn target(&self, backend: u32) -> Result<Target> {
        self.tables.target(backend)
    }

    /// Says where a backend is, before packets can be sent there.
    pub fn set_target(&mut self, backend: u32, target: Target) -> Result<()> {
        self.tables.set_target(backend, target)
    }

    /// `None`: the backend is dead, or its id was never used.
    pub fn next_hop(&self, backend: u32) -> Result<Option<NextHop>> {
        self.tables.next_hop(backend)
    }

    /// The main program's id, as `bpftool prog` shows it.
    pub fn program_id(&mut self) -> Result<u32> {
        Ok(load::main_program(&mut self.ebpf)?.info()?.id())
    }

    /// The program on the way out, for tests and measurements.
    pub fn egress_program(&mut self) -> Result<&mut aya::programs::SchedClassifier> {
        load::egress_program(&mut self.ebpf)
    }

    /// The main program, for tests and measurements through `BPF_PROG_TEST_RUN`.
    pub fn program(&mut self) -> Result<&mut aya::programs::Xdp> {
        load::main_program(&mut self.ebpf)
    }
}
