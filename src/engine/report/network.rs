//! The network's part of the report: for each listener, for the mix on its way out.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ledger::{Listener, ListenerEntry, SourceKind},
    output::RtpSent,
};

/// A listener's input that became no stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ListenerFigures)]
#[allow(missing_docs, reason = "each name says what it is")]
pub struct ListenerReport {
    /// Its kind and its address: `tcp 127.0.0.1:9000`.
    pub listener: String,
    pub kind: SourceKind,
    #[serde(flatten)]
    pub figures: ListenerEntry,
}

impl From<&Listener> for ListenerReport {
    fn from(listener: &Listener) -> Self {
        Self {
            listener: listener.name().to_owned(),
            kind: listener.kind(),
            figures: listener.read(),
        }
    }
}

/// The outcome of a mix sent by RTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each name says what it is")]
pub struct RtpOutReport {
    pub target: String,
    pub room: String,
    #[serde(flatten)]
    pub sent: RtpSent,
}
