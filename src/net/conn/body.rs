//! The body of one request: bytes in, a stream input out, and a result for the request.

use super::{
    context::{Context, EndReason},
    handoff::{BodyAsk, Cut, Done, Rejection},
    input::StreamInput,
    raw::Raw,
};

#[derive(Debug)]
pub(super) struct Body {
    pub(super) raw: Raw,
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

    /// Refuses a name that is taken.
    pub(super) fn begin(&mut self, context: &Context<'_>) -> Result<(), EndReason> {
        context.must_be_free(&self.id)
    }

    /// The connection is over: completes `done`, and returns the input that still has to play.
    pub(super) fn end(mut self, reason: &EndReason, context: &Context<'_>) -> Option<StreamInput> {
        let by_peer = matches!(reason, EndReason::HungUp);
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
