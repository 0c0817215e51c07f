//! The addresses of one config, compared with each other before any is bound: the kernel's refusal would not
//! say which other flag has taken the port.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{Config, UnixAddress};

/// One address, and the flag that asks for it.
struct Claim {
    /// `--tcp 127.0.0.1:9000`, `the RTCP of --rtp 127.0.0.1:5004`.
    flag: String,
    address: SocketAddr,
}

impl Claim {
    fn new(flag: &str, address: SocketAddr) -> Self {
        Self {
            flag: format!("{flag} {address}"),
            address,
        }
    }

    /// RTP at this address, and its RTCP at the next port. There is one: flags are read so.
    fn with_rtcp(flag: &str, address: SocketAddr) -> [Self; 2] {
        let packets = Self::new(flag, address);
        let next = match address.port() {
            // The kernel chooses both.
            0 => 0,
            port => port.saturating_add(1),
        };
        let reports = Self {
            flag: format!("the RTCP of {}", packets.flag),
            address: SocketAddr::new(address.ip(), next),
        };
        [packets, reports]
    }
}

impl Config {
    /// Two flags that ask for one address, in a sentence; none if all can be had.
    pub(super) fn conflict(&self) -> Option<String> {
        let udp = self.net.rtp.iter();
        let udp = udp.flat_map(|rtp| Claim::with_rtcp("--rtp", rtp.address));
        let targets = self.output.rtp_out.iter();
        let targets = targets.flat_map(|target| Claim::with_rtcp("--rtp-out", target.address));
        first_pair(&udp.collect::<Vec<_>>(), overlap)
            .or_else(|| first_pair(&self.tcp_claims(), overlap))
            .or_else(|| first_pair(&targets.collect::<Vec<_>>(), |one, other| one == other))
            .or_else(|| self.unix_twice())
    }

    /// Whether a flag asks for this address over TCP.
    pub fn claims_tcp(&self, address: SocketAddr) -> bool {
        let claims = self.tcp_claims();
        claims.iter().any(|claim| overlap(claim.address, address))
    }

    fn tcp_claims(&self) -> Vec<Claim> {
        let audiosocket = self.net.audiosocket.iter();
        let audiosocket = audiosocket.map(|peer| Claim::new("--audiosocket", peer.address));
        let tcp = self
            .net
            .tcp
            .iter()
            .map(|tcp| Claim::new("--tcp", tcp.address));
        let http = self.control.address();
        let http = http.map(|at| Claim::new("--http", at));
        audiosocket.chain(tcp).chain(http).collect()
    }

    fn unix_twice(&self) -> Option<String> {
        let mut seen = Vec::new();
        for UnixAddress { path, .. } in &self.net.unix {
            let place = place(path);
            if seen.contains(&place) {
                return Some(format!(
                    "--unix {} is given twice: leave one out",
                    path.display()
                ));
            }
            seen.push(place);
        }
        None
    }
}

/// The first two that cannot both be had.
fn first_pair(
    claims: &[Claim],
    conflict: impl Fn(SocketAddr, SocketAddr) -> bool,
) -> Option<String> {
    claims.iter().enumerate().find_map(|(index, later)| {
        let earlier = claims[..index].iter().find(|earlier| {
            later.address.port() != 0 && conflict(earlier.address, later.address)
        })?;
        Some(if earlier.flag == later.flag {
            format!("{} is given twice: leave one out", later.flag)
        } else {
            format!(
                "{} needs port {}, which {} takes: choose another port for one of them",
                later.flag,
                later.address.port(),
                earlier.flag
            )
        })
    })
}

/// Whether one socket at each would be one too many. An address of all networks includes every other of its
/// family, and that of IPv6 those of IPv4 too.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let includes = |all: std::net::IpAddr, one: std::net::IpAddr| {
        all.is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    one.port() == other.port()
        && (one_ip == other_ip || includes(one_ip, other_ip) || includes(other_ip, one_ip))
}

