//! All listeners: their places, the outputs they share, and the news that there is more to send.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use serde::Serialize;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
};
use tokio_stream::{Stream as _, wrappers::WatchStream};
use utoipa::ToSchema;

use super::{
    NoRoom,
    outlet::{Outlet, Output, Protocol},
};
use crate::{
    audio::{Format, meter::Measured},
    engine::Handle,
    mixer::{Feed, FeedId, ReaderId},
    os::during,
    output::live::{Cursor, Delivery, Live, OutputId},
};

/// All listeners of a server.
#[derive(Debug)]
pub(in crate::control) struct Listeners {
    handle: Handle,
    reader: ReaderId,
    max: usize,
    /// Readable when there is something to hear.
    news: OwnedFd,
    /// Locked by the control thread alone, so it never waits.
    shared: Mutex<Shared>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Shared {
    live: Live,
    outlets: HashMap<OutputId, Outlet>,
    places: BTreeMap<u64, Arc<Place>>,
    /// Number of the next listener.
    next: u64,
    /// Feeds to be closed, for which the mixer had no room for a command.
    unwanted: Vec<FeedId>,
}

/// One listener's figures.
#[derive(Debug)]
struct Place {
    output: OutputId,
    heard: Output,
    protocol: Protocol,
    peer: SocketAddr,
    since: Instant,
    /// Samples per channel, and the next one's index in the mix; only the control thread writes.
    sent_samples: AtomicU64,
    skipped_samples: AtomicU64,
    at: AtomicU64,
}

/// One listener.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct ListenerBody {
    /// Counts from 1 on.
    id: u64,
    /// `mix`, `alone` or `mix_minus`.
    output: &'static str,
    /// The room that is heard; of a stream, the one that it is in.
    room: String,
    /// The stream that is heard alone, or that the mix is without.
    stream: Option<String>,
    protocol: Protocol,
    /// Address and port.
    peer: String,
    /// For how long it has been listening.
    age_s: f64,
    /// Samples per channel that were handed to its connection.
    sent_samples: u64,
    /// Samples per channel that it was too slow for.
    skipped_samples: u64,
    /// Time between the newest sample and the last that was handed to its connection.
    behind_ms: f64,
}

/// All of them together.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(in crate::control) struct ListenersTotals {
    pub(in crate::control) listeners: usize,
    /// Outputs that are heard, beside the mix of `main`.
    pub(in crate::control) monitored_outputs: usize,
    /// Samples per channel that listeners were too slow for, with those that left.
    pub(in crate::control) skipped_samples: u64,
    /// Samples per channel that came too late for all: silence was sent in their place.
    pub(in crate::control) lost_samples: u64,
}

