//! More streams than the receiver's thread holds: some of them are shed, so that the rest is whole.

use super::Receiver;
use crate::net::overload::{Load, Remedy};

impl Receiver {
    /// The thread works at `now_ns` on datagrams that have waited for so long; 0 if none waits. Sheds streams if they are
    /// more than it holds, and takes them back. Allocates only then.
    pub(crate) fn look(&mut self, waited_ns: u64, now_ns: u64) {
        let table = &self.table;
        let load = || {
            let shed = table.slots.iter().filter(|slot| slot.is_shed).count();
            let whole = table.len() - shed;
            Load { whole, shed }
        };
        let Some(remedy) = self.overload.look(waited_ns, now_ns, load) else {
            return;
        };
        let of_shed = matches!(remedy, Remedy::TakeBack(_));
        let slots = self.table.slots.iter_mut();
        let mut slots: Vec<_> = slots
            .filter(|slot| slot.is_shed == of_shed)
            .filter_map(|slot| Some((slot.stream()?.admitted, slot)))
            .collect();
        slots.sort_unstable_by_key(|(admitted, _)| *admitted);
        let shared = &mut self.shared;
        match remedy {
            Remedy::Shed(count) => {
                let youngest = slots.split_off(slots.len().saturating_sub(count));
                for (_, slot) in youngest {
                    slot.is_shed = true;
                    if let Some(stream) = slot.stream() {
                        stream.shed(now_ns, shared);
                    }
                }
                tracing::warn!(
                    listener = shared.listener.name(),
                    "overloaded: more packets come than this thread can take; the {count} youngest of its streams are \
                     shed until there is time; raise --rtp-threads, or send fewer streams here"
                );
            }
            Remedy::TakeBack(count) => {
                slots.truncate(count);
                for (_, slot) in slots {
                    slot.is_shed = false;
                    if let Some(stream) = slot.stream() {
                        stream.take_back(now_ns);
                    }
                }
                let listener = shared.listener.name();
                tracing::info!(listener, "{count} of the streams that were shed play again");
            }
        }
    }
}
