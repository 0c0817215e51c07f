//! The needs of a server's pool, and whether this host can meet them.
//!
//! The figures come from the code that builds the pool. Nothing of the plan's size is allocated; the
//! start-up cost is scaled up from small pools that are built for a moment, or that of a server that runs.

mod beside;
mod cost;
mod notes;
mod tick;

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

pub use self::beside::BesideReport;
use self::{cost::Cost, tick::TickCost};
use super::{Handle, Settings};
use crate::{
    audio::{Format, FormatError, frame::frame_bytes},
    mixer::{self, Limiting},
    playout::PlayoutSettings,
    queue::{Host, HugePages, LimitCheck, PoolPlan},
};

/// The audio that the default ring holds.
const MINUTE: Duration = Duration::from_secs(60);

/// The audio that a ring of the plan holds.
#[derive(Debug, Clone, Copy)]
pub struct PlanAudio {
    format: Format,
    ptime: Duration,
    /// Samples per channel in a frame.
    block_samples: usize,
}

impl PlanAudio {
    /// Frames of so much audio.
    ///
    /// # Errors
    /// [`FormatError`], if no whole number of samples is so long.
    pub fn new(format: Format, ptime: Duration) -> Result<Self, FormatError> {
        Ok(Self {
            format,
            ptime,
            block_samples: format.block_samples(ptime)?,
        })
    }

    /// The length of a frame.
    pub fn ptime(&self) -> Duration {
        self.ptime
    }

    /// Bytes of one frame, as a message.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.block_samples * usize::from(self.format.channels()))
    }

    /// The audio in a ring that is full of whole frames.
    pub fn buffered(&self, plan: &PoolPlan) -> Duration {
        let frames = plan.messages_per_ring(self.frame_bytes());
        self.format.duration_of(frames * self.block_samples as u64)
    }

    /// The smallest ring that holds so much audio; `None` if not even the largest does, 4 GiB.
    pub fn ring_bytes_for(&self, hold: Duration) -> Option<usize> {
        let frames = hold.as_nanos().div_ceil(self.ptime.as_nanos());
        PoolPlan::ring_bytes_for(u64::try_from(frames).ok()?, self.frame_bytes())
    }
}

/// The pool to plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest {
    /// The pool.
    pub plan: PoolPlan,
    /// The audio that its rings hold.
    pub audio: PlanAudio,
    /// Rooms at once, `main` among them: at least 1.
    pub rooms: usize,
    /// The ring was chosen for this much audio.
    pub chosen_for: Option<Duration>,
    /// Whether the rings are to be locked in RAM.
    pub lock: bool,
    /// Whether they are to be in huge pages.
    pub huge_pages: bool,
    /// How network streams are played.
    pub playout: PlayoutSettings,
}

impl PlanRequest {
    /// The settings of its mixer.
    fn mixing(&self) -> mixer::Settings {
        mixer::Settings {
            first_block: 0,
            format: self.audio.format,
            block_samples: self.audio.block_samples,
            limiting: Limiting::Limiter,
            rooms_max: self.rooms,
            lead_ticks: 0,
        }
    }
}

/// The plan. Its JSON keys are the project's words in `snake_case`, units last.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct PlanReport {
    /// Rings of the pool: the most streams at once.
    pub streams: usize,
    /// Rooms at once, `main` among them.
    pub rooms: usize,
    pub rate_hz: u32,
    pub channels: u16,
    /// Length of a frame.
    pub ptime_ns: u64,
    /// Samples per channel of a frame.
    pub block_samples: usize,
    /// Bytes of a frame, as a message.
    pub frame_bytes: usize,
    pub frames_per_ring: u64,
    pub ring_bytes: usize,
    /// Audio in a ring that is full.
    pub buffered_seconds: f64,
    /// Once all rings have been full.
    pub resident_bytes: u64,
    /// Address space: each ring twice.
    pub virtual_bytes: u64,
    pub metadata_bytes: u64,
    pub page_table_bytes: u64,
    /// Mappings.
    pub vmas: u64,
    pub descriptors: u64,
    /// The duration of a start without prefaulting; `null` if it is not known.
    pub startup_ns: Option<u64>,
    /// The duration of a start that prefaults; `null` if it is not known.
    pub prefault_startup_ns: Option<u64>,
    /// The duration of a tick in which all streams play, spread over the rooms; `null` if it is not known.
    pub tick_ns: Option<u64>,
    /// Whether the rings are locked in RAM.
    pub lock: bool,
    pub huge_pages: HugePagesReport,
    /// Memory taken beside the pool, for each of its kind.
    pub beside_pool: Vec<BesideReport>,
    /// Whether all limits do.
    pub fits: bool,
    pub limits: Vec<LimitReport>,
    /// Sentences for people.
    pub notes: Vec<String>,
}

/// A request, and whether this host grants it: no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HugePagesReport {
    /// Whether it is wished.
    pub asked: bool,
    /// Their size; `null` if the host offers none.
    pub page_bytes: Option<usize>,
    /// The remedy.
    pub remedy: Option<&'static str>,
}

impl HugePagesReport {
    fn new(asked: bool, found: HugePages) -> Self {
        Self {
            asked,
            page_bytes: found.page_bytes(),
            remedy: found.remedy(),
        }
    }
}

