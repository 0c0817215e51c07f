//! The body of one request: bytes in, a stream input out, and a result for the request.

use super::{
    caller::Caller,
    context::{Context, EndReason},
    handoff::{BodyAsk, Cut, Done, Rejection},
    protocol::Protocol,
    raw::Raw,
};
use crate::wire::hello::Hello;

#[derive(Debug)]
pub(super) struct Body {
    raw: Raw,
    id: String,
    cut: Cut,
    done: Option<Done>,
}

impl Body {
    pub(super) fn new(ask: BodyAsk) -> Self {
        let from = format!("http {}", ask.peer);
        let said = Hello {
            label: ask.label,
            gain: ask.gain,
            room: ask.room,
            muted: Some(ask.muted),
            ..Hello::default()
        };
        Self {
            raw: Raw::of(ask.id.clone(), from, said, ask.content),
            id: ask.id,
            cut: ask.cut,
            done: Some(ask.done),
        }
    }
}

impl Protocol for Body {
    /// Refuses a name that is taken.
    fn begin(&mut self, _caller: &mut Caller, context: &Context<'_>) -> Result<(), EndReason> {
        context.must_be_free(&self.id)
    }

    fn read_budget(&self, caller: &Caller) -> usize {
        self.raw.read_budget(caller)
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        self.raw.receive(bytes, caller, context, reply)
    }

    /// The answer to the request says it.
    fn lingers(&self, _reason: &EndReason) -> bool {
        false
    }

    /// It is logged with the answer to the request.
    fn logs_refusal(&self) -> bool {
        false
    }

    /// Completes `done`, too.
    fn end(&mut self, reason: &EndReason, caller: &mut Caller, context: &Context<'_>) {
        let by_peer = reason.is_by_peer();
        let cut = by_peer && self.cut.is_set();
        if cut {
            caller.note("connection lost: the body was cut off", context);
        }
        let outcome = reason.rejection().map_or_else(
            || {
                self.raw.taken().ok_or_else(|| {
                    let (how, why) = self.raw.unfinished();
                    let why = why.to_owned();
                    Rejection::Malformed { how, why }
                })
            },
            Err,
        );
        self.raw.finish(by_peer && !cut, caller, context);
        if let Some(done) = self.done.take() {
            done.tell(outcome);
        }
    }
}
