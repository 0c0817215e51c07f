use super::*;
use crate::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes},
    engine::OpenRoom,
    ledger::{Account, SourceKind},
    mixer::{Command, Limiting, Mixer, NewInput, Settings},
    queue::{Pool, Producer},
};

const BLOCK: usize = 160;

/// A mixer of two slots, ticked by hand, and what is seen after each tick.
struct Rig {
    pool: Pool,
    mixer: Mixer,
    watch: TalkingWatch,
    running: Vec<Arc<Admitted>>,
}

impl Rig {
    fn new() -> Self {
        let (pool, consumer) = Pool::builder().slots(2).ring_bytes(4096).build().unwrap();
        let settings = Settings {
            first_block: 0,
            format: Format::new(8_000, 1).unwrap(),
            block_samples: BLOCK,
            limiting: Limiting::Limiter,
            rooms_max: 1,
            lead_ticks: 0,
        };
        let mixer = Mixer::new(settings, consumer);
        let watch = TalkingWatch::new(mixer.talking_news());
        Self {
            pool,
            mixer,
            watch,
            running: Vec::new(),
        }
    }

    fn stream(&mut self) -> Producer {
        let producer = self.pool.acquire().unwrap();
        let number = self.running.len() as u64;
        let account = Arc::new(Account::new(number.to_string()));
        let new = NewInput::new(producer.lease(), Arc::clone(&account));
        let (strip, main) = (new.channel_strip(), Arc::new(OpenRoom::for_test()));
        self.mixer.apply(Command::Admit(new));
        let from = (SourceKind::Library, String::new());
        let lease = producer.lease();
        let admitted = Admitted::new(account, strip, lease, main, from, Duration::ZERO, number);
        self.running.push(Arc::new(admitted));
        producer
    }

    /// A tick with these streams loud, and its events.
    fn tick(&mut self, loud: &mut [&mut Producer]) -> Vec<(String, bool, u64)> {
        let first = self.mixer.next_tick() * BLOCK as u64;
        for producer in loud.iter_mut() {
            say(producer, first);
        }
        self.mixer.collect();
        self.mixer.tick(self.mixer.next_tick());
        self.mixer.send_feeds();
        self.look()
    }

    fn look(&mut self) -> Vec<(String, bool, u64)> {
        let seen = self.watch.count;
        self.running.retain(|stream| stream.is_running());
        self.watch.look(Duration::ZERO, || self.running.clone());
        let events = self.watch.after(seen).into_iter();
        events
            .map(|event| (event.stream.id().to_owned(), event.is_talking, event.sample))
            .collect()
    }
}

/// Sends a loud block.
fn say(producer: &mut Producer, first: u64) {
    let fill = |message: &mut [u8]| {
        let mut frame = FrameMut::new(message).unwrap();
        frame.samples_mut().fill(1_000);
        frame.seal(FrameHeader::new(first, BLOCK));
    };
    producer.publish_with(frame_bytes(BLOCK), fill).unwrap();
}

fn event(id: &str, is_talking: bool, tick: u64) -> (String, bool, u64) {
    (id.to_owned(), is_talking, tick * BLOCK as u64)
}

#[test]
fn the_tick_after_the_first_loud_one_has_the_event() {
    let mut rig = Rig::new();
    let (mut one, mut other) = (rig.stream(), rig.stream());
    assert_eq!(rig.tick(&mut [&mut one]), []);
    assert_eq!(rig.tick(&mut [&mut one, &mut other]), [event("0", true, 1)]);
    assert_eq!(rig.tick(&mut [&mut other]), [event("1", true, 2)]);
    let mut later = Vec::new();
    for _ in 0..30 {
        later.extend(rig.tick(&mut [&mut other]));
    }
    // 500 ms are 25 blocks.
    assert_eq!(later, [event("0", false, 26)]);
}

#[test]
fn the_end_of_a_talker_is_an_event_though_its_slot_is_taken() {
    let mut rig = Rig::new();
    let mut one = rig.stream();
    rig.tick(&mut [&mut one]);
    assert_eq!(rig.tick(&mut [&mut one]), [event("0", true, 1)]);
    drop(one);
    rig.mixer.collect();
    rig.mixer.tick(rig.mixer.next_tick());
    rig.mixer.collect();
    // There was no look since.
    rig.running.clear();
    let mut next = rig.stream();
    assert_eq!(next.lease().slot(), 0);
    let (mut told, ticks) = (Vec::new(), rig.mixer.next_tick());
    for _ in 0..2 {
        told.extend(rig.tick(&mut [&mut next]));
    }
    assert_eq!(told, [event("0", false, 2), event("0", true, ticks + 1)]);
}

#[test]
fn what_began_and_ended_between_two_looks_has_no_event() {
    let mut rig = Rig::new();
    let mut one = rig.stream();
    for tick in 0..40 {
        if tick < 2 {
            let first = rig.mixer.next_tick() * BLOCK as u64;
            say(&mut one, first);
        }
        rig.mixer.collect();
        rig.mixer.tick(rig.mixer.next_tick());
    }
    assert_eq!(rig.look(), []);
    assert_eq!(
        rig.running[0].levels().talked,
        Duration::from_millis(20) * 25
    );
}

#[test]
fn the_log_of_talking_forgets_the_oldest() {
    let mut rig = Rig::new();
    let one = rig.stream();
    for number in 1..=EVENTS_MAX as u64 + 3 {
        let stream = Arc::clone(&rig.running[0]);
        rig.watch.note(Duration::ZERO, stream, true, number);
    }
    let kept = rig.watch.after(0);
    assert_eq!((kept.len(), kept[0].number), (EVENTS_MAX, 4));
    assert!(rig.watch.after(u64::MAX).is_empty());
    drop(one);
}
