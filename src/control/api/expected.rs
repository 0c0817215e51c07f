//! `/api/v1/rooms/{room}/expected`: senders that are announced before they send.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Created,
    rooms::refused,
    sources::encoded,
    stream::{busy, gain, some},
};
use crate::{
    control::{
        extract::{Body, Name, Names},
        problem::Problem,
        state::State,
    },
    engine::{Admitted, Change, finite},
    net::{AnnounceError, Announcement, Expected, RtpEntrance, SenderMark},
    os::now_ns,
    wire::{
        audiosocket::{uuid, uuid_text},
        label::Label,
        payload::{Payload, PayloadMap},
        sdp::{self, Offer},
    },
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(expected, expect))
        .routes(routes!(expect_no_more))
}

/// A sender that is to come: by `audiosocket`, `rtp` or `sdp`, one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExpectBody {
    /// The UUID of its AudioSocket connection.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = String, example = "40325ec2-5efd-4bd3-805f-53576e581d13")]
    audiosocket: Option<String>,
    /// The address and port that its RTP comes from.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = String, example = "192.0.2.7:16384")]
    rtp: Option<String>,
    /// Its offer (RFC 3264), which has the address, the codecs and the direction.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = String)]
    sdp: Option<String>,
    /// The SSRC of its packets; any if it is left out. With `rtp` or `sdp`, as the following two.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = u32)]
    ssrc: Option<u32>,
    /// Its codec: `PCMU`, or with a payload type of its own `111=opus/48000/2`. With `rtp` alone; any that the server's
    /// `--rtp` takes if it is left out.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = String, example = "PCMA")]
    codec: Option<String>,
    /// Where its mix goes; to where its packets come from if it is left out.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = String, example = "192.0.2.7:16384")]
    return_to: Option<String>,
    /// The label for people, without control characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    label: Option<Label>,
    /// In dB; without it, that of the server.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -96, maximum = 24)]
    gain_db: Option<f64>,
    /// Whether it is muted from its first sample on.
    #[serde(default)]
    muted: bool,
}

/// A sender that was announced.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Expected)]
struct ExpectedBody {
    /// No other announcement ever has it.
    id: u64,
    /// Its room.
    room: String,
    /// The UUID of its AudioSocket connection.
    audiosocket: Option<String>,
    /// The address and port that its RTP comes from.
    rtp: Option<String>,
    /// The SSRC of its packets; null for any.
    ssrc: Option<u32>,
    /// Where its mix goes; null for where its packets come from.
    return_to: Option<String>,
    /// The label for people.
    label: Option<String>,
    /// In dB; null for that of the server.
    gain_db: Option<f32>,
    /// Whether it is muted from its first sample on.
    muted: bool,
    /// The announcement is forgotten after so long, unless a stream of it runs.
    expires_s: f64,
    /// Where it sends to: an address and a port of this server.
    local: String,
    /// The answer to its offer, or the description of `local` where there was none; null in a list, and for AudioSocket.
    sdp: Option<String>,
    /// The stream that sends from there already, and was moved into the room.
    stream: Option<String>,
}

/// The senders that were announced for a room.
#[derive(Debug, Serialize, ToSchema)]
struct ExpectedSendersBody {
    /// In the order of their announcements.
    expected: Vec<ExpectedBody>,
}

impl ExpectedBody {
    fn new(expected: &Expected, local: SocketAddr) -> Self {
        let sender = &expected.sender;
        let (audiosocket, rtp) = match sender.mark {
            SenderMark::AudioSocket(uuid) => (Some(uuid_text(uuid)), None),
            SenderMark::Rtp(address) => (None, Some(address.to_string())),
        };
        Self {
            id: expected.number(),
            room: sender.room.clone(),
            audiosocket,
            rtp,
            ssrc: sender.ssrc,
            return_to: sender.return_to.map(|to| to.to_string()),
            label: sender
                .label
                .clone()
                .map(|label| Arc::<str>::from(label).to_string()),
            gain_db: sender.gain.and_then(|gain| finite(gain.db())),
            muted: sender.muted,
            expires_s: expected.left(now_ns()).as_secs_f64(),
            local: local.to_string(),
            sdp: None,
            stream: None,
        }
    }
}

fn field(name: &str, why: impl std::fmt::Display) -> Problem {
    Problem::bad_request(format!("in the JSON body: `{name}`: {why}"))
}

/// An address that a host sends from, with its port.
fn sender_address(name: &str, text: &str) -> Result<SocketAddr, Problem> {
    let address: Option<SocketAddr> = text.parse().ok();
    let address =
        address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let is_host = |address: &SocketAddr| {
        !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() > 0
    };
    address.filter(is_host).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        let text = text.escape_debug();
        field(
            name,
            format!("`{text}` is no address of a host with a port, as 192.0.2.7:16384"),
        )
    })
}

