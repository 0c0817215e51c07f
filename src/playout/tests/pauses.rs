//! Time in which the sender says nothing is no loss.

use super::*;

#[test]
fn a_jump_of_time_without_a_jump_of_numbers_is_a_pause() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..10, &[]);
    let later = 1_003 * MS + 60 * 20 * MS;
    rig.run_until(later);
    rig.push(10, 60 * 160, &ramp(0, PACKET), later);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (11 * 160, 0));
    let last = rig
        .heard
        .iter()
        .rposition(|(kind, _)| *kind == Sound::Audio);
    assert_eq!(last, Some(504 + 61 * 160 - 1));
}

#[test]
fn a_pause_that_was_announced_is_silent_at_once_and_no_gap() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..10, &[]);
    rig.playout.note(10, &mut rig.stream);
    rig.playout.pause(10 * 160, &mut rig.stream);
    // The numbers of the pause never were.
    for number in 11..60 {
        rig.playout.note(number, &mut rig.stream);
    }
    send(&mut rig, 60..61, &[]);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (11 * 160, 0));
    assert_eq!(silent(&rig), 50 * 160);
}

#[test]
fn a_packet_lost_at_the_end_of_a_pause_is_missed_there() {
    let mut rig = Rig::new(fixed(60));
    send(&mut rig, 0..10, &[]);
    rig.playout.note(10, &mut rig.stream);
    rig.playout.pause(10 * 160, &mut rig.stream);
    let later = 1_003 * MS + 60 * 20 * MS;
    rig.run_until(later);
    // Number 11 is lost.
    rig.push(12, 60 * 160, &ramp(0, PACKET), later);
    let (entry, _) = play_out(&mut rig);
    assert_eq!((entry.offered, entry.concealed), (11 * 160, 160));
}

#[test]
fn samples_without_numbers_are_contiguous_across_a_pause() {
    let mut rig = Rig::new(fixed(60));
    let mut sent = 0;
    for second in [0, 2] {
        for packet in 0..50 {
            let at_ns = 1_003 * MS + second * 1_000 * MS + packet * 20 * MS;
            rig.run_until(at_ns);
            rig.playout
                .append(&ramp(sent, PACKET), at_ns, &mut rig.stream);
            sent += 160;
        }
    }
    let (entry, _) = play_out(&mut rig);
    assert_eq!(rig.audio(), ramp(0, 16_000));
    assert_eq!((entry.concealed, entry.dropped() + entry.discarded), (0, 0));
    // The second half is where its arrival puts it.
    assert_eq!(rig.heard[504 + 16_000], (Sound::Audio, ramp(8000, 1)[0]));
}
