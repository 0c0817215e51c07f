//! Waiting for descriptors and for a time in one call: `epoll`, with a timer, as its own timeouts count in
//! milliseconds.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use super::during;

/// Events that one wait returns at most; the others come with the next.
const EVENTS: usize = 256;
/// The timer's key, which no descriptor has.
const TIMER: u64 = u64::MAX;

/// Wakes the thread that polls it, from any other. Clones are the same bell.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<EventFd>);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_flags(flags).map_err(during("eventfd"))?;
        Ok(Self(Arc::new(bell)))
    }

    /// Enters the kernel, and does not wait. Usable from a signal's thread.
    pub(crate) fn ring(&self) {
        // It could fail only after 2^64 rings.
        let _ = self.0.write(1);
    }

    /// Takes back all rings so far.
    pub(crate) fn clear(&self) {
        // It fails if it was not rung.
        let _ = self.0.read();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The descriptors that one thread waits for.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: Epoll,
    timer: TimerFd,
    /// The time that the timer is set to; 0 if it never was.
    timer_ns: u64,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(during("epoll_create1"))?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(during("timerfd_create"))?;
        let poll = Self {
            epoll,
            timer,
            timer_ns: 0,
        };
        poll.add(&poll.timer, TIMER)?;
        Ok(poll)
    }

    /// Waits for input of this descriptor, until that is closed.
    pub(crate) fn add(&self, fd: impl AsFd, key: u64) -> io::Result<()> {
        Watch::new(key).set(EpollFlags::EPOLLIN, fd, self)
    }

    /// Waits until there is an event, or until this time on the monotonic clock; a time that is past returns at once
    /// with what there is. A signal, or a stop of the process, ends no wait.
    pub(crate) fn wait(&mut self, until_ns: u64, events: &mut Events) {
        if until_ns != self.timer_ns {
            self.timer_ns = until_ns;
            // A time of 0 would stop the timer.
            let at = TimeSpec::from(Duration::from_nanos(until_ns.max(1)));
            self.timer
                .set(
                    Expiration::OneShot(at),
                    TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                )
                .expect("a timer accepts any positive time");
        }
        events.count = loop {
            match self.epoll.wait(&mut events.events, EpollTimeout::NONE) {
                Ok(count) => break count,
                Err(Errno::EINTR) => {}
                Err(errno) => panic!("epoll_wait on a valid epoll: {errno}"),
            }
        };
    }
}

/// The events of one wait.
#[derive(Debug)]
pub(crate) struct Events {
    events: [EpollEvent; EVENTS],
    count: usize,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            events: [EpollEvent::empty(); EVENTS],
            count: 0,
        }
    }

    /// The key of each descriptor that is ready, and for what.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, EpollFlags)> {
        let events = self.events[..self.count].iter();
        events
            .map(|event| (event.data(), event.events()))
            .filter(|&(key, _)| key != TIMER)
    }

    /// Whether there may be more events than these.
    pub(crate) fn is_full(&self) -> bool {
        self.count == EVENTS
    }

    pub(crate) fn has(&self, key: u64) -> bool {
        self.iter().any(|(ready, _)| ready == key)
    }
}

/// The events that one descriptor is watched for at present: none at first.
#[derive(Debug)]
pub(crate) struct Watch {
    key: u64,
    flags: EpollFlags,
}

impl Watch {
    pub(crate) fn new(key: u64) -> Self {
        Self {
            key,
            flags: EpollFlags::empty(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// Has `fd`, the same each time, watched for this. One that is watched for nothing is not even reported when it
    /// fails.
    pub(crate) fn set(&mut self, flags: EpollFlags, fd: impl AsFd, poll: &Poll) -> io::Result<()> {
        if flags == self.flags {
            return Ok(());
        }
        let mut event = EpollEvent::new(flags, self.key);
        let set = match (self.flags.is_empty(), flags.is_empty()) {
            (_, true) => poll.epoll.delete(fd),
            (true, false) => poll.epoll.add(fd, event),
            (false, false) => poll.epoll.modify(fd, &mut event),
        };
        set.map_err(during("epoll_ctl"))?;
        self.flags = flags;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::now_ns;

    #[test]
    fn a_bell_ends_a_wait_until_it_is_cleared() {
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::new());
        let bell = Bell::new().unwrap();
        poll.add(&bell, 7).unwrap();
        bell.ring();
        for _ in 0..2 {
            poll.wait(u64::MAX, &mut events);
            assert!(events.has(7));
        }
        bell.clear();
        poll.wait(now_ns(), &mut events);
        assert_eq!(events.iter().count(), 0);
    }

    #[test]
    fn a_wait_without_events_ends_at_its_time() {
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::new());
        let until_ns = now_ns() + 3_000_000;
        poll.wait(until_ns, &mut events);
        assert!(now_ns() >= until_ns);
        assert_eq!(events.iter().count(), 0);
    }

    #[test]
    fn a_descriptor_is_reported_for_what_it_is_watched_for() {
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::new());
        let bell = Bell::new().unwrap();
        bell.ring();
        let (input, output) = (EpollFlags::EPOLLIN, EpollFlags::EPOLLOUT);
        let mut watch = Watch::new(1);
        for flags in [output, input | output, EpollFlags::empty(), input] {
            watch.set(flags, &bell, &poll).unwrap();
            assert_eq!(watch.is_empty(), flags.is_empty());
            poll.wait(1, &mut events);
            let ready: Vec<_> = events.iter().collect();
            let expected = (!flags.is_empty()).then_some((1, flags));
            assert_eq!(ready, Vec::from_iter(expected));
        }
    }
}
