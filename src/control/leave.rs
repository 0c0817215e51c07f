//! Ends an answer that has no end of its own: it ends with the token, or the session, of its
//! request.

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Body as _, Frame};
use tokio::time::timeout;

use super::{state::State, tokens::Access};

/// Sessions run out, too: they are looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Leave for what the request asked for.
#[derive(Clone)]
pub(super) struct Leave {
    state: Arc<State>,
    /// Headers with a token or a session.
    headers: HeaderMap,
    needed: Access,
}

impl Leave {
    /// Leave of a request that was let in; none where no token is needed.
    pub(super) fn new(state: &Arc<State>, headers: &HeaderMap, needed: Access) -> Option<Self> {
        state.auth.is_on().then(|| {
            let names = [header::AUTHORIZATION, header::COOKIE];
            let kept = headers.iter().filter(|(name, _)| names.contains(name));
            Self {
                state: Arc::clone(state),
                headers: kept
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
                needed,
            }
        })
    }

    /// Waits until it holds no more. Where none was needed, for ever.
    pub(super) async fn ended(leave: Option<Self>) {
        let Some(Self {
            state,
            headers,
            needed,
        }) = leave
        else {
            return pending().await;
        };
        let Some(mut changes) = state.auth.changes() else {
            return pending().await;
        };
        loop {
            // Changes from here on are looked at again.
            changes.borrow_and_update();
            if state.auth.access(&headers, Instant::now()) < needed {
                return;
            }
            // The sender is in the state, which is here.
            let _ = timeout(LOOK_AGAIN, changes.changed()).await;
        }
    }

    /// The answer, which ends no later than the leave. One of known length ends by itself.
    pub(super) fn bound(leave: Option<Self>, response: Response) -> Response {
        if leave.is_none() || response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            Body::new(Bound {
                body,
                ended: Box::pin(Self::ended(leave)),
            })
        })
    }
}

/// A body that ends early if the leave for it does.
struct Bound {
    body: Body,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl hyper::body::Body for Bound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            self.body = Body::empty();
            self.ended = Box::pin(pending());
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
