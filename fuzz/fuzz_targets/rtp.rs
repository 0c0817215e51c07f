//! RTP packets: what parses, written again, parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::rtp::Packet;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(packet) = Packet::parse(datagram) {
        let mut written = Vec::new();
        packet.write(&[1, 2, 3], &mut written);
        assert_eq!(Packet::parse(&written), Ok(packet));
    }
});