/// The file as its folder has it, however the path is written.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Layer;

    fn conflict(flags: &[&str], http: Option<&str>) -> Option<String> {
        let mut lists = BTreeMap::<_, Vec<_>>::new();
        for flag in flags {
            let (flag, value) = flag[2..].split_once('=').unwrap();
            lists.entry(flag.replace('-', "_")).or_default().push(value);
        }
        let mut layer = Layer::default();
        for (key, values) in lists {
            layer.set(&key, values.into()).unwrap();
        }
        if let Some(http) = http {
            layer.set("http", http.into()).unwrap();
        }
        Config::default().with(&layer).conflict()
    }

    #[test]
    fn two_flags_for_one_address_are_both_named() {
        for (flags, said) in [
            (
                &["--rtp=5004", "--rtp=5005"][..],
                "--rtp 127.0.0.1:5005 needs port 5005, which the RTCP of --rtp 127.0.0.1:5004 takes",
            ),
            (
                &["--rtp=5005", "--rtp=5004"],
                "the RTCP of --rtp 127.0.0.1:5004 needs port 5005, which --rtp 127.0.0.1:5005 takes",
            ),
            (
                &["--rtp=5004", "--rtp=5004"],
                "--rtp 127.0.0.1:5004 is given twice",
            ),
            (
                &["--rtp=127.0.0.1:5004", "--rtp=0.0.0.0:5005"],
                "--rtp 0.0.0.0:5005 needs port 5005, which the RTCP of --rtp 127.0.0.1:5004 takes",
            ),
            (
                &["--rtp=[::]:5004", "--rtp=5004"],
                "--rtp 127.0.0.1:5004 needs port 5004, which --rtp [::]:5004 takes",
            ),
            (
                &["--tcp=9000", "--tcp=:9000"],
                "--tcp 127.0.0.1:9000 is given twice",
            ),
            (
                &["--tcp=9000", "--audiosocket=0.0.0.0:9000"],
                "--tcp 127.0.0.1:9000 needs port 9000, which --audiosocket 0.0.0.0:9000 takes",
            ),
            (
                &["--audiosocket=9092", "--audiosocket=9092,rate=16000"],
                "--audiosocket 127.0.0.1:9092 is given twice",
            ),
            (
                &["--rtp-out=6004", "--rtp-out=6004,pcma"],
                "--rtp-out 127.0.0.1:6004 is given twice",
            ),
            (
                &["--rtp-out=6004", "--rtp-out=6005"],
                "--rtp-out 127.0.0.1:6005 needs port 6005, which the RTCP of --rtp-out 127.0.0.1:6004 takes",
            ),
            (
                &["--unix=/tmp/a", "--unix=/tmp/../tmp/a"],
                "--unix /tmp/../tmp/a is given twice",
            ),
        ] {
            let sentence = conflict(flags, None).unwrap_or_default();
            assert!(sentence.starts_with(said), "{flags:?}: {sentence}");
        }
        let sentence = conflict(&["--tcp=9000"], Some("0.0.0.0:9000")).unwrap_or_default();
        assert!(
            sentence.starts_with("--http 0.0.0.0:9000 needs port 9000"),
            "{sentence}"
        );
    }

    #[test]
    fn addresses_that_can_all_be_had_are_no_conflict() {
        for flags in [
            &["--rtp=5004", "--rtp=5006", "--tcp=5004", "--rtp-out=5004"][..],
            &["--rtp=127.0.0.1:5004", "--rtp=127.0.0.2:5005"],
            &["--rtp=0", "--rtp=0", "--rtp=0.0.0.0:0"],
            &["--rtp=[::1]:5004", "--rtp=0.0.0.0:5004"],
            &["--tcp=9000", "--audiosocket=9001", "--tcp=0", "--tcp=0"],
            &["--rtp-out=127.0.0.1:6004", "--rtp-out=127.0.0.2:6004"],
            &["--unix=/tmp/a", "--unix=/tmp/b", "--unix=a"],
        ] {
            let sentence = conflict(flags, Some("127.0.0.1:8080"));
            assert_eq!(sentence, None, "{flags:?}");
        }
    }
}