impl Listeners {
    /// Has the mix sent here from now on.
    ///
    /// # Errors
    /// If its rings cannot be made, or the mixer has no room for the command.
    pub(in crate::control) fn new(handle: &Handle, max: usize) -> io::Result<Arc<Self>> {
        let mixing = handle.mixing();
        let (live, ring) = Live::new(mixing.format, mixing.block_samples, mixing.rooms_max)
            .map_err(io::Error::other)?;
        let reader = handle
            .open_reader(ring)
            .map_err(io::Error::other)
            .map_err(during("the way of the mix to its listeners"))?;
        let main = handle.main_room();
        let mix = Outlet::new(Output::Room(main), None, &live);
        Ok(Arc::new(Self {
            handle: handle.clone(),
            reader,
            max,
            news: live.as_fd().try_clone_to_owned().map_err(during("dup"))?,
            shared: Mutex::new(Shared {
                live,
                outlets: HashMap::from([(OutputId::MIX, mix)]),
                places: BTreeMap::new(),
                next: 1,
                unwanted: Vec::new(),
            }),
            count: watch::Sender::new(0),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes blocks from the mixer and wakes the waiting listeners, for as long as it is polled. Calls `each_tick` after
    /// each, or after some if it is late.
    pub(in crate::control) async fn run(self: Arc<Self>, each_tick: impl Fn()) {
        #[expect(
            deprecated,
            reason = "no other constructor is safe: the others have the caller promise that the descriptor stays what it is, as that of an OwnedFd does"
        )]
        let news = self
            .news
            .try_clone()
            .and_then(|news| AsyncFd::with_interest(news, Interest::READABLE));
        let news = match news {
            Ok(news) => news,
            Err(error) => {
                tracing::error!("cannot wait for what listeners hear: {error}");
                return;
            }
        };
        while let Ok(mut guard) = news.readable().await {
            self.drain();
            each_tick();
            guard.clear_ready();
        }
    }

    fn drain(&self) {
        let mut shared = self.lock();
        let Shared {
            live,
            outlets,
            unwanted,
            ..
        } = &mut *shared;
        live.drain();
        for (id, outlet) in outlets {
            if outlet.output.is_closed_room()
                && let Some(feed) = outlet.feed.take()
            {
                live.end(*id);
                unwanted.push(feed);
            }
            if let Some(figures) = live.figures(*id)
                && (figures.end > outlet.rung_at || figures.ended)
            {
                outlet.ring(figures.end, figures.ended);
            }
        }
        unwanted.retain(|feed| self.handle.close_feed(*feed).is_err());
    }

    /// Adds a listener. The first of an output has the mixer open it.
    pub(super) fn join(
        self: &Arc<Self>,
        output: Output,
        protocol: Protocol,
        peer: SocketAddr,
    ) -> Result<Listener, NoRoom> {
        let mut shared = self.lock();
        let shared = &mut *shared;
        if shared.places.len() >= self.max {
            return Err(NoRoom::Listeners { max: self.max });
        }
        let mut heard = shared.outlets.iter();
        let heard = heard.find(|(_, outlet)| outlet.output.is(&output));
        let id = match heard {
            Some((id, _)) => *id,
            None => self.open(shared, &output)?,
        };
        let Shared {
            live,
            outlets,
            places,
            next,
            ..
        } = shared;
        let outlet = outlets.get_mut(&id).expect("an output that is heard");
        outlet.listeners += 1;
        let number = *next;
        *next += 1;
        let grid = live.grid(protocol.chunk(), number);
        let (_, bell) = &outlet.bells[protocol as usize][grid.phase()];
        let bell = WatchStream::from_changes(bell.subscribe());
        let place = Arc::new(Place {
            output: id,
            heard: output,
            protocol,
            peer,
            since: Instant::now(),
            sent_samples: AtomicU64::new(0),
            skipped_samples: AtomicU64::new(0),
            at: AtomicU64::new(live.figures(id).map_or(0, |figures| figures.end)),
        });
        places.insert(number, Arc::clone(&place));
        self.count.send_replace(places.len());
        Ok(Listener {
            all: Arc::clone(self),
            number,
            cursor: Cursor::new(grid),
            place,
            bell,
        })
    }

    fn open(&self, shared: &mut Shared, output: &Output) -> Result<OutputId, NoRoom> {
        let (live, reader, mixing) = (&mut shared.live, self.reader, self.handle.mixing());
        let (id, feed) = match output {
            Output::Room(room) => (live.open_room(room.id())?, Feed::room(room.id(), reader)),
            Output::Alone(stream) => {
                let (id, producer, pool) = live.open()?;
                let ring = (producer, &pool);
                (id, Feed::alone(stream.lease(), reader, ring, mixing))
            }
            Output::MixMinus(stream) => {
                let (id, producer, pool) = live.open()?;
                let ring = (producer, &pool);
                (id, Feed::mix_minus(stream.lease(), reader, ring, mixing))
            }
        };
        let outlet = Outlet::new(output.clone(), Some(feed.id()), &shared.live);
        if self.handle.open_feed(feed).is_err() {
            shared.live.close(id);
            return Err(NoRoom::Busy);
        }
        shared.outlets.insert(id, outlet);
        Ok(id)
    }

    /// The last one of an output has the mixer give it no more.
    fn leave(&self, number: u64, id: OutputId) {
        let mut shared = self.lock();
        let shared = &mut *shared;
        shared.places.remove(&number);
        self.count.send_replace(shared.places.len());
        let Some(outlet) = shared.outlets.get_mut(&id) else {
            return;
        };
        outlet.listeners -= 1;
        if outlet.listeners == 0 && id != OutputId::MIX {
            if let Some(feed) = outlet.feed
                && self.handle.close_feed(feed).is_err()
            {
                shared.unwanted.push(feed);
            }
            shared.live.close(id);
            shared.outlets.remove(&id);
        }
    }

    /// Returns once there are no listeners any more.
    pub(in crate::control) async fn gone(&self) {
        // The sender is here: it cannot be closed.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The mix's levels since the last call.
    pub(in crate::control) fn measure(&self) -> Measured {
        self.lock().live.measure()
    }

    /// The mix's rate and channels.
    pub(super) fn format(&self) -> Format {
        self.handle.settings().format
    }

    /// Samples per channel of a block.
    pub(super) fn block_samples(&self) -> usize {
        self.handle.block_samples()
    }

    /// The present listeners, in the order in which they came.
    pub(in crate::control) fn list(&self) -> Vec<ListenerBody> {
        let shared = self.lock();
        let samples_per_ms = f64::from(self.format().rate_hz()) / 1_000.0;
        let body = |(&id, place): (&u64, &Arc<Place>)| {
            let end = shared
                .live
                .figures(place.output)
                .map_or(0, |figures| figures.end);
            let behind = end.saturating_sub(place.at.load(Ordering::Relaxed));
            ListenerBody {
                id,
                output: place.heard.name(),
                room: place.heard.room().name().to_owned(),
                stream: place.heard.stream().map(|stream| stream.id().to_owned()),
                protocol: place.protocol,
                peer: place.peer.to_string(),
                age_s: place.since.elapsed().as_secs_f64(),
                sent_samples: place.sent_samples.load(Ordering::Relaxed),
                skipped_samples: place.skipped_samples.load(Ordering::Relaxed),
                behind_ms: behind as f64 / samples_per_ms,
            }
        };
        shared.places.iter().map(body).collect()
    }

    /// Their totals.
    pub(in crate::control) fn totals(&self) -> ListenersTotals {
        let shared = self.lock();
        ListenersTotals {
            listeners: shared.places.len(),
            monitored_outputs: shared.outlets.len() - 1,
            skipped_samples: shared.live.skipped_samples(),
            lost_samples: shared.live.lost_samples(),
        }
    }
}

/// A place from which an output is heard; dropping it leaves.
#[derive(Debug)]
pub(super) struct Listener {
    all: Arc<Listeners>,
    number: u64,
    cursor: Cursor,
    place: Arc<Place>,
    bell: WatchStream<()>,
}

impl Listener {
    /// The mix's rate and channels.
    pub(super) fn format(&self) -> Format {
        self.all.format()
    }

    /// Samples per channel of a block.
    pub(super) fn block_samples(&self) -> usize {
        self.all.block_samples()
    }

    /// Whether it heard a room that was closed.
    pub(super) fn is_of_closed_room(&self) -> bool {
        self.place.heard.is_closed_room()
    }

    /// A chunk, or that some were skipped; none at the end.
    pub(super) fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        loop {
            let heard = self
                .all
                .lock()
                .live
                .read(self.place.output, &mut self.cursor);
            match heard {
                Delivery::Ended => return Poll::Ready(None),
                Delivery::Nothing => {
                    if ready!(Pin::new(&mut self.bell).poll_next(cx)).is_none() {
                        return Poll::Ready(None);
                    }
                }
                heard => {
                    let Place {
                        sent_samples,
                        skipped_samples,
                        at,
                        ..
                    } = &*self.place;
                    sent_samples.store(self.cursor.sent_samples(), Ordering::Relaxed);
                    skipped_samples.store(self.cursor.skipped_samples(), Ordering::Relaxed);
                    at.store(self.cursor.at().unwrap_or(0), Ordering::Relaxed);
                    return Poll::Ready(Some(heard));
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.all.leave(self.number, self.place.output);
    }
}
