//! Whether a thread holds its streams, and how many of them it does without. Passive: time is an argument.
//!
//! A thread is judged by how long its work waits, as controlled delay (RFC 8289) judges a queue: a burst makes work wait
//! for a moment, and only if there is no moment without in a whole window, and the wait does not get shorter from window
//! to window, is there more work than time. A thread that has been behind for a second refuses new streams and sheds the
//! youngest, an eighth of the rest each half second, until it is behind no longer; what waited until then is too old, and
//! thrown away. Then they come back, a sixteenth at a time. If that was too much, it waits twice as long with the next
//! attempt.

/// Work that waits no longer is on time.
const LATE_NS: u64 = 20_000_000;

/// A window with no moment on time is one behind, unless the thread catches up.
const WINDOW_NS: u64 = 250_000_000;

/// It does if its work waits so much shorter than in the window before: it stood still for a while, with the whole machine
/// perhaps.
const CATCHING_UP_NS: u64 = 10_000_000;

/// Windows behind, one after the other, until the first streams are shed.
const FIRST_WINDOWS: u32 = 4;

/// Windows behind from one shedding to the next: the first of them still had the work of those that were shed.
const NEXT_WINDOWS: u32 = 2;

/// On time for so long, a thread takes streams back.
const CALM_NS: u64 = 5_000_000_000;

/// The same at most, however often they were too many.
const CALM_NS_MAX: u64 = 320_000_000_000;

/// A thread that is behind within this time after it took streams back took too many.
const TRIAL_NS: u64 = 10_000_000_000;

/// The event of a stream that is shed.
pub(crate) const SHED: &str = "shed: its thread has more streams than it holds";

/// The event of one that was.
pub(crate) const TAKEN_BACK: &str = "plays again";

/// The judge of one thread.
#[derive(Debug)]
pub(crate) struct Overload {
    window_ns: u64,
    /// The shortest wait of the window; none before the first look.
    shortest_ns: Option<u64>,
    /// The same of the window before.
    before_ns: u64,
    /// Windows behind, one after the other.
    behind: u32,
    /// When it was behind last, or took streams back.
    changed_ns: u64,
    took_back_ns: Option<u64>,
    calm_ns: u64,
    overloaded: bool,
    /// Work that came before is too old.
    too_old_ns: u64,
}

/// Streams that a thread has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) whole: usize,
    pub(crate) shed: usize,
}

/// The remedy of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// So many streams, the youngest, are shed.
    Shed(usize),
    /// So many, the oldest of those that were shed, come back.
    TakeBack(usize),
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            window_ns: 0,
            shortest_ns: None,
            before_ns: 0,
            behind: 0,
            changed_ns: 0,
            took_back_ns: None,
            calm_ns: CALM_NS,
            overloaded: false,
            too_old_ns: 0,
        }
    }
}

impl Overload {
    /// Whether it has more streams than it holds, or had until a moment ago: it takes no new ones.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// Whether work that came at this time is too old to be done.
    pub(crate) fn is_too_old(&self, at_ns: u64) -> bool {
        at_ns < self.too_old_ns
    }

    /// The thread works at `now_ns` on what has waited for so long; 0 if nothing waits. To be called whenever it has
    /// worked; returns what it is to do, at most once a window. The load is asked for no more often.
    pub(crate) fn look(
        &mut self,
        waited_ns: u64,
        now_ns: u64,
        load: impl FnOnce() -> Load,
    ) -> Option<Remedy> {
        let shortest = self.shortest_ns.map_or(waited_ns, |ns| ns.min(waited_ns));
        self.shortest_ns = Some(shortest);
        if now_ns.saturating_sub(self.window_ns) < WINDOW_NS {
            return None;
        }
        self.window_ns = now_ns;
        self.shortest_ns = None;
        let before = std::mem::replace(&mut self.before_ns, shortest);
        if shortest <= LATE_NS {
            self.behind = 0;
            return self.recover(now_ns, load);
        }
        self.changed_ns = now_ns;
        if shortest + CATCHING_UP_NS <= before {
            self.behind = 0;
            return None;
        }
        self.fall_behind(now_ns, load)
    }

    fn fall_behind(&mut self, now_ns: u64, load: impl FnOnce() -> Load) -> Option<Remedy> {
        self.behind += 1;
        let windows = if self.overloaded {
            NEXT_WINDOWS
        } else {
            FIRST_WINDOWS
        };
        if self.behind < windows {
            return None;
        }
        self.behind = 0;
        self.overloaded = true;
        self.too_old_ns = now_ns;
        if let Some(at_ns) = self.took_back_ns.take()
            && now_ns - at_ns < TRIAL_NS
        {
            self.calm_ns = (2 * self.calm_ns).min(CALM_NS_MAX);
        }
        let whole = load().whole;
        (whole > 1).then(|| Remedy::Shed(whole.div_ceil(8)))
    }

