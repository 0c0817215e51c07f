//! The view of its worker thread that a connection acts in.

use std::{fmt, time::Duration};

use super::{ConnSettings, handoff::Rejection};
use crate::{
    audio::{Gain, MixClock},
    ledger::{Listener, Malformed, Refusal, SourceKind},
    net::{Admission, NotAdmitted, StreamRequest},
    output::ReaderId,
    playout::Delay,
    queue::{AcquireError, LeaseId, Pool},
    stream::Stream,
    wire::label::Label,
};

/// State shared by all connections of a listener, at one moment.
pub(super) struct Context<'a> {
    pub(super) settings: &'a ConnSettings,
    pub(super) clock: &'a MixClock,
    pub(super) admission: &'a dyn Admission,
    pub(super) account: &'a Listener,
    /// The reader of the mix-minuses that go back, and their rings, where any do.
    pub(super) feeds: Option<&'a (ReaderId, Pool)>,
    /// Whether its thread takes no new streams.
    pub(super) is_overloaded: bool,
    pub(super) now_ns: u64,
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// The ring in which its mix-minus comes, if it listens.
    pub(super) mix_minus: Option<LeaseId>,
}

#[derive(Debug)]
pub(super) struct OpenRequest<'a> {
    pub(super) id: String,
    /// The label for people.
    pub(super) label: Option<Label>,
    /// What it comes from and, for people, where from; the listener's kind and name if it is not said.
    pub(super) from: Option<(SourceKind, &'a str)>,
    pub(super) gain: Option<Gain>,
    /// `main` if none is given.
    pub(super) room: Option<String>,
    pub(super) muted: bool,
    /// Whether the mix without it is to come back.
    pub(super) listens: bool,
}

/// Why a connection is over. Audio received before still plays, unless the stream was ended by command.
#[derive(Debug)]
pub(super) enum EndReason {
    /// The peer said so.
    HungUp,
    /// It was refused, and counted.
    Refused(Rejection),
    /// Its stream was ended by command; samples that wait are discarded.
    EndedByCommand,
    /// Malformed input, counted. The text is for the peer, if it may be a person.
    Malformed(Malformed, String),
}

impl EndReason {
    /// Whether the peer ended the connection.
    pub(super) fn is_by_peer(&self) -> bool {
        matches!(self, Self::HungUp)
    }

    /// Why, for the peer; none if that is the peer's own doing.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::HungUp => None,
            Self::EndedByCommand => Some(Rejection::EndedByCommand),
            Self::Refused(why) => Some(why.clone()),
            Self::Malformed(how, why) => Some(Rejection::Malformed {
                how: *how,
                why: why.clone(),
            }),
        }
    }
}

impl Context<'_> {
    /// Admits a stream, or counts why not.
    pub(super) fn open(&self, request: OpenRequest<'_>) -> Result<Opened, EndReason> {
        if self.is_overloaded {
            return Err(self.refuse(Refusal::Overloaded, Rejection::Overloaded));
        }
        let OpenRequest {
            id,
            label,
            from,
            gain,
            room,
            muted,
            listens,
        } = request;
        let mix_minus = match (listens, self.feeds) {
            (true, Some((reader, pool))) => {
                // Made for twice the connections that there may be at the start: only a limit that was
                // raised since leads beyond.
                let max = pool.slots() / 2;
                let producer = pool.acquire().map_err(|_| {
                    self.refuse(Refusal::Connections, Rejection::Connections { max })
                })?;
                Some((*reader, producer, pool.clone()))
            }
            _ => None,
        };
        let lease = mix_minus.as_ref().map(|(_, producer, _)| producer.lease());
        let (kind, from) = from.unwrap_or((self.account.kind(), self.account.name()));
        let request = StreamRequest {
            source: crc32fast::hash(id.as_bytes()),
            label,
            id,
            kind,
            from: from.to_owned(),
            gain: gain.or(self.settings.gain),
            room,
            muted,
            mix_minus,
        };
        match self.admission.admit(request) {
            Ok(stream) => Ok(Opened {
                stream,
                mix_minus: lease,
            }),
            Err(refused) => {
                let refusal = refused.source.refusal();
                let rejection = match refused.source {
                    NotAdmitted::Lease(AcquireError::Exhausted { slots }) => {
                        Rejection::StreamsMax { slots }
                    }
                    NotAdmitted::Lease(AcquireError::ConsumerGone) => Rejection::Stopping,
                    // Names are checked where they are read.
                    NotAdmitted::RoomName { room } | NotAdmitted::UnknownRoom { room } => {
                        Rejection::UnknownRoom { room }
                    }
                    NotAdmitted::RoomsMax { max } => Rejection::RoomsMax { max },
                    NotAdmitted::Busy(busy) => Rejection::Failed {
                        what: "admitting the stream",
                        why: busy.to_string(),
                    },
                };
                Err(self.refuse(refusal, rejection))
            }
        }
    }

    fn refuse(&self, why: Refusal, rejection: Rejection) -> EndReason {
        self.account.refuse(why);
        EndReason::Refused(rejection)
    }

    /// Refuses a name that a running stream has.
    pub(super) fn must_be_free(&self, id: &str) -> Result<(), EndReason> {
        if !self.admission.is_running(id) {
            return Ok(());
        }
        let id = id.to_owned();
        Err(self.refuse(Refusal::InUse, Rejection::InUse { id }))
    }

    /// Counts malformed input that ends its connection, which is logged.
    pub(super) fn unfit(&self, how: Malformed, why: impl fmt::Display) -> EndReason {
        self.account.malformed(how);
        EndReason::Malformed(how, why.to_string())
    }

    /// Counts malformed input, and logs it ever more rarely.
    pub(super) fn malformed(&self, how: Malformed, why: &dyn fmt::Display) {
        if self.account.malformed(how) {
            tracing::warn!(listener = self.account.name(), "malformed input: {why}");
        }
    }

    /// Notes an event in a stream's account, for people, and logs it if `logged`.
    pub(super) fn note(&self, stream: &Stream, what: &str, logged: bool) {
        if logged {
            tracing::info!(stream = stream.id(), "{what}");
        }
        if let Some(network) = stream.account().network() {
            network.note(self.now_ns, what);
        }
    }

    /// How long the first samples of a sender wait that may be faster than the clock.
    pub(super) fn paced_delay(&self) -> Duration {
        match self.settings.playout.delay {
            Delay::Fixed(delay) => delay,
            Delay::Adaptive { floor, .. } => floor,
        }
    }
}
