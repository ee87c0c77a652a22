//! Runs frames that this host sends through the program on the way out.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};

use super::Lab;
use crate::frames::Packet;

/// `TC_ACT_UNSPEC`: whatever else is there decides.
const NEXT: u32 = u32::MAX;

impl Lab {
    /// This host sends a packet.
    pub fn send(&mut self, packet: &Packet) {
        send(self.egress_program(), &packet.bytes());
    }

    /// The loaded program on the way out.
    pub fn egress_program(&mut self) -> &mut SchedClassifier {
        self.datapath().egress_program().unwrap_or_else(|error| panic!("finding the program: {error:#}"))
    }
}

/// Sends one frame, which leaves as it is.
pub fn send(program: &SchedClassifier, frame: &[u8]) {
    let mut after = vec![0; frame.len()];
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut after), ..TestRunOptions::default() };
    let result = program.test_run(options);
    let result = result.unwrap_or_else(|error| panic!("sending a frame of {} bytes: {error:?}", frame.len()));
    assert_eq!(result.return_value, NEXT, "it decides nothing");
    assert_eq!(after, frame, "it changes nothing");
}
