//! Runs frames through `BPF_PROG_TEST_RUN`.

use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use foobar_common::{Action, Outcome};

use super::Lab;
use crate::frames::Packet;

/// Bytes by which a frame may have grown.
const ROOM: usize = 64;

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The outcome whose counter moved.
    pub outcome: Outcome,
    pub action: Action,
    pub frame: Vec<u8>,
    /// Every counter that moved, as [`Lab::moved`] tells it: nothing else did.
    pub counted: Vec<String>,
}

impl Lab {
    pub fn run(&mut self, packet: &Packet) -> Got {
        self.run_bytes(&packet.bytes())
    }

    /// The kernel takes frames of 14 bytes and more.
    pub fn run_bytes(&mut self, bytes: &[u8]) -> Got {
        let before = self.loaded().counts.clone();
        let mut frame = Vec::new();
        let action = run(self.program(), bytes, &mut frame);
        let after = self.counts();
        let counted = self.moved(&before, &after, bytes.len());
        let moved = |outcome: &&Outcome| after.outcomes[&outcome.index()] != before.outcomes[&outcome.index()];
        let outcome = Outcome::ALL.iter().find(moved).copied();
        self.loaded().counts = after;
        let outcome = outcome.unwrap_or_else(|| panic!("no outcome was counted, only {counted:?}"));
        Got { outcome, action, frame, counted }
    }

    /// Runs a frame, which is not rewritten, many times in one go.
    pub fn repeat(&mut self, bytes: &[u8], times: u32) -> Action {
        let options = TestRunOptions { data_in: Some(bytes), repeat: times, ..TestRunOptions::default() };
        let result = self.program().test_run(options);
        let result = result.unwrap_or_else(|error| panic!("running a frame {times} times: {error:?}"));
        let action = action(result.return_value);
        self.refresh();
        action
    }

    /// The loaded main program.
    pub fn program(&mut self) -> &mut Xdp {
        self.datapath().program().unwrap_or_else(|error| panic!("finding the program: {error:#}"))
    }
}

/// Runs one frame; `after` holds what it became.
pub fn run(program: &Xdp, frame: &[u8], after: &mut Vec<u8>) -> Action {
    after.resize(frame.len() + ROOM, 0);
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(after), ..TestRunOptions::default() };
    let result = program.test_run(options);
    let result = result.unwrap_or_else(|error| panic!("running a frame of {} bytes: {error:?}", frame.len()));
    after.truncate(result.data_size_out as usize);
    action(result.return_value)
}

fn action(value: u32) -> Action {
    match value {
        1 => Action::Drop,
        2 => Action::Pass,
        3 => Action::Tx,
        4 => Action::Redirect,
        other => panic!("the program returned {other}, which is no action that it takes"),
    }
}
