//! The cluster that a server is a node of, if any.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Mix, RoomConfig, leaf, units};

/// Rooms over several nodes that a server may be asked for.
const CLUSTER_ROOMS_MAX: u64 = 4096;

/// The bytes of a name that is part of a subject.
const NAME_BYTES_MAX: usize = 32;

/// The longest lead in ticks: as many as a message can say.
const LEAD_TICKS_MAX: u64 = 255;

/// Whether a node whose host's clock is not known to be right joins nodes of other hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClusterClock {
    /// Only nodes of its own host.
    #[default]
    Synchronised,
    /// All nodes.
    Trust,
}

impl ClusterClock {
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "synchronised" => Ok(Self::Synchronised),
            "trust" => Ok(Self::Trust),
            _ => Err("write synchronised or trust"),
        }
    }
}

impl fmt::Display for ClusterClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronised => "synchronised",
            Self::Trust => "trust",
        })
    }
}

/// The cluster, and this node in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// NATS servers, as `nats://HOST:4222` or `tls://HOST:4222`; none for a server that is no node.
    #[serde(with = "leaf::nats_servers")]
    pub cluster: Vec<String>,
    /// The name that all of its nodes give it.
    #[serde(with = "leaf::cluster_name")]
    pub cluster_name: String,
    /// The name of this node, which no other has; the host's name if there is none.
    #[serde(with = "leaf::some_node")]
    pub node: Option<String>,
    /// File of credentials for NATS.
    #[serde(with = "leaf::some_path")]
    pub cluster_creds: Option<PathBuf>,
    /// File of the certificates that NATS servers have to be signed by; those of the host if there is none.
    #[serde(with = "leaf::some_path")]
    pub cluster_ca: Option<PathBuf>,
    /// File of this node's certificate, for NATS servers that ask for one.
    #[serde(with = "leaf::some_path")]
    pub cluster_cert: Option<PathBuf>,
    /// File of the private key of `cluster_cert`.
    #[serde(with = "leaf::some_path")]
    pub cluster_key: Option<PathBuf>,
    /// Time from the tick of a block to its mix, in rooms over several nodes.
    #[serde(with = "leaf::duration")]
    pub cluster_lead: Duration,
    /// Whether it joins nodes of other hosts though its own clock is not synchronised.
    #[serde(with = "leaf::cluster_clock")]
    pub cluster_clock: ClusterClock,
    /// Rooms over several nodes at once.
    #[serde(deserialize_with = "leaf::whole::<1, CLUSTER_ROOMS_MAX, _, _>")]
    pub cluster_rooms_max: usize,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            cluster: Vec::new(),
            cluster_name: "mixpool".to_owned(),
            node: None,
            cluster_creds: None,
            cluster_ca: None,
            cluster_cert: None,
            cluster_key: None,
            cluster_lead: Duration::from_millis(40),
            cluster_clock: ClusterClock::Synchronised,
            cluster_rooms_max: 64,
        }
    }
}

impl Cluster {
    /// Whether the server is a node.
    pub fn is_on(&self) -> bool {
        !self.cluster.is_empty()
    }

    /// Ticks from the sum of a block to its mix in rooms over several nodes; 0 for a server that is no node.
    pub fn lead_ticks(&self, mix: &Mix) -> u64 {
        if !self.is_on() {
            return 0;
        }
        let ptime = mix.ptime.as_nanos().max(1);
        self.cluster_lead.as_nanos().div_ceil(ptime) as u64
    }

    pub(super) fn check(&self, mix: &Mix) -> Result<(), String> {
        if let Some(RoomConfig { name, .. }) = mix.room.iter().find(|room| room.cluster) {
            if !self.is_on() {
                return Err(format!(
                    "--room {name},cluster=on needs --cluster: name a NATS server, or leave the option out"
                ));
            }
            if name == "main" {
                return Err(
                    "--room main,cluster=on: main is of each node alone; choose another room"
                        .to_owned(),
                );
            }
        }
        let count = mix.room.iter().filter(|room| room.cluster).count();
        let max = self.cluster_rooms_max;
        if count > max {
            return Err(format!(
                "{count} rooms with cluster=on exceed --cluster-rooms-max {max}: leave some out, or raise \
                 --cluster-rooms-max"
            ));
        }
        if !self.is_on() {
            return Ok(());
        }
        if cfg!(not(feature = "cluster")) {
            return Err(
                "--cluster: this mixpool was built without it; build it with `--features cluster`"
                    .to_owned(),
            );
        }
        if self.cluster_cert.is_some() != self.cluster_key.is_some() {
            return Err(
                "--cluster-cert and --cluster-key go together: give both, or neither".to_owned(),
            );
        }
        let ticks = self.lead_ticks(mix);
        if !(1..=LEAD_TICKS_MAX).contains(&ticks) {
            return Err(format!(
                "--cluster-lead {} is {ticks} ticks of --ptime {}: choose 1 to {LEAD_TICKS_MAX} ticks",
                units::show_duration(self.cluster_lead),
                units::show_duration(mix.ptime)
            ));
        }
        Ok(())
    }
}

