//! The threads and sockets of one RTP address: thin, around [`Receiver`]s.
//!
//! Each thread has a socket of its own on the same port, and the kernel deals senders out to them by
//! their address, so no two threads share a stream. The next port's reports are read by the first thread
//! and handed to all, as only the owner of the stream knows its source.

mod returning;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Outgoing, Quota, Receiver, Settings, Via,
    socket::{BATCH, Batch, Datagram, Sockets, send},
};
use crate::{
    audio::MixClock,
    ledger::{Listener, SourceKind},
    net::{Admission, RtpEntrance, Tuning, tuning::changed},
    os::{
        during, now_ns,
        poll::{Bell, Events, Poll},
    },
    stream::PlacingThread,
};

/// A thread rests for so long after it read what waited: datagrams that come meanwhile share a wake-up.
/// It is how exactly their times are known.
const REST: Duration = Duration::from_millis(1);

/// It rests for so long after a call to receive failed.
const REFUSED_REST: Duration = Duration::from_millis(20);

/// Batches that are read before the tick is looked after, in any flood.
const BATCHES_MAX: usize = 32;

/// Reports of the next port that may wait for a thread.
const REPORTS_MAX: usize = 256;

/// The settings of an RTP listener.
#[derive(Debug, Clone)]
pub struct RtpSettings {
    /// Where packets come to; reports come to the next port, too. Port 0 lets the kernel choose. A
    /// multicast group is joined.
    pub address: SocketAddr,
    /// The interface on which a group is joined; the kernel chooses if there is none.
    pub interface: Option<String>,
    /// Threads that receive, 1 or more. A group has one, as each socket would get all of it.
    pub threads: usize,
    /// The kernel's buffer for each thread's socket.
    pub receive_buffer_bytes: usize,
    /// How streams are taken.
    pub streams: Settings,
}

/// Sockets that are bound, before any thread reads them. The kernel keeps what comes meanwhile.
#[derive(Debug)]
pub struct RtpSockets {
    settings: RtpSettings,
    sockets: Sockets,
    account: Arc<Listener>,
}

/// A running listener. Dropping it without [`join`](Self::join) leaves its threads running.
#[derive(Debug)]
pub struct RtpListener {
    address: SocketAddr,
    account: Arc<Listener>,
    stop: Vec<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl RtpSockets {
    /// Binds the sockets.
    ///
    /// # Errors
    /// The kernel's reason, if an address cannot be bound.
    pub fn bind(mut settings: RtpSettings) -> io::Result<Self> {
        let address = settings.address;
        let threads = if address.ip().is_multicast() {
            1
        } else {
            settings.threads.max(1)
        };
        let receive_buffer_bytes = settings.receive_buffer_bytes;
        let interface = settings.interface.as_deref();
        let no_listener = format!("cannot listen on rtp {address}");
        let sockets = Sockets::bind(address, interface, threads, receive_buffer_bytes)
            .map_err(during(&no_listener))?;
        let address = sockets.packets[0]
            .local_addr()
            .map_err(during(&no_listener))?;
        let account = Arc::new(Listener::new(SourceKind::Rtp, format!("rtp {address}")));
        // The kernel counts its own share, and says twice what was asked for.
        if sockets.buffer_bytes / 2 < receive_buffer_bytes {
            tracing::warn!(
                listener = account.name(),
                "the kernel grants a receive buffer of {} bytes, not {}: a burst may be lost; raise \
                 net.core.rmem_max",
                sockets.buffer_bytes / 2,
                receive_buffer_bytes
            );
        }
        settings.address = address;
        Ok(Self {
            settings,
            sockets,
            account,
        })
    }

    /// The account of packets that became no stream.
    pub fn account(&self) -> &Arc<Listener> {
        &self.account
    }

    /// Where packets come to, for announced senders.
    pub(crate) fn entrance(&self) -> RtpEntrance {
        let streams = &self.settings.streams;
        RtpEntrance {
            address: self.settings.address,
            returns: streams.returns_max > 0,
            payloads: streams.payloads.clone(),
        }
    }

    /// Starts the threads. Streams are admitted from then on. Without a `tuning` the settings stay as they are.
    ///
    /// # Errors
    /// The kernel's reason, if a thread cannot be started; none is left then.
    pub fn start(
        self,
        clock: MixClock,
        admission: &Arc<dyn Admission>,
        tuning: Option<&watch::Receiver<Tuning>>,
    ) -> io::Result<RtpListener> {
        let Self {
            settings: RtpSettings {
                address, streams, ..
            },
            sockets,
            account,
        } = self;
        let threads = sockets.packets.len();
        let reports = Arc::new(sockets.reports);
        let quota = Quota::new(streams.limits.streams_per_source);
        let (tellers, mut told): (Vec<_>, Vec<_>) = (1..threads)
            .map(|_| mpsc::sync_channel(REPORTS_MAX))
            .unzip();
        let mut tellers = Some(tellers);
        let mut listener = RtpListener {
            address,
            account,
            stop: Vec::new(),
            threads: Vec::new(),
        };
        told.reverse();
        for (index, packets) in sockets.packets.into_iter().enumerate() {
            let receiver = Receiver::new(
                streams.clone(),
                clock,
                Arc::clone(admission),
                Arc::clone(&listener.account),
                quota.clone(),
                rand::random(),
            );
            let returns_max = streams.returns_max;
            let control = match tellers.take() {
                Some(tellers) => Control::Read(tellers),
                None => Control::Told(told.pop()),
            };
            let shard = Shard::new(
                packets,
                Arc::clone(&reports),
                control,
                receiver,
                tuning.cloned(),
                clock,
                admission.placing_thread(),
            );
            let shard = shard.and_then(|shard| shard.returning(&**admission, returns_max));
            let started = shard.and_then(|shard| {
                let stop = shard.stop.clone();
                let thread = thread::Builder::new()
                    .name(format!("rtp-{index}"))
                    .spawn(move || shard.run())
                    .map_err(during("starting a thread"))?;
                Ok((stop, thread))
            });
            match started {
                Ok((stop, thread)) => {
                    listener.stop.push(stop);
                    listener.threads.push(thread);
                }
                Err(error) => {
                    listener.join();
                    return Err(during(format!("cannot listen on rtp {address}"))(error));
                }
            }
        }
        Ok(listener)
    }
}

impl RtpListener {
    /// Where packets come to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The account of packets that became no stream.
    pub fn account(&self) -> &Arc<Listener> {
        &self.account
    }