    fn recover(&mut self, now_ns: u64, load: impl FnOnce() -> Load) -> Option<Remedy> {
        if !self.overloaded || now_ns - self.changed_ns < self.calm_ns {
            return None;
        }
        self.changed_ns = now_ns;
        let load = load();
        if load.shed == 0 {
            self.overloaded = false;
            self.calm_ns = CALM_NS;
            return None;
        }
        self.took_back_ns = Some(now_ns);
        let share = (load.whole + load.shed).div_ceil(16);
        Some(Remedy::TakeBack(share.min(load.shed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A thread that holds so many streams, in virtual time: beyond that its work waits longer and longer, as far as the
    /// kernel keeps it.
    struct Thread {
        overload: Overload,
        holds: usize,
        streams: usize,
        shed: usize,
        waits_ns: u64,
        now_ns: u64,
        remedies: Vec<(u64, Remedy)>,
    }

    impl Thread {
        fn new(holds: usize, streams: usize) -> Self {
            Self {
                overload: Overload::default(),
                holds,
                streams,
                shed: 0,
                waits_ns: 0,
                now_ns: 0,
                remedies: Vec::new(),
            }
        }

        /// For two seconds, of which the kernel kept half a second of packets.
        fn stand_still(&mut self) {
            self.now_ns += 2_000 * MS;
            self.waits_ns = 500 * MS;
        }

        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds * 100 {
                self.now_ns += 10 * MS;
                let load = Load {
                    whole: self.streams - self.shed,
                    shed: self.shed,
                };
                // A millisecond for each stream in 10,000 that it has too many, or too few.
                let excess = (load.whole as i64 - self.holds as i64) * MS as i64;
                let waits = self.waits_ns as i64 + 10 * excess / self.holds as i64;
                self.waits_ns = waits.clamp(0, 500 * MS as i64) as u64;
                let remedy = self.overload.look(self.waits_ns, self.now_ns, || load);
                match remedy {
                    Some(Remedy::Shed(count)) => {
                        self.shed += count;
                        assert!(self.overload.is_too_old(self.now_ns - 1));
                        self.waits_ns = 0;
                    }
                    Some(Remedy::TakeBack(count)) => self.shed -= count,
                    None => continue,
                }
                self.remedies
                    .extend(remedy.map(|remedy| (self.now_ns / MS, remedy)));
            }
        }
    }

    #[test]
    fn a_thread_that_holds_its_streams_sheds_none() {
        let mut thread = Thread::new(1000, 1000);
        thread.run(600);
        assert!(thread.remedies.is_empty() && !thread.overload.is_overloaded());
    }

    #[test]
    fn a_stall_of_two_seconds_sheds_nothing() {
        let mut thread = Thread::new(1000, 900);
        thread.run(10);
        thread.stand_still();
        // They are worked off ten times as fast as they came.
        for _ in 0..5 {
            thread.waits_ns -= 100 * MS;
            thread.now_ns += 10 * MS;
            let load = Load {
                whole: 900,
                shed: 0,
            };
            assert_eq!(
                thread
                    .overload
                    .look(thread.waits_ns, thread.now_ns, || load),
                None
            );
        }
        thread.run(10);
        assert!(thread.remedies.is_empty());
    }

    #[test]
    fn a_thread_that_catches_up_slowly_sheds_nothing() {
        let mut thread = Thread::new(1000, 950);
        thread.run(10);
        thread.stand_still();
        // Half a millisecond less for each ten.
        thread.run(12);
        assert_eq!(thread.waits_ns, 0);
        assert!(thread.remedies.is_empty());
    }

    #[test]
    fn a_fifth_too_many_streams_leave_three_quarters_of_them_whole() {
        let mut thread = Thread::new(1000, 1200);
        thread.run(10);
        assert!(thread.overload.is_overloaded());
        assert!(thread.shed >= 200, "{}", thread.shed);
        assert!(thread.shed <= 300, "{}", thread.shed);
        let (at, remedy) = thread.remedies[0];
        assert!((1_000..2_000).contains(&at), "{at} ms");
        assert_eq!(remedy, Remedy::Shed(150));
    }

    #[test]
    fn streams_come_back_by_themselves_once_there_is_time() {
        let mut thread = Thread::new(1000, 1500);
        thread.run(20);
        assert!(thread.shed >= 500);
        thread.holds = 2000;
        thread.run(200);
        assert_eq!(thread.shed, 0);
        thread.run(10);
        assert!(!thread.overload.is_overloaded());
    }

    #[test]
    fn attempts_to_take_back_too_many_become_rare() {
        let mut thread = Thread::new(1000, 1200);
        thread.run(3600);
        let hour = thread.remedies.len();
        assert!(hour < 80, "{hour} remedies in an hour");
        thread.run(3600);
        let next = thread.remedies.len() - hour;
        assert!(next < 50, "{next} remedies in the next hour");
    }

    #[test]
    fn the_last_stream_is_kept() {
        let mut thread = Thread::new(1, 3);
        thread.holds = 1;
        thread.run(60);
        assert!(thread.shed <= 2);
    }
}
