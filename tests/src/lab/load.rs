//! Loads and publishes, in the daemon's order.

use std::collections::HashMap;

use foobar_common::{image::Image, next_hop::NextHop, terms::Terms};
use foobar_userspace::{
    daemon::plan::{Forced, Plan, Rings, plan},
    daemon::{state::now, ways::words},
    datapath::{Datapath, Options, Publication},
    domain::Forward,
};

use super::{Lab, counts::Counts, pins::PinDir, privilege, sets::LabSets, source_towards};

/// A loaded program and what was published to it.
pub struct Loaded {
    pub datapath: Datapath,
    pub rings: Rings,
    pub image: Image,
    pub sets: LabSets,
    /// Ids of the rules in the order of the list.
    pub rule_ids: Vec<u32>,
    /// The same of those for what this host sends.
    pub egress_ids: Vec<u32>,
    /// What they ask beyond their match, by id.
    pub terms: HashMap<u32, Terms>,
    /// The counters after the last frame.
    pub counts: Counts,
    /// Goes last.
    _pins: PinDir,
}

impl Loaded {
    fn new() -> Self {
        privilege::demand();
        let pins = PinDir::new();
        let options = Options { pin_dir: pins.path().to_owned(), trace_packets: false };
        let datapath = Datapath::open(&options).unwrap_or_else(|error| panic!("loading the program: {error:#}"));
        let (rings, image) = (Rings::default(), Image::default());
        Self {
            datapath,
            rings,
            image,
            sets: LabSets::new(),
            rule_ids: Vec::new(),
            egress_ids: Vec::new(),
            terms: HashMap::new(),
            counts: Counts::default(),
            _pins: pins,
        }
    }

    /// As `daemon::engine` does it.
    fn publish(&mut self, plan: Plan) -> anyhow::Result<()> {
        for id in &plan.new_rules {
            self.datapath.reset_rule(*id)?;
        }
        for (id, limit) in &plan.limits {
            self.datapath.set_limit(*id, *limit)?;
        }
        for (id, terms) in &plan.terms {
            self.datapath.set_terms(*id, *terms)?;
        }
        for id in &plan.new_backends {
            self.datapath.reset_backend(*id)?;
            self.datapath.set_next_hop(*id, Some(NextHop::UNRESOLVED))?;
        }
        let ring = |name: &String| (plan.rings[name].region, plan.rings[name].slots.as_slice());
        let rings = plan.changed.iter().map(ring).collect();
        self.datapath.publish(&Publication { image: &plan.image, rings })?;
        self.rings = plan.rings;
        self.image = plan.image;
        self.rule_ids = plan.rule_ids;
        self.egress_ids = plan.egress_ids;
        self.terms = plan.terms.into_iter().collect();
        Ok(())
    }
}

impl Lab {
    /// Plans and publishes the configuration as it is.
    pub fn publish(&mut self) {
        let config = &self.state.config;
        config.check().unwrap_or_else(|fault| panic!("the configuration is valid: {}", fault.problem));
        if self.network.is_some() {
            for service in self.state.config.services.iter().filter(|service| service.forward == Forward::Nat) {
                self.state.pool.learn(&service.name, source_towards(service.address));
            }
        }
        let mut loaded = self.loaded.take().unwrap_or_else(Loaded::new);
        let plan = plan(&mut self.state, &loaded.rings, &Forced::new(), now());
        let plan = plan.unwrap_or_else(|refusal| panic!("the configuration can be planned: {refusal}"));
        let done = self.load_sets(&mut loaded).and_then(|()| loaded.publish(plan)).and_then(|()| {
            for (address, place) in self.state.pool.all() {
                loaded.datapath.set_pool_address(place, words(address));
            }
            for (id, hop, target) in self.ways() {
                loaded.datapath.set_target(id, target)?;
                loaded.datapath.set_next_hop(id, Some(hop))?;
            }
            self.state.ids.retired().try_for_each(|id| loaded.datapath.set_next_hop(id, None))
        });
        done.unwrap_or_else(|error| panic!("publishing: {error:#}"));
        self.loaded = Some(loaded);
        self.refresh();
    }

    /// Takes the counters as they are for the state before the next frame.
    pub fn refresh(&mut self) {
        let counts = self.counts();
        self.loaded().counts = counts;
    }

    /// What is loaded; loads it at first.
    pub fn loaded(&mut self) -> &mut Loaded {
        if self.loaded.is_none() {
            self.publish();
        }
        self.loaded.as_mut().expect("it was published")
    }

    /// The id of the rule at a place of the list.
    pub fn rule_id(&mut self, index: usize) -> u32 {
        self.loaded().rule_ids[index]
    }

    /// The datapath under the lab.
    pub fn datapath(&mut self) -> &mut Datapath {
        &mut self.loaded().datapath
    }
}
