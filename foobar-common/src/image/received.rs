//! A received frame on the host, and its whole way, whatever programs the kernel would have it go through.

use crate::{
    answer::answer,
    ask::{Judged, ask},
    frame::{Frame, FrameMut, Grow, Header, Resize},
    handoff::{Handoff, Stage},
    nat::nat,
    outcome::{Outcome, Step},
    quic::quic,
    quoted::quoted,
    serve::serve,
    snat::snat,
    tables::Tables,
    tunnel::tunnel,
    untunnel::untunnel,
};

/// The host's tables, which cannot call a program: what would be called is what the packet goes on with.
pub trait HandedOver: Tables {
    /// What was handed over last, once.
    fn handed_over(&self) -> Option<Handoff>;
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
    let mut outcome = serve_or_ask(frame, tables);
    for _ in 0..MAX_STAGES {
        let Some(handoff) = tables.handed_over() else { return outcome };
        outcome = go_on(frame, &handoff, tables).unwrap_or_else(|left| left);
    }
    Outcome::NoStage
}

/// As the first program does it, and the one that asks.
fn serve_or_ask<T: HandedOver>(frame: &mut ReceivedFrame, tables: &T) -> Outcome {
    let judged = Judged { generation: tables.generation(), outcome: serve(frame, tables) };
    if judged.is_asked(frame) && ask(frame, judged, tables) { Outcome::NoStage } else { judged.outcome }
}

fn go_on<T: HandedOver>(frame: &mut ReceivedFrame, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    match handoff.stage {
        Stage::TUNNEL => tunnel(frame, handoff, tables),
        Stage::NAT => nat(frame, handoff, tables),
        Stage::SNAT => snat(frame, handoff, tables),
        Stage::ANSWER => answer(frame, handoff, tables),
        Stage::UNTUNNEL => {
            untunnel(frame, handoff)?;
            Ok(tables.hand_over(Handoff { stage: Stage::MAIN, ..*handoff }))
        }
        Stage::QUOTED => quoted(frame, handoff, tables),
        Stage::QUIC => quic(frame, handoff, tables),
        Stage::MAIN => Ok(serve_or_ask(frame, tables)),
        _ => Err(Outcome::NoStage),
    }
}
