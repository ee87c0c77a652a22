//! Runs frames that this host sends through the program on the way out.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use foobar_common::Departure;

use super::Lab;
use crate::frames::Packet;

/// `TC_ACT_UNSPEC`: whatever else is there decides.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;
/// Bytes by which an answer can be longer than what it answers.
const ROOM: usize = 128;

impl Lab {
    /// This host sends a packet.
    pub fn send(&mut self, packet: &Packet) -> (Departure, Vec<u8>) {
        send(self.egress_program(), &packet.bytes())
    }

    /// The loaded program on the way out.
    pub fn egress_program(&mut self) -> &mut SchedClassifier {
        self.datapath().egress_program().unwrap_or_else(|error| panic!("finding the program: {error:#}"))
    }
}

/// Sends one frame: what became of it, and the frame as it is then.
pub fn send(program: &SchedClassifier, frame: &[u8]) -> (Departure, Vec<u8>) {
    let mut after = vec![0; frame.len() + ROOM];
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut after), ..TestRunOptions::default() };
    let result = program.test_run(options);
    let result = result.unwrap_or_else(|error| panic!("sending a frame of {} bytes: {error:?}", frame.len()));
    after.truncate(result.data_size_out as usize);
    let departure = match result.return_value {
        NEXT => Departure::Leaves,
        SHOT => Departure::Dropped,
        REDIRECT => Departure::Answered,
        other => panic!("the program returned {other}, which is no action that it takes"),
    };
    (departure, after)
}
