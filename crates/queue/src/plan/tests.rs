use super::*;

fn refused(asked: usize) -> (Option<usize>, Option<usize>) {
    match check_ring_bytes(asked, 4096) {
        Err(BuildError::RingSize {
            smaller, larger, ..
        }) => (smaller, larger),
        other => panic!("{asked} gave {other:?}"),
    }
}

#[test]
fn an_invalid_ring_size_is_refused_with_the_nearest_valid() {
    assert_eq!(refused(0), (None, Some(4096)));
    assert_eq!(refused(2048), (None, Some(4096)));
    assert_eq!(refused(5000), (Some(4096), Some(8192)));
    assert_eq!(refused(1_000_000), (Some(1 << 19), Some(1 << 20)));
    assert_eq!(refused(usize::MAX), (Some(RING_BYTES_MAX), None));
    assert!(check_ring_bytes(1 << 20, 4096).is_ok());
    assert!(check_ring_bytes(RING_BYTES_MAX, 4096).is_ok());
}

#[test]
fn impossible_plans_are_errors_and_never_overflow() {
    assert!(matches!(
        PoolPlan::new(0, 1 << 20),
        Err(BuildError::NoSlots)
    ));
    assert!(matches!(
        PoolPlan::new(usize::MAX, 1 << 20),
        Err(BuildError::TooManySlots { .. })
    ));
    assert!(matches!(
        PoolPlan::new(1, 1 << 60),
        Err(BuildError::RingSize { .. })
    ));
    assert!(matches!(
        PoolPlan::new(SLOTS_MAX, RING_BYTES_MAX),
        Err(BuildError::Impossible { .. })
    ));
}

#[test]
fn a_thousand_rings_take_a_thousand_and_one_mappings() {
    let plan = PoolPlan::new(1000, 1 << 20).unwrap();
    assert_eq!(plan.vmas, 1001);
    assert_eq!(plan.resident_bytes, 1_048_576_000);
    assert_eq!(plan.virtual_bytes, 2_097_152_000);
    assert_eq!(page_table_bytes(plan.virtual_bytes, 4096), 1000 * 4096);
}

#[test]
fn the_smallest_ring_that_holds_whole_records_is_found() {
    let plan = PoolPlan::new(1, 1 << 20).unwrap();
    // 336 bytes of payload and 8 of header.
    assert_eq!(plan.messages_per_ring(336), (1 << 20) / 344);
    assert_eq!(plan.messages_per_ring((1 << 20) - 8), 1);
    assert_eq!(plan.messages_per_ring((1 << 20) - 7), 0);
    assert_eq!(plan.messages_per_ring(usize::MAX), 0);
    assert_eq!(PoolPlan::ring_bytes_for(3048, 336), Some(1 << 20));
    assert_eq!(PoolPlan::ring_bytes_for(3049, 336), Some(1 << 21));
    assert_eq!(PoolPlan::ring_bytes_for(0, 0), Some(page_bytes()));
    assert_eq!(PoolPlan::ring_bytes_for(1, RING_BYTES_MAX), None);
    assert_eq!(PoolPlan::ring_bytes_for(u64::MAX, usize::MAX), None);
    assert_eq!(PoolPlan::ring_bytes_for(u64::MAX, 0), None);
}

#[test]
fn locked_memory_is_needed_only_by_a_pool_that_locks() {
    let plan = PoolPlan::new(2, 1 << 20).unwrap();
    let needed = |lock| {
        let checks = plan.check(&Host::detect(), lock);
        checks
            .iter()
            .find(|c| c.name == "locked_bytes")
            .unwrap()
            .needed
    };
    assert_eq!((needed(false), needed(true)), (0, 4 << 20));
}

#[test]
fn a_limit_that_is_too_low_names_the_figures_and_the_remedy() {
    let vmas = |found| LimitCheck::new("vmas", "vm.max_map_count", 1001, found, "raise it");
    assert_eq!(
        vmas(Some(10)).to_string(),
        "vmas (vm.max_map_count): 1001 needed, 10 found; raise it"
    );
    assert_eq!(
        vmas(Some(1001)).to_string(),
        "vmas (vm.max_map_count): 1001 needed, 1001 found"
    );
    assert_eq!(
        vmas(None).to_string(),
        "vmas (vm.max_map_count): 1001 needed, no limit"
    );
}

#[test]
fn a_kib_field_is_read_in_bytes() {
    let text = "VmPeak:\t  10 kB\nVmSize:\t  12 kB\n";
    assert_eq!(kib_field(text, "VmSize:"), Some(12 << 10));
    assert_eq!(kib_field(text, "VmRSS:"), None);
    assert_eq!(kib_field("VmSize: many kB", "VmSize:"), None);
}

#[test]
fn the_capability_to_lock_is_bit_14() {
    assert!(may_lock_any_memory("CapEff:\t0000000000004000\n"));
    assert!(!may_lock_any_memory("CapEff:\t0000000000003fff\n"));
    assert!(!may_lock_any_memory("CapPrm:\t0000000000004000\n"));
}

#[test]
fn this_host_tells_its_page_size_and_memory() {
    let host = Host::detect();
    assert!(host.page_bytes.is_power_of_two());
    assert!(
        host.memory_bytes
            .is_some_and(|bytes| bytes > host.page_bytes as u64)
    );
}

const ALL: &str = "always within_size advise never deny force\n";
const ONE: &str = "always inherit within_size advise never\n";

fn choose(setting: &str, word: &str) -> String {
    setting.replace(word, &format!("[{word}]"))
}

fn offered(one: Option<&str>, all: &str) -> bool {
    is_offered(
        one.map(|word| choose(ONE, word)).as_deref(),
        &choose(ALL, all),
    )
}

#[test]
fn an_old_kernel_has_one_setting() {
    for (word, expected) in [
        ("always", true),
        ("within_size", true),
        ("advise", true),
        ("force", true),
        ("never", false),
        ("deny", false),
    ] {
        assert_eq!(offered(None, word), expected, "{word}");
        assert_eq!(offered(Some("inherit"), word), expected, "{word}");
    }
    assert!(!is_offered(None, "something else"));
}

#[test]
fn the_setting_of_a_size_wins_but_over_deny_and_force() {
    assert!(offered(Some("advise"), "never"));
    assert!(!offered(Some("never"), "always"));
    assert!(!offered(Some("always"), "deny"));
    assert!(offered(Some("never"), "force"));
}

#[test]
fn a_process_without_huge_pages_is_told_so() {
    let said = HugePages::detect("Threads:\t1\nTHP_enabled:\t0\n");
    assert!(
        matches!(said, HugePages::OffForProcess | HugePages::Unknown),
        "{said:?}"
    );
    assert_ne!(
        HugePages::detect("THP_enabled:\t1\n"),
        HugePages::OffForProcess
    );
}

#[test]
fn where_there_are_none_the_remedy_is_named() {
    for none in [HugePages::Off, HugePages::OffForProcess, HugePages::Unknown] {
        assert!(none.page_bytes().is_none() && none.remedy().is_some());
    }
    let some = HugePages::Offered {
        page_bytes: 2 << 20,
    };
    assert!(some.page_bytes() == Some(2 << 20) && some.remedy().is_none());
}