/// The payload types with this codec, and the type.
fn with_codec(
    text: &str,
    mut payloads: PayloadMap,
) -> Result<(PayloadMap, (u8, Payload)), Problem> {
    let number = if text.contains('=') {
        payloads
            .define(text)
            .map_err(|error| field("codec", error))?
    } else {
        let is_it = |number: &u8| match payloads.get(*number) {
            Payload::Audio(audio) => {
                audio.codec.name().eq_ignore_ascii_case(text) || audio.to_string() == text
            }
            _ => false,
        };
        (0..96).find(is_it).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            let text = text.escape_debug();
            field(
                "codec",
                format!("`{text}` has no payload type of its own: write TYPE=NAME/RATE, as 111=opus/48000/2"),
            )
        })?
    };
    let payload = payloads.get(number);
    Ok((payloads, (number, payload)))
}

/// All types of a map that have a meaning.
fn known(payloads: &PayloadMap) -> Vec<(u8, Payload)> {
    let all = (0..128).map(|number| (number, payloads.get(number)));
    all.filter(|(_, payload)| *payload != Payload::Unsupported)
        .collect()
}

/// The address of this host that a sender of this address reaches, for a listener on any of them.
fn reached(listening: SocketAddr, from: IpAddr) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let any: IpAddr = match from {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel chooses by its routes; nothing is sent.
    let local = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((from, 9))?;
        socket.local_addr()
    });
    local.map_or(listening, |local| {
        SocketAddr::new(local.ip(), listening.port())
    })
}

impl State {
    fn rtp_entrance(&self) -> Result<RtpEntrance, Problem> {
        self.handle.expected().rtp_entrance().ok_or_else(|| {
            Problem::conflict("this server takes no RTP: start it with --rtp ADDR,return=on")
        })
    }

    fn audiosocket_entrance(&self) -> Result<SocketAddr, Problem> {
        self.handle
            .expected()
            .audiosocket_entrance()
            .ok_or_else(|| {
                Problem::conflict(
                    "this server takes no AudioSocket: start it with --audiosocket ADDR",
                )
            })
    }
}

/// The description for the sender, once its announcement has a number.
type Answer = Box<dyn FnOnce(u64) -> Option<String> + Send>;

impl ExpectBody {
    /// The announcement, where it is to send, and the answer to it.
    fn announcement(
        self,
        room: String,
        state: &State,
    ) -> Result<(Announcement, SocketAddr, Answer), Problem> {
        let mut sender = Announcement {
            mark: SenderMark::AudioSocket([0; 16]),
            room,
            label: self.label,
            gain: self.gain_db.map(gain).transpose()?,
            muted: self.muted,
            ssrc: self.ssrc,
            payloads: None,
            return_to: None,
            returns: true,
        };
        let of_rtp = [
            ("ssrc", self.ssrc.is_some()),
            ("codec", self.codec.is_some()),
            ("return_to", self.return_to.is_some()),
        ];
        if let Some(to) = &self.return_to {
            sender.return_to = Some(sender_address("return_to", to)?);
        }
        match (self.audiosocket, self.rtp, self.sdp) {
            (Some(text), None, None) => {
                let uuid = uuid(&text);
                let uuid = uuid.ok_or_else(|| field("audiosocket", "it is no UUID"))?;
                if let Some((name, _)) = of_rtp.into_iter().find(|(_, is_there)| *is_there) {
                    return Err(field(name, "RTP has it, and AudioSocket has not"));
                }
                sender.mark = SenderMark::AudioSocket(uuid);
                let local = state.audiosocket_entrance()?;
                Ok((sender, local, Box::new(|_| None)))
            }
            (None, Some(from), None) => {
                let from = sender_address("rtp", &from)?;
                let entrance = state.rtp_entrance()?;
                sender.mark = SenderMark::Rtp(from);
                let mut payloads = known(&entrance.payloads);
                if let Some(codec) = &self.codec {
                    let (map, one) = with_codec(codec, entrance.payloads.clone())?;
                    sender.payloads = Some(map);
                    payloads.retain(|(_, payload)| !matches!(payload, Payload::Audio(_)));
                    payloads.retain(|(number, _)| *number != one.0);
                    payloads.insert(0, one);
                }
                sender.returns = entrance.returns;
                let local = reached(entrance.address, from.ip());
                let describe = move |number: u64| {
                    Some(sdp::describe(
                        local,
                        number as u32,
                        &payloads,
                        entrance.returns,
                    ))
                };
                Ok((sender, local, Box::new(describe)))
            }
            (None, None, Some(text)) => {
                if self.codec.is_some() {
                    return Err(field("codec", "the offer in `sdp` has it"));
                }
                let offer: Offer = text.parse().map_err(|error| field("sdp", error))?;
                let entrance = state.rtp_entrance()?;
                sender.mark = SenderMark::Rtp(offer.address);
                sender.payloads = Some(offer.payloads_over(entrance.payloads));
                sender.returns = entrance.returns && offer.direction.receives();
                let local = reached(entrance.address, offer.address.ip());
                let answer =
                    move |number: u64| Some(offer.answer(local, number as u32, entrance.returns));
                Ok((sender, local, Box::new(answer)))
            }
            _ => Err(field(
                "audiosocket`, `rtp`, `sdp",
                "exactly one of them says which sender is to come",
            )),
        }
    }
}

