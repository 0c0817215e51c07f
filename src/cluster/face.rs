//! The thread of the cluster as other threads see it: a view that it makes anew ten times a second, and its news.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;

use tokio::sync::watch;

use super::{Directory, Event, Membership, Off, Presence, Report, Totals};

/// News that is kept, the latest.
const NEWS_MAX: usize = 1024;

/// The connection to NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not yet, or not any more; why, if an attempt has failed.
    Away(Option<String>),
    /// To this server.
    Connected(String),
}

/// The cluster as this node sees it.
#[derive(Debug, Clone)]
pub struct View {
    /// The cluster, and the node in it.
    pub membership: Membership,
    /// The connection to NATS.
    pub link: Link,
    /// Whether the host of this node keeps its clock right.
    pub is_synchronised: bool,
    /// Nodes that are not joined, as this clock or theirs is not synchronised, by their names.
    pub unsynchronised: Vec<String>,
    /// Messages of such nodes, none of which was taken.
    pub unsynchronised_messages: u64,
    /// Messages that were not sent, as NATS was away.
    pub unsent_messages: u64,
    /// The parts of all nodes and rooms; none before the first look.
    pub report: Option<Report>,
    /// The nodes that are present, this one among them.
    pub nodes: Vec<Presence>,
    /// The streams of each node as JSON, by its name.
    pub streams: Vec<(String, Bytes)>,
}

impl View {
    /// The sum of the ledgers of the nodes that are present.
    pub fn ledger(&self) -> Totals {
        let ledgers = self.nodes.iter().map(|presence| presence.ledger);
        ledgers.fold(Totals::default(), Totals::plus)
    }
}

/// One piece of news, with its number from 1 on.
#[derive(Debug, Clone)]
pub struct News {
    /// In order.
    pub number: u64,
    /// When it was noticed.
    pub at: SystemTime,
    /// The event.
    pub event: Event,
}

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, by_ns) = match *self {
            Self::Stepped { by_ns } => ("its clock was set by", by_ns),
            Self::Peers { ahead_ns } => ("its blocks are ahead of those of its peers by", ahead_ns),
            Self::Utc { ahead_ns } => ("its clock is ahead of those of its peers by", ahead_ns),
        };
        write!(f, "{what} {:.1} ms", by_ns as f64 / 1e6)
    }
}

/// The thread as others see it. Clones share it.
#[derive(Debug, Clone)]
pub struct Face(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    membership: Membership,
    directory: Directory,
    latest: watch::Sender<u64>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    view: View,
    news: VecDeque<News>,
    count: u64,
}

impl Face {
    /// Before the thread has begun.
    pub(crate) fn new(membership: Membership) -> Self {
        let directory = Directory::new(membership.rooms_max);
        let view = View {
            membership: membership.clone(),
            link: Link::Away(None),
            is_synchronised: false,
            unsynchronised: Vec::new(),
            unsynchronised_messages: 0,
            unsent_messages: 0,
            report: None,
            nodes: Vec::new(),
            streams: Vec::new(),
        };
        Self(Arc::new(Shared {
            membership,
            directory,
            latest: watch::Sender::new(0),
            inner: Mutex::new(Inner {
                view,
                news: VecDeque::new(),
                count: 0,
            }),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster, and the node in it.
    pub fn membership(&self) -> &Membership {
        &self.0.membership
    }

    /// The rooms of the cluster that are open here.
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// The view of at most 0.1 s ago. Takes a mutex, and allocates.
    pub fn view(&self) -> View {
        self.lock().view.clone()
    }

    /// To wait for news: the number of the latest.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.latest.subscribe()
    }

    /// The news after this one, the latest 1024. Takes a mutex, and allocates.
    pub fn news(&self, seen: u64) -> Vec<News> {
        let inner = self.lock();
        let first = inner.news.partition_point(|news| news.number <= seen);
        inner.news.range(first..).cloned().collect()
    }

    pub(super) fn show(&self, view: View) {
        self.lock().view = view;
    }

    pub(super) fn note(&self, event: Event) {
        let mut inner = self.lock();
        inner.count += 1;
        let number = inner.count;
        if inner.news.len() >= NEWS_MAX {
            inner.news.pop_front();
        }
        inner.news.push_back(News {
            number,
            at: SystemTime::now(),
            event,
        });
        drop(inner);
        self.0.latest.send_replace(number);
    }
}
