//! `GET /api/v1/terms`: the table of figures, by which the page shows a stream.

use std::sync::Arc;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::state::State,
    ledger::{Entry, ListenerEntry, NetworkEntry, Term, Unit},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(terms))
}

/// The figures of a stream and of a listener, in order.
#[derive(Debug, Serialize, ToSchema)]
struct TermsBody {
    /// Figures of every stream.
    ledger: Vec<TermBody>,
    /// Under `network`, of a stream that comes over one.
    network: Vec<TermBody>,
    /// Figures of each listener, under `ingest` of the status.
    listeners: Vec<TermBody>,
}

/// A figure's name and meaning.
#[derive(Debug, Serialize, ToSchema)]
struct TermBody {
    key: &'static str,
    unit: Unit,
    help: &'static str,
}

impl<E> From<&Term<E>> for TermBody {
    fn from(term: &Term<E>) -> Self {
        Self {
            key: term.key,
            unit: term.unit,
            help: term.help,
        }
    }
}

/// The keys of a stream's figures, each with its unit and one line of help.
#[utoipa::path(
    get, path = "/api/v1/terms", tag = "streams",
    responses((status = 200, description = "The table of figures", body = TermsBody))
)]
async fn terms() -> Json<TermsBody> {
    Json(TermsBody {
        ledger: Entry::TERMS.iter().map(TermBody::from).collect(),
        network: NetworkEntry::TERMS.iter().map(TermBody::from).collect(),
        listeners: ListenerEntry::TERMS.iter().map(TermBody::from).collect(),
    })
}
