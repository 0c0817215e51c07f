//! More streams than the thread holds: some of them are shed, so that the rest is whole.

use super::Worker;
use crate::net::overload::{Load, Remedy};

impl Worker {
    /// At `now_ns` the thread has served all that was ready, the first of it for so long. Sheds streams if they are more than it
    /// holds, and takes them back. A sender that is made to wait is not shed: it costs no time while it waits.
    pub(super) fn look(&mut self, waited_ns: u64, now_ns: u64) {
        let peers = &self.peers;
        let load = || {
            let playing = peers.values().filter(|peer| peer.caller.stream().is_some());
            let shed = playing.clone().filter(|peer| peer.caller.is_shed()).count();
            let whole = playing.count() - shed;
            Load { whole, shed }
        };
        let remedy = self.overload.look(waited_ns, now_ns, load);
        self.common.is_overloaded = self.overload.is_overloaded();
        match remedy {
            None => {}
            Some(Remedy::Shed(count)) => {
                let count = self.shed(true, count, now_ns);
                tracing::warn!(
                    "overloaded: more comes over connections than their thread can take; the {count} youngest of its \
                     streams are shed until there is time; send fewer streams here"
                );
            }
            Some(Remedy::TakeBack(count)) => {
                let count = self.shed(false, count, now_ns);
                tracing::info!("{count} of the streams that were shed play again");
            }
        }
    }

    /// Sheds so many of the youngest streams, or has so many of the oldest that were shed play again. Returns how many.
    fn shed(&mut self, shed: bool, count: usize, now_ns: u64) -> usize {
        let peers = self.peers.values();
        let of_it = peers.filter(|peer| peer.caller.is_shed() != shed);
        let mut keys: Vec<_> = of_it.map(|peer| peer.key).collect();
        keys.sort_unstable();
        if shed {
            keys.reverse();
        }
        let mut changed = 0;
        for key in keys {
            if changed == count {
                break;
            }
            if let Some(peer) = self.peers.get_mut(&key) {
                let context = self.common.context(&peer.account, now_ns);
                changed += usize::from(peer.caller.shed(shed, &context));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream, sync::Arc};

    use super::*;
    use crate::{
        ledger::{Listener, SourceKind, StreamState},
        net::conn::{
            Listen,
            socket::ListenSocket,
            tests::{CLOCK_NS, Rig, le_bytes},
        },
    };

    const MS: u64 = 1_000_000;

    #[test]
    fn the_youngest_connection_is_shed_and_plays_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mix.sock");
        let rig = Arc::new(Rig::new(1 << 16, 1));
        let account = Arc::new(Listener::new(SourceKind::Unix, "unix"));
        let listen = Listen::Unix {
            path: path.clone(),
            drop: true,
            room: None,
        };
        let acceptor = (
            listen,
            ListenSocket::unix(&path).unwrap(),
            Arc::clone(&account),
        );
        let (settings, clock) = (rig.settings.clone(), rig.clock);
        let mut worker = Worker::new(
            settings,
            clock,
            Arc::clone(&rig) as _,
            None,
            vec![acceptor],
            None,
        )
        .unwrap();
        let mut peers = [0; 2].map(|_| UnixStream::connect(&path).unwrap());
        worker.accept(0);
        let mut keys: Vec<_> = worker.peers.keys().copied().collect();
        keys.sort_unstable();
        let mut send = |worker: &mut Worker| {
            for (peer, &key) in peers.iter_mut().zip(&keys) {
                peer.write_all(&le_bytes(&[1_000; 160])).unwrap();
                worker.read(key);
            }
        };
        send(&mut worker);
        let states = |rig: &Rig| rig.accounts().map(|account| account.state());
        let mut now_ns = CLOCK_NS;
        let mut look = |worker: &mut Worker, waited_ns, times| {
            for _ in 0..times {
                now_ns += 50 * MS;
                worker.look(waited_ns, now_ns);
            }
        };
        look(&mut worker, 100 * MS, 30);
        assert_eq!(states(&rig), [StreamState::Waiting, StreamState::Shed]);
        send(&mut worker);
        let discarded = rig
            .accounts()
            .map(|account| account.read().discarded_overload);
        assert_eq!(discarded, [0, 160]);
        // Another is refused, in words of its own.
        let mut third = UnixStream::connect(&path).unwrap();
        worker.accept(0);
        third.write_all(&le_bytes(&[1; 160])).unwrap();
        let key = worker.peers.keys().copied().max().unwrap();
        worker.read(key);
        assert_eq!(account.read().refused()["overloaded"], 1);
        look(&mut worker, 0, 150);
        assert_eq!(states(&rig), [StreamState::Waiting; 2]);
        send(&mut worker);
        let offered = rig.accounts().map(|account| account.read().offered);
        assert_eq!(
            offered[1],
            offered[0] + 320,
            "what waited, and what came meanwhile"
        );
    }
}
