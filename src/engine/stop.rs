//! The request to end a server: a flag that anyone may read, and a descriptor that an epoll may wait
//! on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::os::during;

/// A request to end. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    bell: EventFd,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(during("eventfd"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                requested: AtomicBool::new(false),
                bell,
            }),
        })
    }

    /// Asks to end. Returns whether it was asked before. Enters the kernel once; usable from a
    /// signal's thread.
    pub fn request(&self) -> bool {
        let before = self.inner.requested.swap(true, Ordering::Relaxed);
        // It could fail only after 2^64 requests.
        let _ = self.inner.bell.write(1);
        before
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.inner.requested.load(Ordering::Relaxed)
    }

    pub(super) fn bell(&self) -> &EventFd {
        &self.inner.bell
    }
}
