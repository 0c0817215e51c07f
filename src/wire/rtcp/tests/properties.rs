//! Round trips, another implementation, and any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use rtcp_types::prelude::*;

use super::{super::*, Held, empty_report, held, name, packet};

fn any_report() -> impl Strategy<Value = Report> {
    (any::<[u32; 5]>(), any::<u8>(), -0x80_0000..0x80_0000).prop_map(
        |([ssrc, highest_sequence, jitter, last, since], fraction_lost, lost)| Report {
            ssrc,
            fraction_lost,
            lost,
            highest_sequence,
            jitter,
            last_sender_report: last,
            since_last_sender_report: since,
        },
    )
}

fn any_sender() -> impl Strategy<Value = SenderInfo> {
    any::<(u32, u64, u32, u32, u32)>().prop_map(|(ssrc, ntp, timestamp, packets, bytes)| {
        SenderInfo {
            ssrc,
            ntp,
            timestamp,
            packets,
            bytes,
        }
    })
}

/// A report as the other crate reads it.
fn theirs(report: &rtcp_types::ReportBlock) -> Report {
    Report {
        ssrc: report.ssrc(),
        fraction_lost: report.fraction_lost(),
        // Theirs is unsigned.
        lost: (report.cumulative_lost() << 8) as i32 >> 8,
        highest_sequence: report.extended_sequence_number(),
        jitter: report.interarrival_jitter(),
        last_sender_report: report.last_sender_report_timestamp(),
        since_last_sender_report: report.delay_since_last_sender_report_timestamp(),
    }
}

/// Reports and goodbyes as the other crate reads them; of a description, its first source alone.
fn held_by_theirs(bytes: &[u8]) -> Vec<Held> {
    rtcp_types::Compound::parse(bytes)
        .unwrap()
        .map(|packet| match packet.unwrap() {
            rtcp_types::Packet::Sr(sr) => Held::Sender(
                SenderInfo {
                    ssrc: sr.ssrc(),
                    ntp: sr.ntp_timestamp(),
                    timestamp: sr.rtp_timestamp(),
                    packets: sr.packet_count(),
                    bytes: sr.octet_count(),
                },
                sr.report_blocks().map(|block| theirs(&block)).collect(),
            ),
            rtcp_types::Packet::Rr(rr) => Held::Receiver(
                rr.ssrc(),
                rr.report_blocks().map(|block| theirs(&block)).collect(),
            ),
            rtcp_types::Packet::Sdes(sdes) => {
                let chunk = sdes.chunks().next().unwrap();
                let cname = chunk.items().next().unwrap();
                assert_eq!(cname.type_(), rtcp_types::SdesItem::CNAME);
                Held::Names(vec![(chunk.ssrc(), Some(cname.value().to_vec()))])
            }
            rtcp_types::Packet::Bye(bye) => {
                Held::Bye(bye.ssrcs().collect(), bye.reason().map(<[u8]>::to_vec))
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same_here_and_elsewhere(
        sender in any_sender(),
        reports in vec(any_report(), 0..=31),
        // Theirs refuses a name of one byte, though it is allowed.
        cname in "[a-z@.é]{2,100}",
        reason in "[a-z ]{0,255}",
        before in vec(any::<u8>(), 0..9),
        sends: bool,
    ) {
        let mut bytes = before.clone();
        if sends {
            write_sender_report(&sender, &reports, &cname, &mut bytes);
        } else {
            write_receiver_report(sender.ssrc, &reports, &cname, &mut bytes);
        }
        write_bye(sender.ssrc, &reason, &mut bytes);
        prop_assert!(bytes.starts_with(&before));
        let bytes = &bytes[before.len()..];
        prop_assert!(is_rtcp(bytes));
        let reason = (!reason.is_empty()).then(|| reason.into_bytes());
        let expected = [
            if sends { Held::Sender(sender, reports) } else { Held::Receiver(sender.ssrc, reports) },
            name(sender.ssrc, &cname),
            Held::Bye(vec![sender.ssrc], reason),
        ];
        prop_assert_eq!(&held(bytes).unwrap()[..], &expected);
        prop_assert_eq!(&held_by_theirs(bytes)[..], &expected);
    }

    #[test]
    fn what_another_writes_is_read(
        ssrcs in vec(any::<u32>(), 0..=31),
        names in vec((any::<u32>(), "[a-z@.é]{0,100}"), 0..=31),
        reason in "[a-z ]{0,255}",
        padding in prop::sample::select(vec![0u8, 4, 8, 252]),
    ) {
        // Behind a reason theirs does not put the padding at the packet's end.
        let reason = if padding > 0 { String::new() } else { reason };
        let mut sdes = rtcp_types::Sdes::builder();
        for (ssrc, cname) in &names {
            let item = rtcp_types::SdesItem::builder(rtcp_types::SdesItem::CNAME, cname);
            sdes = sdes.add_chunk(rtcp_types::SdesChunk::builder(*ssrc).add_item(item));
        }
        let mut bye = rtcp_types::Bye::builder().reason(&*reason).padding(padding);
        for ssrc in &ssrcs {
            bye = bye.add_source(*ssrc);
        }
        let compound = rtcp_types::Compound::builder()
            .add_packet(rtcp_types::ReceiverReport::builder(3))
            .add_packet(sdes)
            .add_packet(bye);
        let mut bytes = vec![0; compound.calculate_size().unwrap()];
        compound.write_into(&mut bytes).unwrap();
        drop(compound);
        let names = names.into_iter().map(|(ssrc, cname)| (ssrc, Some(cname.into_bytes()))).collect();
        let reason = (!reason.is_empty()).then(|| reason.into_bytes());
        prop_assert_eq!(
            held(&bytes).unwrap(),
            [Held::Receiver(3, vec![]), Held::Names(names), Held::Bye(ssrcs, reason)]
        );
    }

    #[test]
    fn any_bytes_are_taken_or_refused_and_what_is_taken_adds_up(
        kinds in vec((any::<u8>(), 199..206u8, vec(any::<[u8; 4]>(), 0..12)), 0..5),
        noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        whole in prop::bool::weighted(0.8),
    ) {
        let mut bytes = empty_report();
        for (flags, kind, words) in kinds {
            bytes.extend(packet(flags & 0x23, kind, &words.concat()));
        }
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(held) = held(&bytes) {
            // A walk over the headers, as in the RFC, counts as many of the known kinds.
            let (mut at, mut known) = (0, 0);
            while at < bytes.len() {
                known += usize::from((200..=203).contains(&bytes[at + 1]));
                at += 4 * (1 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])));
            }
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(held.len(), known);
        }
    }
}