/// The senders that were announced for a room, and have not been forgotten.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/expected", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    responses((status = 200, description = "They", body = ExpectedSendersBody))
)]
async fn expected(
    Shared(state): Shared<Arc<State>>,
    Name(room): Name,
) -> Result<Json<ExpectedSendersBody>, Problem> {
    state.handle.room(&room).map_err(refused)?;
    let all = state.handle.expected();
    let local = |expected: &Expected| match expected.sender.mark {
        SenderMark::AudioSocket(_) => all.audiosocket_entrance(),
        SenderMark::Rtp(from) => all
            .rtp_entrance()
            .map(|entrance| reached(entrance.address, from.ip())),
    };
    let expected = all.of_room(&room, now_ns());
    let bodies = expected.iter().filter_map(|expected| {
        let local = local(expected)?;
        Some(ExpectedBody::new(expected, local))
    });
    Ok(Json(ExpectedSendersBody {
        expected: bodies.collect(),
    }))
}

/// Announces a sender: it is in this room from its first packet on, with these settings, though it comes from beyond the
/// networks that may send. The mix goes back to it.
///
/// The answer has the address to send to and, for RTP, its description (SDP). An announcement is forgotten after three
/// minutes without a stream. A stream that sends from there already is moved into the room.
#[utoipa::path(
    post, path = "/api/v1/rooms/{room}/expected", tag = "rooms",
    params(("room" = String, Path, description = "Its name")),
    request_body = ExpectBody,
    responses(
        (status = 201, description = "It is expected", body = ExpectedBody,
         headers(("Location" = String, description = "The path of the announcement"))),
        (status = 409, description = "It is announced already, or the server takes none of its kind",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn expect(
    Shared(state): Shared<Arc<State>>,
    Name(room): Name,
    Body(asked): Body<ExpectBody>,
) -> Result<Created<ExpectedBody>, Problem> {
    state.handle.room(&room).map_err(refused)?;
    let (sender, local, answer) = asked.announcement(room.clone(), &state)?;
    let announced = state.handle.expected().announce(sender, now_ns());
    let expected = announced.map_err(|error| match error {
        AnnounceError::Twice { .. } => Problem::conflict(error.to_string()),
        AnnounceError::Full => Problem::unavailable(error.to_string()),
    })?;
    let mut body = ExpectedBody::new(&expected, local);
    body.sdp = answer(expected.number());
    if let Some(stream) = running(&state, &expected) {
        adopt(&state, &stream, &expected)?;
        body.stream = Some(stream.id().to_owned());
    }
    Ok(Created {
        location: format!("/api/v1/rooms/{}/expected/{}", encoded(&room), body.id),
        body,
    })
}

/// The stream that this sender has already.
fn running(state: &State, expected: &Expected) -> Option<Arc<Admitted>> {
    let SenderMark::Rtp(from) = expected.sender.mark else {
        return None;
    };
    let from = format!("rtp {from}");
    let mut running = state.handle.running().into_iter();
    running.find(|stream| stream.from() == from && !stream.is_ending())
}

/// Gives a running stream the settings of its announcement.
fn adopt(state: &State, stream: &Arc<Admitted>, expected: &Expected) -> Result<(), Problem> {
    let sender = &expected.sender;
    let moved = state.handle.move_stream(stream, &sender.room, true);
    moved.map_err(refused)?;
    let change = Change {
        gain: sender.gain,
        muted: sender.muted.then_some(true),
        solo: None,
    };
    state.handle.set(stream, change).map_err(busy)?;
    if let Some(label) = &sender.label {
        stream.account().label().say(label.clone().into());
    }
    Ok(())
}

/// Takes an announcement back. A stream that came by it goes on.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/expected/{id}", tag = "rooms",
    params(
        ("room" = String, Path, description = "The name of the room"),
        ("id" = String, Path, description = "The id of the announcement"),
    ),
    responses((status = 204, description = "It is expected no more"))
)]
async fn expect_no_more(
    Shared(state): Shared<Arc<State>>,
    Names(room, id): Names,
) -> Result<StatusCode, Problem> {
    let number: Option<u64> = id.parse().ok();
    let withdrawn = number.and_then(|number| state.handle.expected().withdraw(&room, number));
    match withdrawn {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Problem::not_found(format!(
            "no sender is announced for room {} as {}",
            room.escape_debug(),
            id.escape_debug()
        ))),
    }
}
