//! Whether a change cuts the connection over which its caller came: asked of the tables that it would publish.
//!
//! A connection that only lives on as an answer to this host counts as cut: a new one would not get in.

use foobar_common::{
    Action, Outcome, depart::judge_sent, image::HostTables, layout::MAX_NOTES, plane::Way, sets::host::HostSets,
    slot::Slot,
};

use super::{
    caution::{Caution, Connection},
    engine::Engine,
    plan::Plan,
    state::{State, now},
    ways::backends,
};
use crate::{api::types::Refusal, domain::packet::SaidPacket};

impl Engine {
    /// Refuses what would cut the caller's connection, where that passes now and nobody insists.
    pub(super) fn refuse_cut(&mut self, caution: &Caution, wanted: &State, plan: &Plan) -> Result<(), Refusal> {
        self.refuse_cut_with(caution, wanted, plan, |_| ())
    }

    /// The same where sets have other members than they have now.
    pub(super) fn refuse_cut_with(
        &mut self,
        caution: &Caution,
        wanted: &State,
        plan: &Plan,
        change: impl FnOnce(&mut HostSets),
    ) -> Result<(), Refusal> {
        let Some(connection) = caution.connection.filter(|_| !caution.force && caution.confirm_within.is_none()) else {
            return Ok(());
        };
        let Some(frame) = connection.segment() else { return Ok(()) };
        let ingress = connection.interface.unwrap_or(0);
        if !self.sees(ingress)? {
            return Ok(());
        }
        let mut sets = self.sets_for(wanted, &[connection.peer.ip(), connection.local.ip()].into())?;
        change(&mut sets);
        let tables = HostTables { ingress, sets, ..self.planned_tables(wanted, plan) };
        let why = why_cut(&mut frame.clone(), &tables, wanted, plan);
        let answer = connection.answer().unwrap_or_default();
        let Some(why) = why.or_else(|| why_mute(&answer, &tables, wanted, plan)) else { return Ok(()) };
        // One that a file attaches only now lets everything in.
        let was_attached = self.interfaces()?.iter().any(|interface| interface.ifindex == ingress || ingress == 0);
        if was_attached && !(self.lets_in(frame, ingress, why.denies) && self.lets_out(answer)) {
            return Ok(());
        }
        let Connection { peer, local, .. } = connection;
        Err(Refusal::refused(format!(
            "this would cut the connection from {peer} to {local}, over which you are here: {}",
            why.reason
        ))
        .hint("`--confirm-within 60s` tries it and undoes it by itself; `--force` insists"))
    }

    /// Whether packets that come in by an interface's index meet the program; 0: nobody knows which one it is.
    pub(super) fn sees(&self, ingress: u32) -> Result<bool, Refusal> {
        Ok(ingress == 0 || self.datapath.attachments()?.iter().any(|attachment| attachment.ifindex == ingress))
    }

    /// Whether the tables in force let it in; as an answer to this host counts against a denial alone.
    fn lets_in(&self, frame: Vec<u8>, ingress: u32, denies: bool) -> bool {
        let outcome = self.datapath.explain(frame, Way::In, ingress).outcome;
        outcome.action() == Action::Pass && (outcome != Outcome::Reply || denies)
    }

    /// Whether no rule in force denies what this host answers.
    fn lets_out(&self, answer: Vec<u8>) -> bool {
        self.datapath.explain(answer, Way::Out, 0).outcome != Outcome::Denied
    }

    /// What would be published, as tables of the host: nothing noted, nothing opened, and no sets.
    pub(super) fn planned_tables(&self, wanted: &State, plan: &Plan) -> HostTables {
        let regions = plan.rings.values().map(|ring| ring.region + 1).max().unwrap_or(0);
        let mut rings = vec![Vec::<Slot>::new(); regions as usize];
        for ring in plan.rings.values() {
            rings[ring.region as usize].clone_from(&ring.slots);
        }
        let hop =
            |id| self.datapath.next_hop(id).ok().flatten().unwrap_or(foobar_common::next_hop::NextHop::UNRESOLVED);
        HostTables {
            image: plan.image.clone(),
            terms: plan.terms.iter().copied().collect(),
            rings,
            next_hops: backends(wanted).into_iter().map(|(id, ..)| (id, hop(id))).collect(),
            targets: self.planned_targets(wanted),
            pool: self.datapath.pool_addresses().to_vec(),
            room: MAX_NOTES as usize,
            now: now() as u32,
            ..HostTables::default()
        }
    }
}

/// Why a frame does not get in.
struct Cut {
    /// A rule says so.
    denies: bool,
    reason: String,
}

