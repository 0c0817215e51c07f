//! Whichever system call of a pool's construction the kernel refuses, the error names the call and
//! keeps the kernel's reason, and not a descriptor, mapping or page of address space is left behind.
//!
//! A filter refuses the call, so the test decides which fails, and how far the construction got. A
//! filter falls on one thread and stays for its life: each refusal has a thread of its own.

mod support;

use std::{collections::BTreeMap, fs, thread};

use mixpool_queue::{BuildError, DetachError, Drained, Host, HugePages, Pool, PoolBuilder};
use nix::{
    errno::Errno,
    libc::{self, c_long},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use support::{PAGE, pool};

const SLOTS: usize = 5;
const RING_BYTES: usize = 4 * PAGE;

/// A call that the kernel will refuse.
struct Refusal {
    call: c_long,
    /// Only if each of these arguments, by index, has this value.
    arguments: Vec<(u8, u64)>,
    errno: Errno,
}

impl Refusal {
    fn of(call: c_long, errno: Errno) -> Self {
        Self {
            call,
            arguments: Vec::new(),
            errno,
        }
    }

    fn when(self, arguments: &[(u8, u64)]) -> Self {
        let arguments = arguments.to_vec();
        Self { arguments, ..self }
    }

    /// From now on, for the rest of this thread.
    fn install(&self) {
        let conditions = self.arguments.iter().map(|&(index, value)| {
            SeccompCondition::new(index, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value).unwrap()
        });
        // No rule means any arguments.
        let rules = match conditions.collect::<Vec<_>>() {
            none if none.is_empty() => vec![],
            some => vec![SeccompRule::new(some).unwrap()],
        };
        let filter: BpfProgram = SeccompFilter::new(
            BTreeMap::from([(self.call, rules)]),
            SeccompAction::Allow,
            SeccompAction::Errno(self.errno as u32),
            TargetArch::try_from(std::env::consts::ARCH).unwrap(),
        )
        .unwrap()
        .try_into()
        .unwrap();
        seccompiler::apply_filter(&filter).unwrap();
    }
}

/// Descriptors, mappings and bytes of address space of this process. A sanitizer maps memory of its own
/// as it goes.
fn held() -> (usize, Option<(usize, String)>) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    if cfg!(sanitized) {
        return (descriptors, None);
    }
    let mappings = fs::read_to_string("/proc/self/maps").unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find(|line| line.starts_with("VmSize:"));
    (
        descriptors,
        Some((mappings.lines().count(), size.unwrap().to_owned())),
    )
}

fn builder() -> PoolBuilder {
    Pool::builder().slots(SLOTS).ring_bytes(RING_BYTES)
}

/// Runs `body` on a thread of its own, until the thread is gone with all that it held.
fn on_a_thread(body: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(body).join().unwrap());
}

/// Builds a pool, then another while the call is refused: the error is `named` so, and keeps errno.
fn assert_leaves_nothing(builder: &PoolBuilder, named: &str, refusal: &Refusal) {
    on_a_thread(|| {
        let build = || builder.clone().build();
        // Without the refusal it builds; and the heap of this thread has grown as it will.
        drop(build().unwrap());
        drop(build().unwrap());
        let before = held();
        refusal.install();
        let refused = build().unwrap_err();
        assert_eq!(held(), before, "left behind by {refused}");
        let text = refused.to_string();
        let BuildError::Os { call, source, .. } = refused else {
            panic!("{named}: {refused:?}");
        };
        assert_eq!(call, named);
        assert_eq!(source.raw_os_error(), Some(refusal.errno as i32), "{text}");
        assert!(
            text.contains(named) && text.contains(&source.to_string()),
            "{text}"
        );
    });
}

