//! The request to end a server: a flag that anyone may read, and a descriptor that an epoll may wait
//! on.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

use crate::os::poll::Bell;

/// A request to end. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    bell: Bell,
}

impl Stop {
    /// One that was not asked yet.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn new() -> io::Result<Self> {
        let inner = Inner {
            requested: AtomicBool::new(false),
            bell: Bell::new()?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Asks to end. Returns whether it was asked before. Enters the kernel once; usable from a
    /// signal's thread.
    pub fn request(&self) -> bool {
        let before = self.inner.requested.swap(true, Ordering::Relaxed);
        self.inner.bell.ring();
        before
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.inner.requested.load(Ordering::Relaxed)
    }

    /// Waits until it is asked, but no longer than `timeout`. Returns whether it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        while !self.is_requested()
            && let Some(left) = until.checked_duration_since(Instant::now())
        {
            let mut bell = [PollFd::new(self.inner.bell.as_fd(), PollFlags::POLLIN)];
            // The signal that asks interrupts it.
            let _ = ppoll(&mut bell, Some(TimeSpec::from(left)), None);
        }
        self.is_requested()
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.inner.bell
    }
}
