//! A received frame on the host, and its whole way, whatever programs the kernel would have it go through.

use crate::{
    frame::{Frame, FrameMut, Grow, Header, Resize},
    handoff::{Handoff, Stage},
    nat::{answer, nat},
    outcome::{Outcome, Step},
    serve::serve,
    snat::{self, snat},
    tables::Tables,
    tunnel::tunnel,
    untunnel::untunnel,
};

/// The host's tables, which cannot call a program: what would be called is what the packet goes on with.
pub trait HandedOver: Tables {
    /// What was handed over last, once.
    fn handed_over(&self) -> Option<(Stage, Handoff)>;
}

/// A frame that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedFrame(pub Vec<u8>);

impl Frame for ReceivedFrame {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn reaches(&self, end: usize) -> bool {
        end <= self.0.len()
    }

    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        self.0.as_slice().read(offset)
    }
}

impl FrameMut for ReceivedFrame {
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        self.0.as_mut_slice().write(offset, header)
    }
}

impl Resize for ReceivedFrame {
    fn resize(&mut self, len: usize) -> Option<()> {
        self.0.resize(len, 0);
        Some(())
    }
}

impl Grow for ReceivedFrame {
    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.0.splice(..0, vec![0; bytes]);
        Some(())
    }

    fn shrink(&mut self, bytes: usize) -> Option<()> {
        if bytes >= self.0.len() {
            return None;
        }
        self.0.drain(..bytes);
        Some(())
    }
}

/// As many programs as the kernel lets one packet go through (`MAX_TAIL_CALL_CNT`).
const MAX_STAGES: usize = 33;

/// Serves a frame by every stage that it is handed over to.
pub fn serve_whole<T: HandedOver>(frame: &mut ReceivedFrame, tables: &T) -> Outcome {
    let mut outcome = serve(frame, tables);
    for _ in 0..MAX_STAGES {
        let Some((stage, handoff)) = tables.handed_over() else { return outcome };
        outcome = go_on(frame, stage, &handoff, tables).unwrap_or_else(|left| left);
    }
    Outcome::NoStage
}

fn go_on<T: HandedOver>(frame: &mut ReceivedFrame, stage: Stage, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    match stage {
        Stage::Tunnel => tunnel(frame, handoff, tables),
        Stage::Nat => nat(frame, handoff, tables),
        Stage::Snat => snat(frame, handoff, tables),
        Stage::Answer if handoff.detail == 0 => answer(frame, handoff, tables),
        Stage::Answer => snat::answer(frame, handoff, tables),
        Stage::Untunnel => {
            untunnel(frame, handoff)?;
            Ok(tables.hand_over(Stage::Main, *handoff))
        }
        Stage::Main => Ok(serve(frame, tables)),
        Stage::Complain | Stage::Quoted => Err(Outcome::NoStage),
    }
}