// One test: the counts are of the whole process, so nothing else may run in it.
#[test]
fn a_refused_call_is_named_and_leaves_nothing_behind() {
    let plain = builder();
    for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EACCES] {
        let refusal = Refusal::of(libc::SYS_memfd_create, errno);
        assert_leaves_nothing(&plain, "memfd_create", &refusal);
    }
    for errno in [Errno::ENOSPC, Errno::EFBIG] {
        let refusal = Refusal::of(libc::SYS_ftruncate, errno);
        assert_leaves_nothing(&plain, "ftruncate", &refusal);
    }
    let sealing = &[(1, libc::F_ADD_SEALS as u64)];
    let refusal = Refusal::of(libc::SYS_fcntl, Errno::EPERM).when(sealing);
    assert_leaves_nothing(&plain, "fcntl(F_ADD_SEALS)", &refusal);

    // The reservation of the whole range, and then the mappings over it: the first, those in the
    // middle, the last. An `mmap` has its length second, its offset in the file last.
    let whole = &[(1, (2 * SLOTS * RING_BYTES) as u64)];
    let first = &[(1, RING_BYTES as u64), (5, 0)];
    let second = &[(1, (2 * RING_BYTES) as u64), (5, 0)];
    let middle = &[(5, (2 * RING_BYTES) as u64)];
    let last = &[(5, ((SLOTS - 1) * RING_BYTES) as u64)];
    for arguments in [&whole[..], first, second, middle, last] {
        let refusal = Refusal::of(libc::SYS_mmap, Errno::ENOMEM).when(arguments);
        assert_leaves_nothing(&plain, "mmap", &refusal);
    }

    let prefaulted = builder().prefault(true);
    for (advice, named) in [
        (libc::MADV_POPULATE_WRITE, "madvise(MADV_POPULATE_WRITE)"),
        (libc::MADV_POPULATE_READ, "madvise(MADV_POPULATE_READ)"),
    ] {
        // Before Linux 5.14 the kernel does not know them; later, there may be no memory.
        for errno in [Errno::EINVAL, Errno::ENOMEM] {
            let refusal = Refusal::of(libc::SYS_madvise, errno).when(&[(2, advice as u64)]);
            assert_leaves_nothing(&prefaulted, named, &refusal);
        }
    }
    // Where the host has none, there is nothing to refuse.
    if let HugePages::Offered { page_bytes } = Host::detect().huge_pages {
        let huge = builder().ring_bytes(page_bytes).huge_pages(true);
        let advice = [(2, libc::MADV_HUGEPAGE as u64)];
        let refusal = Refusal::of(libc::SYS_madvise, Errno::EINVAL).when(&advice);
        assert_leaves_nothing(&huge, "madvise(MADV_HUGEPAGE)", &refusal);
    }
    for errno in [Errno::ENOMEM, Errno::EPERM] {
        let refusal = Refusal::of(libc::SYS_mlock2, errno);
        assert_leaves_nothing(&builder().lock_memory(true), "mlock2", &refusal);
    }
    for errno in [Errno::EMFILE, Errno::ENODEV] {
        let refusal = Refusal::of(libc::SYS_eventfd2, errno);
        assert_leaves_nothing(&plain, "eventfd", &refusal);
    }
    for (call, errno) in [
        (libc::SYS_epoll_create1, Errno::EMFILE),
        // The user's limit of watches, over all processes.
        (libc::SYS_epoll_ctl, Errno::ENOSPC),
    ] {
        assert_leaves_nothing(&plain, "epoll", &Refusal::of(call, errno));
    }
    a_refused_membarrier_leaves_the_fences_in_place();
    a_refused_descriptor_leaves_the_lease_with_the_consumer();
}

fn a_refused_membarrier_leaves_the_fences_in_place() {
    on_a_thread(|| {
        Refusal::of(libc::SYS_membarrier, Errno::ENOSYS).install();
        let (pool, mut consumer) = builder().polled(true).build().unwrap();
        let mut producer = pool.acquire().unwrap();
        let lease = producer.lease();
        producer.publish(b"one").unwrap();
        consumer.get(lease).unwrap().unwrap().ack();
        assert_eq!(consumer.arm(lease), Ok(true));
    });
}

fn a_refused_descriptor_leaves_the_lease_with_the_consumer() {
    on_a_thread(|| {
        let (pool, mut consumer) = pool(1, PAGE);
        let mut producer = pool.acquire().unwrap();
        let before = held();
        Refusal::of(libc::SYS_eventfd2, Errno::EMFILE).install();
        let refused = consumer.detach(producer.lease()).unwrap_err();
        let DetachError::Descriptor(reason) = &refused else {
            panic!("{refused}")
        };
        assert_eq!(reason.raw_os_error(), Some(Errno::EMFILE as i32));
        assert!(refused.to_string().contains("eventfd"), "{refused}");
        assert_eq!(held(), before);
        producer.publish(b"heard").unwrap();
        consumer.wait(None).unwrap();
        let lease = consumer.next_ready().unwrap();
        let mut heard = Vec::new();
        let drained = consumer.drain(lease, 8, |message| heard.push(message.to_vec()));
        assert_eq!(
            (drained, &heard[..]),
            (Ok(Drained::Empty), &[b"heard".to_vec()][..])
        );
    });
}
