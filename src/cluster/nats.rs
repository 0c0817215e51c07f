//! The connection to NATS: subjects for parts, and the store (`JetStream`'s key-value buckets) for nodes, rooms and streams.
//!
//! A connection that is lost is given up with all that waits in it, so no stale part is sent after it: the next one begins
//! from the start.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, Subscriber,
    jetstream::{
        self,
        kv::{self, CreateErrorKind, Store, Watch},
        stream::StorageType,
    },
};
use bytes::Bytes;
use tokio::sync::watch;

use super::{ClusterRoom, Standing, directory::store_key, presence};

/// Messages that may wait to be read: of 15 nodes for seconds.
const WAITING_MAX: usize = 4096;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A server that answers no ping of these is lost.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a room lives in the store that no node renews.
const ROOM_LIVES: Duration = Duration::from_secs(10);

/// The same of a node's streams.
const STREAMS_LIVE: Duration = Duration::from_secs(5);

/// Where NATS is, and what for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The URLs of servers.
    pub servers: Vec<String>,
    /// The name of the cluster, a token of subjects.
    pub cluster: String,
    /// The name of this node, another one.
    pub node: String,
    /// The file of credentials.
    pub creds: Option<PathBuf>,
    /// The file of certificates that servers have to be signed by.
    pub ca: Option<PathBuf>,
    /// The files of this node's certificate and of its private key, for servers that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A connection with all that a node needs of it.
pub(super) struct Session {
    client: Client,
    /// The subject of this node's parts.
    subject: String,
    /// Parts of all nodes.
    pub(super) parts: Subscriber,
    nodes: Store,
    pub(super) nodes_watch: Watch,
    rooms: Store,
    pub(super) rooms_watch: Watch,
    streams: Store,
    pub(super) streams_watch: Watch,
    /// True once the connection is lost.
    pub(super) lost: watch::Receiver<bool>,
}

impl Target {
    fn options(&self, lost: Arc<watch::Sender<bool>>) -> Result<ConnectOptions, String> {
        let mut options = ConnectOptions::new()
            .name(format!("mixpool {}", self.node))
            .no_echo()
            .subscription_capacity(WAITING_MAX)
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(CONNECT_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .event_callback(move |event| {
                let lost = Arc::clone(&lost);
                async move {
                    match event {
                        Event::Disconnected | Event::Closed | Event::LameDuckMode => {
                            lost.send_replace(true);
                        }
                        Event::SlowConsumer(_) => {
                            tracing::warn!(
                                "the cluster's thread reads too slowly: NATS has dropped parts"
                            );
                        }
                        _ => {}
                    }
                }
            });
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(file) = &self.creds {
            let refused = |error| format!("--cluster-creds {}: {error}", file.display());
            let text = fs::read_to_string(file).map_err(refused)?;
            options = with_credentials(options, &text).map_err(refused)?;
        }
        Ok(options)
    }

    /// Connects, and begins to read. Takes some seconds at most.
    pub(super) async fn connect(&self) -> Result<Session, String> {
        let (is_lost, lost) = watch::channel(false);
        let options = self.options(Arc::new(is_lost))?;
        let servers = self.servers.as_slice();
        let client = options
            .connect(servers)
            .await
            .map_err(|error| format!("cannot connect to {}: {error}", servers.join(", ")))?;
        let subject = |kind: &str, node: &str| format!("mixpool.{}.{kind}.{node}", self.cluster);
        let parts = client.subscribe(subject("parts", "*")).await;
        let parts = parts.map_err(|error| format!("cannot subscribe to parts: {error}"))?;
        let context = jetstream::new(client.clone());
        let bucket = |kind: &str, lives: Duration| {
            let context = context.clone();
            let bucket = format!("mixpool-{}-{kind}", self.cluster);
            async move { open_bucket(&context, bucket, lives).await }
        };
        let (nodes, nodes_watch) = bucket("nodes", presence::LIVES).await?;
        let (rooms, rooms_watch) = bucket("rooms", ROOM_LIVES).await?;
        let (streams, streams_watch) = bucket("streams", STREAMS_LIVE).await?;
        Ok(Session {
            subject: subject("parts", &self.node),
            client,
            parts,
            nodes,
            nodes_watch,
            rooms,
            rooms_watch,
            streams,
            streams_watch,
            lost,
        })
    }
}

/// A file of NATS itself (a token and a key), or one line: `USER:PASSWORD`.
fn with_credentials(options: ConnectOptions, text: &str) -> io::Result<ConnectOptions> {
    match text.trim().split_once(':') {
        Some((user, password)) if !text.contains("-----BEGIN") => {
            Ok(options.user_and_password(user.to_owned(), password.to_owned()))
        }
        _ => options.credentials(text),
    }
}

async fn open_bucket(
    context: &jetstream::Context,
    bucket: String,
    max_age: Duration,
) -> Result<(Store, Watch), String> {
    let config = kv::Config {
        bucket: bucket.clone(),
        history: 1,
        max_age,
        storage: StorageType::Memory,
        ..kv::Config::default()
    };
    let store = match context.create_key_value(config).await {
        Ok(store) => store,
        // Another node, or another release, has made it.
        Err(error) => context.get_key_value(&bucket).await.map_err(|_| {
            format!("the bucket {bucket} cannot be made ({error}): start nats-server with JetStream (-js)")
        })?,
    };
    let watch = store.watch_with_history(">").await;
    let watch = watch.map_err(|error| format!("cannot watch the bucket {bucket}: {error}"))?;
    Ok((store, watch))
}

impl Session {
    /// The name of the server.
    pub(super) fn server(&self) -> String {
        let info = self.client.server_info();
        // One without a name of its own is called by its id, which says nothing.
        let name = if info.server_name == info.server_id {
            String::new()
        } else {
            format!("{} at ", info.server_name)
        };
        format!(
            "{name}{}:{}, version {}",
            info.host, info.port, info.version
        )
    }

