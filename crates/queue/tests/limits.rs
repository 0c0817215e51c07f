//! An impossible pool is refused with an error that says why and which size would fit, and leaves
//! neither a descriptor nor a mapping behind.
//!
//! A limit of the process would fall on other tests too, so each test of one runs itself again in
//! a process of its own, under the lowered limit.

mod support;

use std::{env, fs, process::Command};

use mixpool_queue::{BuildError, Host, Pool, PoolPlan};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{PAGE, pool};

const IN_CHILD: &str = "MIXPOOL_TEST_IN_CHILD";

/// Runs `body` in a process of its own. `test` is the name of the calling test.
fn in_child(test: &str, body: impl FnOnce()) {
    if env::var_os(IN_CHILD).is_some() {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn lower(resource: Resource, soft: u64) {
    let (_, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, soft, hard).unwrap();
}

fn descriptors() -> usize {
    // Less the one that lists.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Mappings of rings and of address space reserved for them; the heap may grow as it likes.
fn ring_mappings() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("mixpool-rings"))
        .count()
}

fn address_space_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * PAGE as u64
}

/// Present pages that are shared, counted in each view.
fn ring_pages() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(2).unwrap().parse().unwrap()
}

fn refused(slots: usize, ring_bytes: usize) -> BuildError {
    Pool::builder()
        .slots(slots)
        .ring_bytes(ring_bytes)
        .build()
        .expect_err("it should not fit")
}

#[test]
fn a_pool_without_rings_is_refused() {
    assert!(matches!(refused(0, PAGE), BuildError::NoSlots));
}

#[test]
fn an_invalid_ring_size_is_refused_with_the_nearest_valid() {
    for (asked, nearest) in [
        (0, "4096"),
        (1, "4096"),
        (1_000_000, "524288 and 1048576"),
        (3 << 32, "4294967296"),
    ] {
        let text = refused(1, asked).to_string();
        assert!(
            text.contains(&asked.to_string()) && text.ends_with(nearest),
            "{text}"
        );
    }
}

#[test]
fn figures_beyond_any_machine_are_refused_without_being_tried() {
    assert!(matches!(
        refused(usize::MAX, PAGE),
        BuildError::TooManySlots { .. }
    ));
    assert!(matches!(
        refused(1 << 20, 1 << 32),
        BuildError::Impossible { .. }
    ));
}

#[test]
fn a_pool_costs_what_its_plan_says() {
    in_child("a_pool_costs_what_its_plan_says", || {
        let before = (descriptors(), ring_mappings(), address_space_bytes());
        let held = pool(100, 1 << 16);
        let plan = PoolPlan::new(100, 1 << 16).unwrap();
        assert_eq!(descriptors() - before.0, plan.descriptors as usize);
        assert_eq!(ring_mappings() - before.1, plan.vmas as usize);
        assert!(address_space_bytes() - before.2 >= plan.virtual_bytes);
        drop(held);
        assert_eq!((descriptors(), ring_mappings()), (before.0, before.1));
    });
}

#[test]
fn a_lack_of_descriptors_is_an_error_and_leaves_nothing_behind() {
    in_child(
        "a_lack_of_descriptors_is_an_error_and_leaves_nothing_behind",
        || {
            let before = (descriptors(), ring_mappings());
            let address_space = address_space_bytes();
            let first_free = before.0 as u64;
            let mut failed = 0;
            // Room for none: not even the limits can be read, and the memory file is refused. Room
            // for one: the check of the limits says so. From two on it fits.
            for room in 0..4 {
                lower(Resource::RLIMIT_NOFILE, first_free + room);
                let built = Pool::builder().slots(64).ring_bytes(1 << 20).build();
                failed += u64::from(built.is_err());
                assert_eq!(built.is_ok(), room >= 2, "with room for {room}: {built:?}");
                drop(built);
                lower(Resource::RLIMIT_NOFILE, 1000);
                assert_eq!((descriptors(), ring_mappings()), before, "room for {room}");
            }
            assert_eq!(failed, 2);
            // 128 MiB a pool would show.
            assert!(address_space_bytes() - address_space < 64 << 20);
        },
    );
}