    /// Asks the threads to end. Enters the kernel, and does not wait.
    pub fn stop(&self) {
        self.stop.iter().for_each(Bell::ring);
    }

    /// Stops the threads and waits for them. All streams have ended then, and every sample that came is
    /// in their accounts.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn join(self) {
        self.stop();
        for thread in self.threads {
            thread.join().expect("an RTP thread panicked");
        }
    }
}

/// A report from the next port.
type Report = (Box<[u8]>, SocketAddr, u64);

/// How a thread has the reports of the next port.
enum Control {
    /// It reads them, and forwards them to the others.
    Read(Vec<mpsc::SyncSender<Report>>),
    /// It gets them from the first thread.
    Told(Option<mpsc::Receiver<Report>>),
}

/// One thread.
struct Shard {
    packets: UdpSocket,
    reports: Arc<UdpSocket>,
    control: Control,
    receiver: Receiver,
    tuning: Option<watch::Receiver<Tuning>>,
    /// Datagrams that the kernel had dropped.
    dropped: u32,
    /// Packets wait that came before the next tick was to be placed, perhaps.
    behind: bool,
    clock: MixClock,
    next_tick: u64,
    placing: PlacingThread,
    stop: Bell,
    poll: Poll,
}

const STOP: u64 = 0;
const PACKETS: u64 = 1;
const REPORTS: u64 = 2;
const RETURNS: u64 = 3;

impl Shard {
    fn new(
        packets: UdpSocket,
        reports: Arc<UdpSocket>,
        control: Control,
        receiver: Receiver,
        tuning: Option<watch::Receiver<Tuning>>,
        clock: MixClock,
        placing: PlacingThread,
    ) -> io::Result<Self> {
        let (poll, stop) = (Poll::new()?, Bell::new()?);
        poll.add(&stop, STOP)?;
        poll.add(&packets, PACKETS)?;
        if let Control::Read(_) = control {
            poll.add(&reports, REPORTS)?;
        }
        Ok(Self {
            packets,
            reports,
            control,
            receiver,
            tuning,
            dropped: 0,
            behind: false,
            clock,
            next_tick: clock.next_tick(now_ns() + clock.lead_ns()),
            placing,
            stop,
            poll,
        })
    }

    fn run(mut self) {
        // Made here, as they hold pointers, which cannot be sent between threads.
        let (mut batch, mut report_batch) = (Batch::new(), Batch::singly());
        let mut outbox = self.outbox();
        let mut events = Events::new();
        while !events.has(STOP) {
            self.poll.wait(self.wake_ns(), &mut events);
            if let Some(outbox) = &mut outbox {
                self.send_returns(outbox, &events);
            }
            let reports = events.has(REPORTS).then_some(&mut report_batch);
            let rest = self.drain(&mut batch, reports);
            self.tick();
            self.placing.has_placed_before(self.next_tick);
            let until_tick = Duration::from_nanos(self.wake_ns().saturating_sub(now_ns()));
            thread::sleep(rest.min(until_tick));
        }
        let Self {
            packets,
            reports,
            receiver,
            ..
        } = self;
        receiver.close(now_ns(), &mut |outgoing| {
            dispatch(&packets, &reports, outgoing);
        });
    }

