//! Talking: by the incoming side, from the tick of the first loud samples on, by the rule of the stream's room.

use std::{sync::Arc, time::Duration};

use mixpool::{
    audio::{Gain, TalkingRule},
    mixer::{ChannelStrip, Command, Room, RoomId},
};

use crate::rig::{BLOCK, Rig, Setup, TestStream};

const N: u64 = BLOCK as u64;
const BLOCK_TIME: Duration = Duration::from_millis(20);

/// Blocks of 20 ms: two loud ones begin it, five quiet ones end it.
const RULE: TalkingRule = TalkingRule {
    threshold_dbfs: -40.0,
    hold: Duration::from_millis(100),
};

/// -40 dBFS is 327.68.
const LOUD: i16 = 328;
const QUIET: i16 = 327;

fn rig() -> Rig {
    let mut rig = Setup::mono().rooms(3).rig();
    rig.mixer.apply(Command::SetTalking(RoomId::MAIN, RULE));
    rig
}

fn tick(rig: &mut Rig) {
    rig.mixer.collect();
    rig.mixer.tick(rig.mixer.next_tick());
    rig.send_feeds();
}

/// One tick with a block of the stream, the last sample of which is this.
fn say(rig: &mut Rig, sender: &mut TestStream, sample: i16) {
    let mut block = [0; BLOCK];
    block[BLOCK - 1] = sample;
    sender.place(rig.mixer.next_tick() * N, &block);
    tick(rig);
}

/// After how many ticks it talks, or no more; 0 if not within fifty.
fn ticks_until(
    rig: &mut Rig,
    (sender, strip): (&mut TestStream, &ChannelStrip),
    is_talking: bool,
    sample: i16,
) -> u64 {
    for ticks in 1..=50 {
        say(rig, sender, sample);
        if strip.read().talking == is_talking {
            return ticks;
        }
    }
    0
}

fn news(rig: &Rig) -> Vec<usize> {
    rig.mixer.talking_news().take().collect()
}

#[test]
fn a_stream_talks_one_tick_after_its_first_loud_sample() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    let slot = sender.lease().slot();
    assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), true, QUIET), 0);
    assert_eq!((news(&rig), strip.talking()), (vec![], (false, 0)));
    assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), true, -LOUD), 2);
    assert_eq!((news(&rig), strip.talking()), (vec![slot], (true, 51 * N)));
    assert_eq!(
        ticks_until(&mut rig, (&mut sender, &strip), false, QUIET),
        5
    );
    assert_eq!((news(&rig), strip.talking()), (vec![slot], (false, 56 * N)));
}

#[test]
fn ticks_without_a_block_are_quiet() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    ticks_until(&mut rig, (&mut sender, &strip), true, LOUD);
    for ticks in 1..=5 {
        tick(&mut rig);
        assert_eq!(strip.read().talking, ticks < 5, "{ticks} ticks");
    }
}

#[test]
fn gain_and_mute_change_nothing_of_who_talks() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    let lease = sender.lease();
    rig.mixer.apply(Command::SetMuted(lease, true));
    rig.mixer.apply(Command::SetGain(lease, Gain::SILENCE));
    assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), true, LOUD), 2);
    let loudest = Gain::from_linear(16.0).unwrap();
    rig.mixer.apply(Command::SetGain(lease, loudest));
    rig.mixer.apply(Command::SetMuted(lease, false));
    assert_eq!(
        ticks_until(&mut rig, (&mut sender, &strip), false, QUIET),
        5
    );
}

#[test]
fn a_moved_stream_takes_the_rule_of_its_new_room() {
    let mut rig = rig();
    let rooms = [1, 2].map(|slot| RoomId::new(slot, 0));
    let higher = TalkingRule {
        threshold_dbfs: -20.0,
        hold: Duration::from_millis(40),
    };
    let room = Room::new(rooms[0], &rig.settings).talking(higher);
    rig.mixer.apply(Command::OpenRoom(Box::new(room)));
    rig.open_room(rooms[1]);
    rig.mixer.apply(Command::SetTalking(rooms[1], RULE));
    let (mut sender, strip) = rig.channel_strip();
    assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), true, LOUD), 2);
    for fade in [true, false] {
        rig.move_to(sender.lease(), rooms[0], fade);
        assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), false, LOUD), 2);
        rig.move_to(sender.lease(), rooms[1], fade);
        assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), true, LOUD), 2);
    }
}

#[test]
fn a_rule_that_changes_is_in_force_with_the_next_tick() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    ticks_until(&mut rig, (&mut sender, &strip), true, LOUD);
    let longer = TalkingRule {
        hold: Duration::from_millis(600),
        ..RULE
    };
    rig.mixer.apply(Command::SetTalking(RoomId::MAIN, longer));
    let pair = (&mut sender, &*strip);
    assert_eq!(ticks_until(&mut rig, pair, false, QUIET), 30);
    // There is no such room.
    rig.mixer
        .apply(Command::SetTalking(RoomId::new(1, 0), RULE));
}

#[test]
fn a_stream_that_ends_talks_no_more() {
    for by_command in [false, true] {
        let mut rig = rig();
        let (mut sender, strip) = rig.channel_strip();
        let slot = sender.lease().slot();
        ticks_until(&mut rig, (&mut sender, &strip), true, LOUD);
        assert_eq!(news(&rig), [slot]);
        if by_command {
            rig.mixer.apply(Command::End(sender.lease()));
        }
        let account = Arc::clone(&sender.account);
        sender.close();
        (0..2).for_each(|_| tick(&mut rig));
        assert_eq!((news(&rig), strip.talking()), (vec![slot], (false, 2 * N)));
        assert_eq!(account.state(), mixpool::ledger::StreamState::Ended);
        assert!(strip.read().talked > Duration::ZERO);
    }
}

#[test]
fn what_is_discarded_of_an_ended_stream_is_quiet() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    ticks_until(&mut rig, (&mut sender, &strip), true, LOUD);
    rig.mixer.apply(Command::End(sender.lease()));
    // It fades out in the first.
    assert_eq!(ticks_until(&mut rig, (&mut sender, &strip), false, LOUD), 6);
}

#[test]
fn talked_time_is_that_of_the_ticks_in_which_it_talks() {
    let mut rig = rig();
    let (mut sender, strip) = rig.channel_strip();
    let mut talking = Duration::ZERO;
    for number in 0..200 {
        let sample = if number % 23 < 9 { LOUD } else { 0 };
        say(&mut rig, &mut sender, sample);
        let levels = strip.read();
        talking += BLOCK_TIME * u32::from(levels.talking);
        assert!(talking <= levels.talked + 5 * BLOCK_TIME, "{levels:?}");
    }
    assert!(talking > 50 * BLOCK_TIME);
    sender.close();
    (0..2).for_each(|_| tick(&mut rig));
    let talked = strip.read().talked;
    assert!(
        (talking..=talking + 2 * BLOCK_TIME).contains(&talked),
        "{talked:?}"
    );
}
