//! The plan of a server that runs: what the command says of the same pool, as if it were not here yet.

use std::time::Duration;

use mixpool::{
    audio::Format,
    engine::{
        Clock, Engine, Settings,
        plan::{PlanAudio, PlanReport, PlanRequest},
    },
    queue::{Host, PoolPlan},
};

fn settings(streams_max: usize, prefault: bool) -> Settings {
    Settings {
        format: Format::new(16_000, 2).unwrap(),
        ptime: Duration::from_millis(10),
        streams_max,
        ring_bytes: 1 << 14,
        prefault,
        clock: Clock::Live {
            speed: 1.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    }
}

fn request(settings: &Settings) -> PlanRequest {
    PlanRequest {
        plan: PoolPlan::new(settings.streams_max, settings.ring_bytes).unwrap(),
        audio: PlanAudio::new(settings.format, settings.ptime).unwrap(),
        rooms: settings.rooms_max,
        chosen_for: None,
        lock: false,
        huge_pages: false,
        playout: mixpool::playout::PlayoutSettings::default(),
    }
}

#[test]
fn a_running_server_is_planned_as_the_command_would_plan_it() {
    let settings = settings(500, false);
    let request = request(&settings);
    let planned = PlanReport::new(&request, &Host::detect());
    let running = Engine::new(settings).unwrap().start().unwrap();
    let told = running.handle().plan();
    assert_eq!(told.streams, 500);
    assert_eq!(
        (told.frame_bytes, told.block_samples),
        (planned.frame_bytes, 160)
    );
    assert_eq!(told.beside_pool, planned.beside_pool);
    assert_eq!(told.fits, planned.fits);
    for (told, planned) in told.limits.iter().zip(&planned.limits) {
        assert_eq!((told.name, told.needed), (planned.name, planned.needed));
    }
    // The start's cost is measured, not estimated.
    assert!(told.startup_ns.is_some() && told.prefault_startup_ns.is_none());
    let report = running.finish();
    let told_ms = told.startup_ns.unwrap() as f64 / 1e6;
    assert!((told_ms - report.startup_ms).abs() < 0.001);
}

#[test]
fn a_running_server_gives_back_the_mappings_of_its_own_pool() {
    let settings = settings(500, false);
    let request = request(&settings);
    // The mappings that are still free, before the server and in its own plan.
    let lost = || {
        let found = |plan: &PlanReport| {
            let mut limits = plan.limits.iter();
            let vmas = limits.find(|limit| limit.name == "vmas");
            vmas.and_then(|limit| limit.found).unwrap() as i64
        };
        let before = found(&PlanReport::new(&request, &Host::detect()));
        let running = Engine::new(settings.clone()).unwrap().start().unwrap();
        let own = found(&running.handle().plan());
        running.finish();
        before - own
    };
    // Five hundred each time if they were not given back. Other tests map and unmap meanwhile.
    assert!((0..50).any(|_| (-100..100).contains(&lost())));
}

#[test]
fn the_start_of_a_server_that_prefaults_is_told_as_such() {
    // A few rings, as the other test counts the mappings of this process.
    let running = Engine::new(settings(10, true)).unwrap().start().unwrap();
    let told = running.handle().plan();
    assert!(told.startup_ns.is_none() && told.prefault_startup_ns.is_some());
    let json = serde_json::to_value(&told).unwrap();
    for key in [
        "streams",
        "resident_bytes",
        "limits",
        "beside_pool",
        "fits",
        "notes",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    running.finish();
}
