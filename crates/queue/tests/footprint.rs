//! A pool that is really built takes the plan's memory, by `/proc`'s account, and frees it.
//!
//! One test, alone in its process: any other thread would add to the same account.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    sync::Barrier,
    thread,
};

use mixpool_queue::{Host, Pool, PoolPlan};

/// The process's present use.
#[derive(Debug, Clone, Copy)]
struct Account {
    descriptors: u64,
    virtual_bytes: u64,
    page_table_bytes: u64,
    /// Heap and stacks.
    anonymous_bytes: u64,
    rings: Rings,
}

/// The mappings of pools' memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rings {
    vmas: u64,
    virtual_bytes: u64,
    /// Present pages, counted once per mapping: a page of a ring counts twice. `RssShmem` and
    /// `VmRSS` count so too, which is why `top` shows a pool at twice its memory.
    mapped_bytes: u64,
    /// Present pages, shared among their mappings: what the pool takes of RAM.
    resident_bytes: u64,
    /// Of `mapped_bytes`, those that huge pages map: they take no page tables.
    huge_bytes: u64,
}

impl Account {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        Self {
            // The listing's own descriptor is in every count alike.
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count() as u64,
            virtual_bytes: field(&status, "VmSize:"),
            page_table_bytes: field(&status, "VmPTE:"),
            anonymous_bytes: field(&rollup, "Anonymous:"),
            rings: Rings::now(),
        }
    }
}

impl Rings {
    fn now() -> Self {
        // Line by line: the whole text is some MiB, and heap is what is being measured.
        let smaps = BufReader::new(File::open("/proc/self/smaps").unwrap());
        let mut rings = Self::default();
        let mut ours = false;
        for line in smaps.lines().map(Result::unwrap) {
            // Fields are `Name: value`; a line with another first word starts a mapping.
            if !line
                .split(' ')
                .next()
                .is_some_and(|word| word.ends_with(':'))
            {
                ours = line.contains("memfd:mixpool-rings");
                rings.vmas += u64::from(ours);
            } else if ours {
                rings.virtual_bytes += kib(&line, "Size:");
                rings.mapped_bytes += kib(&line, "Rss:");
                rings.resident_bytes += kib(&line, "Pss:");
                rings.huge_bytes += kib(&line, "ShmemPmdMapped:");
            }
        }
        rings
    }
}

fn kib(line: &str, name: &str) -> u64 {
    line.strip_prefix(name).map_or(0, |rest| {
        let number = rest.trim().trim_end_matches(" kB");
        number.parse::<u64>().unwrap() << 10
    })
}

fn field(text: &str, name: &str) -> u64 {
    text.lines().map(|line| kib(line, name)).sum()
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4 << 10;

/// How the pages of a pool come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    AtFirstTouch,
    Prefault,
    PrefaultHuge,
}

/// Builds the pool and compares.
fn check(slots: usize, ring_bytes: usize, pages: Pages) {
    let builder = Pool::builder()
        .slots(slots)
        .ring_bytes(ring_bytes)
        .prefault(pages == Pages::Prefault)
        .huge_pages(pages == Pages::PrefaultHuge);
    let plan = builder.plan().unwrap();
    let before = Account::now();
    let pool = builder.build().unwrap();
    let built = Account::now();
    drop(pool);
    let after = Account::now();

    println!("{plan:?}\n{before:?}\n{built:?}\n{after:?}");
    check_built(&plan, before, built, pages);
    check_dropped(&plan, before, after);
}

fn check_built(plan: &PoolPlan, before: Account, built: Account, pages: Pages) {
    assert_eq!(before.rings, Rings::default());
    assert_eq!(built.descriptors - before.descriptors, plan.descriptors);
    let present = u64::from(pages != Pages::AtFirstTouch);
    // Some may be small, if the host has too little memory that hangs together.
    let huge_bytes = built.rings.huge_bytes;
    let huge_page = Host::detect().huge_pages.page_bytes();
    if pages == Pages::PrefaultHuge && huge_page.is_some_and(|size| plan.ring_bytes >= size) {
        assert!(huge_bytes > 0);
    }
    let expected = Rings {
        vmas: plan.vmas,
        virtual_bytes: plan.virtual_bytes,
        mapped_bytes: present * plan.virtual_bytes,
        resident_bytes: present * plan.resident_bytes,
        huge_bytes,
    };
    assert_eq!(built.rings, expected);

    // Beyond the rings, which are exact above, there are the metadata, in the heap, and what malloc takes
    // or frees meanwhile.
    let rings = before.virtual_bytes + plan.virtual_bytes;
    assert!(
        (rings.saturating_sub(MIB)..=rings + plan.metadata_bytes + MIB)
            .contains(&built.virtual_bytes),
        "{rings} expected, {} found",
        built.virtual_bytes
    );
    let tables = built.page_table_bytes - before.page_table_bytes;
    // An entry of 8 bytes for each page that is not huge.
    let expected = present * (plan.page_table_bytes - huge_bytes / PAGE * 8);
    // The range may begin within a table, the heap may need one, and tables point to tables.
    assert!(tables + 4 * KIB >= expected, "{tables}");
    assert!(tables <= expected + 32 * KIB, "{tables}");
}

fn check_dropped(plan: &PoolPlan, before: Account, after: Account) {
    assert_eq!(after.rings, Rings::default());
    assert_eq!(after.descriptors, before.descriptors);
    // malloc may keep what it got for the metadata.
    let kept = after.virtual_bytes.saturating_sub(before.virtual_bytes);
    assert!(kept <= plan.metadata_bytes + MIB, "{kept}");
    let kept = after
        .page_table_bytes
        .saturating_sub(before.page_table_bytes);
    assert!(kept <= 32 * KIB, "{kept}");
}

/// The metadata of a pool of many slots, in a process that has no free heap yet to use for it.
fn check_metadata() {
    let builder = Pool::builder().slots(4096).ring_bytes(4 << 10);
    let planned = builder.plan().unwrap().metadata_bytes;
    let before = Account::now().anonymous_bytes;
    let pool = builder.build().unwrap();
    let heap = Account::now().anonymous_bytes - before;
    drop(pool);
    println!("{planned} bytes of metadata planned, {heap} taken");
    assert!(
        heap.abs_diff(planned) < planned / 8,
        "{planned} planned, {heap} taken"
    );
}

/// malloc reserves address space for each thread, some 64 MiB, and keeps it for later ones. A prefault's
/// threads find it here.
fn start_threads() {
    let count = thread::available_parallelism().unwrap().get();
    let all = Barrier::new(count);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                all.wait();
                drop(vec![0; 1]);
                all.wait();
            });
        }
    });
}

#[test]
fn a_built_pool_takes_what_its_plan_says_and_gives_it_all_back() {
    check_metadata();
    start_threads();
    for pages in [Pages::Prefault, Pages::PrefaultHuge, Pages::AtFirstTouch] {
        check(256, 64 << 10, pages);
        check(4096, 4 << 10, pages);
        check(3, 4 << 20, pages);
        check(1, 4 << 10, pages);
        check(1000, 1 << 15, pages);
    }
}
