//! A change that waits for confirmation, in the loaded programs: what was before is in force from the deadline on.

use foobar_common::Outcome;
use foobar_tests::{
    frames::{tcp, udp},
    lab::Lab,
};
use foobar_userspace::{
    daemon::{
        plan::{Forced, Rings, plan},
        state::{State, now},
    },
    datapath::Publication,
};

const THERE: &str = "192.0.2.7:4000";
const HERE: &str = "10.0.0.1:22";

/// An hour.
const LONG: u32 = 3600;

fn lab() -> Lab {
    Lab::new().drops().rules(&["allow tcp/22", "deny udp/9 to 10.0.0.9"])
}

/// Publishes a configuration that denies what the lab's allows, until `deadline`.
fn change(lab: &mut Lab, deadline: u32) {
    let mut state = State::default();
    state.config.firewall.rules = vec!["deny tcp/22".parse().expect("a rule")];
    let plan = plan(&mut state, &Rings::new(), &Forced::new(), now()).expect("a plan");
    let publication = Publication { image: &plan.image, rings: Vec::new() };
    lab.datapath().publish_until(&publication, deadline).expect("published");
}

fn outcomes(lab: &mut Lab) -> [Outcome; 3] {
    [tcp(THERE, HERE), udp(THERE, "10.0.0.9:9"), udp(THERE, HERE)].map(|frame| lab.run(&frame).outcome)
}

const BEFORE: [Outcome; 3] = [Outcome::Allowed, Outcome::Denied, Outcome::DefaultDrop];
const CHANGED: [Outcome; 3] = [Outcome::Denied, Outcome::DefaultPass, Outcome::DefaultPass];

#[test]
fn before_the_deadline_the_change_is_in_force_and_after_it_what_was_before() {
    let mut lab = lab();
    assert_eq!(outcomes(&mut lab), BEFORE);
    change(&mut lab, now() as u32 + LONG);
    assert_eq!(outcomes(&mut lab), CHANGED);
    lab.datapath().fall_back();
    assert_eq!(outcomes(&mut lab), BEFORE, "undone by a word");

    change(&mut lab, now() as u32);
    assert_eq!(outcomes(&mut lab), BEFORE, "its time was up when it was published");
    let said = lab.datapath().explain(tcp(THERE, HERE).bytes(), 1);
    assert_eq!(said.outcome, Outcome::Allowed, "who asks is told the same");
    lab.datapath().settle(now() as u32);
    assert_eq!((outcomes(&mut lab), lab.datapath().generation().deadline()), (BEFORE, 0));
}

#[test]
fn a_change_that_is_kept_has_no_end() {
    let mut lab = lab();
    lab.publish();
    change(&mut lab, now() as u32 + LONG);
    lab.datapath().keep();
    assert_eq!((outcomes(&mut lab), lab.datapath().generation().deadline()), (CHANGED, 0));
}

#[test]
fn the_deadline_comes_by_itself() {
    let mut lab = lab();
    lab.publish();
    let deadline = now() as u32 + 2;
    change(&mut lab, deadline);
    assert_eq!(lab.run(&tcp(THERE, HERE)).outcome, Outcome::Denied);
    while now() <= u64::from(deadline) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(outcomes(&mut lab), BEFORE, "nothing was written meanwhile");
}

#[test]
fn while_a_change_waits_nothing_else_is_published() {
    let mut lab = lab();
    lab.publish();
    change(&mut lab, now() as u32 + LONG);
    let state = &mut State::default();
    let plan = plan(state, &Rings::new(), &Forced::new(), now()).expect("a plan");
    let publication = Publication { image: &plan.image, rings: Vec::new() };
    let error = lab.datapath().publish(&publication).expect_err("both banks are in use");
    assert!(error.to_string().contains("waits for confirmation"), "{error}");
}

#[test]
fn what_this_host_opens_is_noted_by_the_rules_of_the_same_moment() {
    for (deadline, noted) in [(LONG, 1), (0, 0)] {
        let mut lab = lab();
        lab.publish();
        let mut state = State::default();
        state.config.firewall.default = foobar_userspace::config::Policy::Drop;
        let plan = plan(&mut state, &Rings::new(), &Forced::new(), now()).expect("a plan");
        let publication = Publication { image: &plan.image, rings: Vec::new() };
        lab.datapath().publish_until(&publication, now() as u32 + deadline).expect("published");
        // The answer to it is allowed by the rules before, and needs no state; the change has no rule for it.
        foobar_tests::lab::send(lab.egress_program(), &tcp(HERE, THERE).bytes());
        let answers = lab.datapath().states().expect("the states").len();
        assert_eq!(answers, noted, "{deadline}");
    }
}
