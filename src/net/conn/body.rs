//! The body of one request: bytes in, a stream input out, and a result for the request.

use super::{
    caller::Caller,
    context::{Context, EndReason},
    handoff::{BodyAsk, Cut, Done, Rejection},
    input::StreamInput,
    protocol::Protocol,
    raw::Raw,
};

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
        Self {
            raw: Raw::of(ask.id.clone(), ask.label, from, ask.gain, ask.content),
            id: ask.id,
            cut: ask.cut,
            done: Some(ask.done),
        }
    }
}

impl Protocol for Body {
    fn caller(&self) -> &Caller {
        self.raw.caller()
    }

    fn caller_mut(&mut self) -> &mut Caller {
        self.raw.caller_mut()
    }

    /// Refuses a name that is taken.
    fn begin(&mut self, context: &Context<'_>) -> Result<(), EndReason> {
        context.must_be_free(&self.id)
    }

    fn read_budget(&self) -> usize {
        self.raw.read_budget()
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        context: &Context<'_>,
        _reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Option<Box<dyn StreamInput>>, EndReason> {
        self.raw.receive(bytes, context)
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
    fn end(
        mut self: Box<Self>,
        reason: &EndReason,
        context: &Context<'_>,
    ) -> Option<Box<dyn StreamInput>> {
        let by_peer = reason.is_by_peer();
        let cut = by_peer && self.cut.is_set();
        if cut {
            self.raw
                .caller
                .note("connection lost: the body was cut off", context);
        }
        let (how, why) = self.raw.unfinished();
        let taken = self.raw.taken();
        let done = self.done.take();
        let input = self.raw.end(context, by_peer && !cut);
        if let Some(done) = done {
            done.tell(match (reason.rejection(), taken) {
                (Some(why), _) => Err(why),
                (None, Some(taken)) => Ok(taken),
                (None, None) => Err(Rejection::Malformed {
                    how,
                    why: why.to_owned(),
                }),
            });
        }
        input
    }
}