/// One limit of the host beside what is needed of it: the queue's [`LimitCheck`] again, as that crate has neither
/// serde nor a schema, and a remote derive would list the same fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LimitReport {
    /// The limited resource, with its unit last.
    pub name: &'static str,
    /// The setting of the limit, by the host's own name for it.
    pub set_by: &'static str,
    /// The amount needed.
    pub needed: u64,
    /// The limit of this process; `null` if there is none.
    pub found: Option<u64>,
    /// Whether it fits.
    pub ok: bool,
    /// The remedy where it does not.
    pub remedy: &'static str,
}

impl From<LimitCheck> for LimitReport {
    fn from(check: LimitCheck) -> Self {
        Self {
            name: check.name,
            set_by: check.set_by,
            needed: check.needed,
            found: check.found,
            ok: check.ok,
            remedy: check.remedy,
        }
    }
}

impl PlanReport {
    /// The plan of a server that is yet to be started on this host. Builds small pools to estimate its
    /// start and its ticks: takes about 200 ms, and 16 MiB for as long.
    pub fn new(request: &PlanRequest, host: &Host) -> Self {
        let cost = cost::estimate(&request.plan, host, request.huge_pages);
        let tick = tick::estimate(request, host);
        Self::at_cost(request, host, cost, tick)
    }

    fn at_cost(request: &PlanRequest, host: &Host, cost: Cost, tick: TickCost) -> Self {
        let PlanRequest { plan, audio, .. } = request;
        let checks = plan.check(host, request.lock);
        let beside = beside::beside(request);
        let mut notes = notes::of_audio(request);
        notes.extend(notes::of_host(request, host));
        notes.push(notes::OF_RSS.to_owned());
        notes.push(notes::of_beside(&beside));
        notes.extend([cost.basis, tick.basis]);
        Self {
            streams: plan.slots,
            rooms: request.rooms,
            rate_hz: audio.format.rate_hz(),
            channels: audio.format.channels(),
            ptime_ns: audio.ptime.as_nanos() as u64,
            block_samples: audio.block_samples,
            frame_bytes: audio.frame_bytes(),
            frames_per_ring: plan.messages_per_ring(audio.frame_bytes()),
            ring_bytes: plan.ring_bytes,
            buffered_seconds: audio.buffered(plan).as_secs_f64(),
            resident_bytes: plan.resident_bytes,
            virtual_bytes: plan.virtual_bytes,
            metadata_bytes: plan.metadata_bytes,
            page_table_bytes: plan.page_table_bytes,
            vmas: plan.vmas,
            descriptors: plan.descriptors,
            startup_ns: cost.startup_ns,
            prefault_startup_ns: cost.prefault_startup_ns,
            tick_ns: tick.ns,
            lock: request.lock,
            huge_pages: HugePagesReport::new(request.huge_pages, host.huge_pages),
            beside_pool: beside,
            fits: checks.iter().all(|check| check.ok),
            limits: checks.into_iter().map(LimitReport::from).collect(),
            notes,
        }
    }
}

impl Handle {
    /// The plan of this server, and whether this host would have room for it now, if it were not here yet:
    /// the share of its pool is counted as free. Start-up is the one that it had, and the tick is the median so far. Opens
    /// some dozen files under `/proc` and `/sys`: takes a few milliseconds.
    ///
    /// # Panics
    /// Never: a server that runs had its settings checked.
    pub fn plan(&self) -> PlanReport {
        let Settings {
            format,
            ptime,
            streams_max,
            rooms_max,
            ring_bytes,
            prefault,
            huge_pages,
            realtime,
            ..
        } = *self.settings();
        let shared = self.shared();
        let request = PlanRequest {
            plan: PoolPlan::new(streams_max, ring_bytes).expect(CHECKED),
            audio: PlanAudio::new(format, ptime).expect(CHECKED),
            rooms: rooms_max,
            chosen_for: None,
            lock: realtime.lock_memory,
            huge_pages,
            playout: shared.tuning.borrow().playout,
        };
        let prefaulted = prefault || huge_pages;
        let took = Some(shared.startup.as_nanos() as u64);
        let cost = Cost {
            startup_ns: took.filter(|_| !prefaulted),
            prefault_startup_ns: took.filter(|_| prefaulted),
            basis: "Start-up is that of this server.".to_owned(),
        };
        let status = self.status();
        let tick = TickCost {
            ns: (status.ticks > 0).then_some(status.tick_time.p50_ns),
            basis: format!(
                "The time of a tick is the median of the {} that this server has run.",
                status.ticks
            ),
        };
        let mut host = Host::detect();
        give_back(&mut host, &request);
        PlanReport::at_cost(&request, &host, cost, tick)
    }
}

const CHECKED: &str = "a server that runs had its settings checked";

/// Counts as free what the pool has of the host.
fn give_back(host: &mut Host, request: &PlanRequest) {
    let plan = &request.plan;
    let add = |free: &mut Option<u64>, had: u64| {
        if let Some(free) = free {
            *free = free.saturating_add(had);
        }
    };
    add(
        &mut host.address_space_bytes,
        plan.virtual_bytes + plan.metadata_bytes,
    );
    add(
        &mut host.commit_bytes,
        plan.resident_bytes + plan.metadata_bytes,
    );
    add(&mut host.vmas, plan.vmas);
    add(&mut host.descriptors, plan.descriptors);
    if request.lock {
        add(&mut host.locked_bytes, plan.virtual_bytes);
    }
}