/// A name that is part of a subject.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is no name here; write 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, - and _",
        text.escape_debug()
    ))
}

/// The URLs of NATS servers, with commas between them.
pub(super) fn nats_servers(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(nats_server).collect()
}

/// The URL of a NATS server.
fn nats_server(text: &str) -> Result<String, String> {
    if text.contains('@') {
        // It would stand in logs, and in the API.
        return Err("no password in a server's URL; write it into a file, and name that with --cluster-creds".to_owned());
    }
    let host = text.strip_prefix("nats://").or(text.strip_prefix("tls://"));
    let is_host = |host: &str| {
        let is_ok = |byte: u8| byte.is_ascii_graphic() && !b"/?#, ".contains(&byte);
        !host.is_empty() && host.bytes().all(is_ok)
    };
    if host.is_some_and(is_host) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is no NATS server; write nats://HOST:4222, or tls://HOST:4222",
        text.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token_of_a_subject() {
        for good in ["a", "Node_7-b", &"x".repeat(32)] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for wrong in ["", "a.b", "a b", "*", ">", "\u{fc}", &"x".repeat(33)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_is_a_url_of_nats() {
        assert_eq!(
            nats_servers("nats://a,tls://b:1").unwrap(),
            ["nats://a", "tls://b:1"]
        );
        assert!(nats_servers("nats://a,").is_err());
        for good in ["nats://a", "tls://[::1]:4222"] {
            assert_eq!(nats_server(good).as_deref(), Ok(good));
        }
        for wrong in [
            "",
            "a:4222",
            "http://a",
            "nats://",
            "nats://user:pass@b",
            "nats://a/b",
            "nats://a,nats://b",
        ] {
            assert!(nats_server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lead_is_whole_ticks_rounded_up() {
        let ticks = |lead: u64, ptime: u64| {
            let cluster = Cluster {
                cluster: vec!["nats://a".to_owned()],
                cluster_lead: Duration::from_millis(lead),
                ..Cluster::default()
            };
            let mix = Mix {
                ptime: Duration::from_millis(ptime),
                ..Mix::default()
            };
            cluster.lead_ticks(&mix)
        };
        assert_eq!([ticks(40, 20), ticks(41, 20), ticks(5, 10)], [2, 3, 1]);
        assert_eq!(Cluster::default().lead_ticks(&Mix::default()), 0);
    }

    fn checked(cluster: &Cluster, rooms: &[&str]) -> Result<(), String> {
        let rooms = rooms.iter().map(|room| RoomConfig::read(room).unwrap());
        let mix = Mix {
            room: rooms.collect(),
            ..Mix::default()
        };
        cluster.check(&mix)
    }

    #[test]
    fn a_room_of_the_cluster_needs_one_and_is_not_main() {
        let none = Cluster::default();
        assert_eq!(checked(&none, &["a", "main"]), Ok(()));
        let said = checked(&none, &["a", "b,cluster=on"]).unwrap_err();
        assert!(
            said.starts_with("--room b,cluster=on needs --cluster"),
            "{said}"
        );
        let node = Cluster {
            cluster: vec!["nats://a".to_owned()],
            cluster_rooms_max: 1,
            ..Cluster::default()
        };
        let said = checked(&node, &["main,cluster=on"]).unwrap_err();
        assert!(said.contains("main is of each node alone"), "{said}");
        let said = checked(&node, &["a,cluster=on", "b,cluster=on"]).unwrap_err();
        assert!(said.contains("exceed --cluster-rooms-max 1"), "{said}");
        let half = Cluster {
            cluster_cert: Some("node.pem".into()),
            ..node.clone()
        };
        let half = checked(&half, &[]).unwrap_err();
        let checked = checked(&node, &["a,cluster=on", "b"]);
        if cfg!(feature = "cluster") {
            assert_eq!(checked, Ok(()));
            assert!(
                half.starts_with("--cluster-cert and --cluster-key"),
                "{half}"
            );
        } else {
            let said = checked.unwrap_err();
            assert!(said.contains("--features cluster"), "{said}");
        }
    }
}