    /// The longest message that the server takes.
    pub(super) fn payload_bytes_max(&self) -> usize {
        self.client.max_payload()
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Sends a message of parts, unless the connection has too many waiting. Returns whether it does.
    pub(super) async fn send(&self, message: &[u8]) -> bool {
        let sent = self
            .client
            .publish(self.subject.clone(), Bytes::copy_from_slice(message));
        let sent = tokio::time::timeout(Duration::from_millis(1), sent).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Renews this node's presence; the answer is not waited for.
    pub(super) fn renew(&self, node: &str, presence: Vec<u8>) {
        put(self.nodes.clone(), node.to_owned(), presence);
    }

    /// Shows the streams of this node, in the same way.
    pub(super) fn show_streams(&self, node: &str, streams: Vec<u8>) {
        put(self.streams.clone(), node.to_owned(), streams);
    }

    /// Takes this node's presence away.
    pub(super) async fn leave(&self, node: &str) {
        for store in [&self.nodes, &self.streams] {
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, store.delete(node)).await;
        }
    }

    /// Has the store say whether a room has these settings on all nodes. It becomes a room of the cluster if it is none.
    pub(super) fn agree(&self, room: Arc<ClusterRoom>) {
        let store = self.rooms.clone();
        tokio::spawn(async move {
            if let Some(standing) = agree(&store, &room).await {
                room.stand(standing);
            }
        });
    }

    /// Renews a room that the nodes agree on.
    pub(super) fn renew_room(&self, room: &ClusterRoom) {
        put(
            self.rooms.clone(),
            store_key(&room.name),
            room.settings.clone().into_bytes(),
        );
    }
}

fn put(store: Store, key: String, value: Vec<u8>) {
    tokio::spawn(async move {
        // The next renewal makes up for a failure; the event callback notices a lost connection.
        let _ = store.put(key, value.into()).await;
    });
}

/// None if the store does not answer.
async fn agree(store: &Store, room: &ClusterRoom) -> Option<Standing> {
    let key = store_key(&room.name);
    // Its last entry may expire between the two.
    for _ in 0..3 {
        match store.create(&key, room.settings.clone().into()).await {
            Ok(_) => return Some(Standing::Agreed),
            Err(error) if error.kind() != CreateErrorKind::AlreadyExists => return None,
            Err(_) => {}
        }
        if let Some(theirs) = store.get(&key).await.ok()? {
            let theirs = String::from_utf8_lossy(&theirs).into_owned();
            return Some(if theirs == room.settings {
                Standing::Agreed
            } else {
                Standing::Differs { theirs }
            });
        }
    }
    None
}