    /// When the next tick's samples are placed.
    fn wake_ns(&self) -> u64 {
        self.clock.placed_ns(self.next_tick)
    }

    /// Takes what waits in the sockets, in bounds, and serves the ticks between: a packet finds its stream as it was
    /// when the packet came, however late this thread is. Returns how long to rest before more is taken.
    fn drain(&mut self, batch: &mut Batch, report_batch: Option<&mut Batch>) -> Duration {
        let mut any = false;
        let mut refused = false;
        let Self {
            packets,
            reports,
            receiver,
            clock,
            next_tick,
            ..
        } = self;
        self.behind = true;
        let mut last_ns = 0;
        for _ in 0..BATCHES_MAX {
            let taken = batch.receive(packets, |datagrams| {
                receiver.prefetch(datagrams);
                for &Datagram { bytes, from, at_ns } in datagrams {
                    last_ns = at_ns;
                    serve_ticks(next_tick, clock, at_ns, receiver, (packets, reports));
                    receiver.datagram(bytes, from, at_ns);
                }
            });
            let taken = taken.unwrap_or_else(|error| {
                refused = true;
                refuse(receiver.account(), &error);
                0
            });
            any |= taken > 0;
            if taken < BATCH {
                self.behind = false;
                break;
            }
        }
        let now = now_ns();
        let waited_ns = if self.behind {
            now.saturating_sub(last_ns)
        } else {
            0
        };
        receiver.look(waited_ns, now);
        let dropped = batch.dropped().wrapping_sub(self.dropped);
        self.dropped = batch.dropped();
        receiver.account().drop_in_kernel(dropped.into());
        refused |= self.drain_reports(report_batch);
        match (refused, any) {
            (true, _) => REFUSED_REST,
            (false, true) if !self.behind => REST,
            _ => Duration::ZERO,
        }
    }

    /// Takes the reports: those in the socket, if any wait there, or those that another thread read. Whether a call to
    /// receive failed.
    fn drain_reports(&mut self, waiting: Option<&mut Batch>) -> bool {
        match &mut self.control {
            Control::Read(others) => {
                let Some(batch) = waiting else { return false };
                let receiver = &mut self.receiver;
                let taken = batch.receive(&self.reports, |datagrams| {
                    for &Datagram { bytes, from, at_ns } in datagrams {
                        receiver.control(bytes, from, at_ns);
                        for other in &*others {
                            // A thread that does not keep up loses reports, not packets.
                            let _ = other.try_send((bytes.into(), from, at_ns));
                        }
                    }
                });
                if let Err(error) = &taken {
                    refuse(receiver.account(), error);
                }
                taken.is_err()
            }
            Control::Told(told) => {
                for (bytes, from, at) in told.iter().flat_map(mpsc::Receiver::try_iter) {
                    self.receiver.overheard(&bytes, from, at);
                }
                false
            }
        }
    }

    /// Serves the ticks that are near, in order: several, if this thread was held up. While packets wait that came
    /// before, those ticks are left to [`drain`](Self::drain).
    fn tick(&mut self) {
        let now = now_ns();
        if self.behind || self.wake_ns() > now {
            return;
        }
        if let Some(tuning) = changed(&mut self.tuning) {
            self.receiver.retune(tuning);
        }
        let Self {
            packets,
            reports,
            receiver,
            clock,
            next_tick,
            ..
        } = self;
        serve_ticks(next_tick, clock, now, receiver, (packets, reports));
    }
}

/// Serves the ticks that were to be placed until `now_ns`.
fn serve_ticks(
    next_tick: &mut u64,
    clock: &MixClock,
    now_ns: u64,
    receiver: &mut Receiver,
    (packets, reports): (&UdpSocket, &UdpSocket),
) {
    while clock.placed_ns(*next_tick) <= now_ns {
        receiver.before_tick(*next_tick, now_ns, &mut |outgoing| {
            dispatch(packets, reports, outgoing);
        });
        *next_tick += 1;
    }
}

/// Counts a failed call to receive, and logs it ever more rarely.
fn refuse(account: &Listener, error: &io::Error) {
    if account.fail_to_receive() {
        tracing::warn!(
            listener = account.name(),
            "cannot receive: {error}; counted as receive_errors"
        );
    }
}

fn dispatch(packets: &UdpSocket, reports: &UdpSocket, outgoing: Outgoing<'_>) {
    let socket = match outgoing.via {
        Via::Rtp => packets,
        Via::Rtcp => reports,
    };
    send(socket, outgoing.to, outgoing.bytes);
}

#[cfg(test)]
mod tests;