/// `None` where it reaches this host.
fn why_cut(frame: &mut Vec<u8>, tables: &HostTables, wanted: &State, plan: &Plan) -> Option<Cut> {
    let outcome = tables.run(frame);
    if outcome.action() == Action::Pass {
        return None;
    }
    let matched = tables.rules.borrow().keys().next().copied();
    let place = matched.and_then(|id| plan.rule_ids.iter().position(|other| *other == id));
    let reason = match (outcome, place.map(|place| &wanted.config.firewall.rules[place])) {
        (Outcome::Denied, Some(rule)) => format!("`{rule}` denies it"),
        (Outcome::DefaultDrop, _) => "no rule allows it, and the default is `drop`".to_owned(),
        (outcome, _) => format!("it would be counted as `{}`", outcome.name()),
    };
    Some(Cut { denies: outcome == Outcome::Denied, reason })
}

/// `None` where no rule denies what this host answers: of a default, what others opened is the exception.
fn why_mute(answer: &[u8], tables: &HostTables, wanted: &State, plan: &Plan) -> Option<Cut> {
    tables.rules.borrow_mut().clear();
    let matched = (judge_sent(answer, tables) == Outcome::Denied).then(|| tables.rules.borrow().keys().next().copied());
    let place = plan.egress_ids.iter().position(|id| Some(*id) == matched.flatten())?;
    let reason = format!("the egress rule `{}` denies its answers", wanted.config.firewall.egress.rules[place]);
    Some(Cut { denies: true, reason })
}

impl Connection {
    /// A segment of it that comes in, amid the connection; none for addresses of two families.
    fn segment(&self) -> Option<Vec<u8>> {
        let said: Result<SaidPacket, _> = format!("tcp {} > {}", self.peer, self.local).parse();
        said.ok().map(|packet| packet.frame)
    }

    /// One that goes out.
    fn answer(&self) -> Option<Vec<u8>> {
        Self { local: self.peer, peer: self.local, ..*self }.segment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Egress, Firewall, Policy},
        daemon::plan::{Forced, Rings, plan},
    };

    /// Why a connection from 192.0.2.7 to port 22 would be cut by these rules.
    fn reason(default: Policy, rules: &[&str]) -> Option<String> {
        let rules = rules.iter().map(|text| text.parse().expect("a rule")).collect();
        let config = Config { firewall: Firewall { default, rules, ..Firewall::default() }, ..Config::default() };
        reason_in(config)
    }

    fn reason_in(config: Config) -> Option<String> {
        let mut state = State { config, ..State::default() };
        let plan = plan(&mut state, &Rings::new(), &Forced::new(), 1).expect("a plan");
        let end = |text: &str| text.parse().expect("an address");
        let connection = Connection { local: end("10.0.0.1:22"), peer: end("192.0.2.7:4000"), interface: None };
        let tables = HostTables { image: plan.image.clone(), ..HostTables::default() };
        let answer = connection.answer().expect("a frame");
        let why = why_cut(&mut connection.segment().expect("a frame"), &tables, &state, &plan);
        why.or_else(|| why_mute(&answer, &tables, &state, &plan)).map(|cut| cut.reason)
    }

    #[test]
    fn a_rule_that_denies_the_answers_cuts_and_a_default_that_drops_does_not() {
        let config = |rule: &str| {
            let egress = Egress { default: Policy::Drop, rules: vec![rule.parse().expect("a rule")] };
            Config { firewall: Firewall { egress, ..Firewall::default() }, ..Config::default() }
        };
        let reason = reason_in(config("deny tcp to 192.0.2.0/24"));
        assert_eq!(reason.as_deref(), Some("the egress rule `deny tcp to 192.0.2.0/24` denies its answers"));
        assert_eq!(reason_in(config("deny tcp to 198.51.100.0/24")), None);
    }

    #[test]
    fn the_rule_that_would_cut_is_named() {
        assert_eq!(reason(Policy::Pass, &[]), None);
        assert_eq!(reason(Policy::Drop, &["allow tcp/22"]), None);
        assert_eq!(reason(Policy::Drop, &["allow tcp/22 from 192.0.2.0/24", "deny tcp/22"]), None);
        let denied = reason(Policy::Drop, &["allow tcp/22 from 10.0.0.0/8", "deny tcp/22 as locked", "allow tcp"]);
        assert_eq!(denied.as_deref(), Some("`deny tcp/22 as locked` denies it"));
        let dropped = reason(Policy::Drop, &["allow tcp/80"]);
        assert_eq!(dropped.as_deref(), Some("no rule allows it, and the default is `drop`"));
    }
}