#[test]
fn an_address_space_limit_is_named_with_figures_and_remedy() {
    in_child(
        "an_address_space_limit_is_named_with_figures_and_remedy",
        || {
            let before = descriptors();
            lower(Resource::RLIMIT_AS, address_space_bytes() + (64 << 20));
            let error = refused(64, 1 << 20);
            assert!(matches!(error, BuildError::Limit(_)), "{error:?}");
            let text = error.to_string();
            // Twice 64 MiB, and what the positions and counters take.
            let plan = Pool::builder()
                .slots(64)
                .ring_bytes(1 << 20)
                .plan()
                .unwrap();
            let needed = (128 << 20) + plan.metadata_bytes;
            let told = format!("address_space_bytes (RLIMIT_AS): {needed} needed");
            assert!(text.contains(&told), "{text}");
            assert!(text.contains("ulimit -v"), "{text}");
            assert_eq!((descriptors(), ring_mappings()), (before, 0));
        },
    );
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    in_child("a_limit_on_file_sizes_is_an_error_and_no_signal", || {
        let before = (descriptors(), ring_mappings());
        lower(Resource::RLIMIT_FSIZE, 1 << 20);
        let text = refused(2, 1 << 20).to_string();
        assert!(
            text.contains("file_bytes (RLIMIT_FSIZE): 2097152 needed, 1048576 found"),
            "{text}"
        );
        assert_eq!((descriptors(), ring_mappings()), before);
    });
}

#[test]
fn prefaulted_rings_are_present_from_the_start() {
    in_child("prefaulted_rings_are_present_from_the_start", || {
        let before = ring_pages();
        let built = Pool::builder()
            .slots(4)
            .ring_bytes(1 << 20)
            .prefault(true)
            .build();
        match built {
            // Both views of 4 MiB.
            Ok(_held) => assert!(ring_pages() - before >= 2 * (4 << 20) / PAGE as u64),
            // A kernel before 5.14 does not know the advice.
            Err(error) => assert!(error.to_string().contains("MADV_POPULATE_WRITE"), "{error}"),
        }
    });
}

#[test]
fn a_pool_is_prefaulted_even_where_no_thread_can_be_started() {
    in_child(
        "a_pool_is_prefaulted_even_where_no_thread_can_be_started",
        || {
            let pool = Pool::builder().slots(8).ring_bytes(1 << 20).prefault(true);
            let plan = pool.plan().unwrap();
            // Less than a thread's stack of 2 MiB beside the pool.
            let room = plan.virtual_bytes + plan.metadata_bytes + (1 << 20);
            lower(Resource::RLIMIT_AS, address_space_bytes() + room);
            let before = ring_pages();
            let held = pool.build();
            assert!(held.is_ok(), "{held:?}");
            let refused = std::thread::Builder::new().spawn(|| ());
            assert!(refused.is_err());
            assert!(ring_pages() - before >= plan.virtual_bytes / PAGE as u64);
        },
    );
}

#[test]
fn locked_rings_work_or_the_limit_is_named_with_its_rest() {
    in_child(
        "locked_rings_work_or_the_limit_is_named_with_its_rest",
        || {
            lower(Resource::RLIMIT_MEMLOCK, 24 * PAGE as u64);
            let locked = || {
                Pool::builder()
                    .slots(4)
                    .ring_bytes(2 * PAGE)
                    .lock_memory(true)
                    .build()
            };
            // Two views of four rings of two pages: 16 pages locked.
            let first = locked();
            let (_pool, _consumer) = match first {
                Ok(held) => held,
                Err(BuildError::Os { call: "mlock2", .. }) => return, // a sandbox that forbids it
                Err(error) => panic!("{error}"),
            };
            let before = (descriptors(), ring_mappings());
            let second = locked();
            if Host::detect().locked_bytes.is_none() {
                assert!(second.is_ok(), "CAP_IPC_LOCK lifts the limit: {second:?}");
                return;
            }
            let text = second.expect_err("8 pages are left").to_string();
            assert!(
                text.contains("locked_bytes (RLIMIT_MEMLOCK): 65536 needed, 32768 found"),
                "{text}"
            );
            assert!(text.contains("ulimit -l"), "{text}");
            assert_eq!((descriptors(), ring_mappings()), before);
        },
    );
}
