//! Rooms as people list them, with their options.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{Output, units};
use crate::{
    output::{RtpTarget, named},
    wire::id::{ID_BYTES_MAX, is_id},
};

/// Whether a stream that names a room which is not open is refused or opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomPolicy {
    /// It is refused.
    Listed,
    /// It opens the room.
    Auto,
}

impl RoomPolicy {
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "listed" => Ok(Self::Listed),
            "auto" => Ok(Self::Auto),
            _ => Err("write listed or auto"),
        }
    }
}

impl fmt::Display for RoomPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listed => "listed",
            Self::Auto => "auto",
        })
    }
}

/// When a room's rule records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordWhen {
    /// From the room's opening to its close.
    #[default]
    Always,
    /// While the room has streams, and for ten seconds after the last; with the next stream a new file begins.
    Occupied,
    /// From one command to another.
    Command,
}

impl RecordWhen {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "occupied" => Ok(Self::Occupied),
            "command" => Ok(Self::Command),
            _ => Err("write record_when=always, occupied or command".to_owned()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Occupied => "occupied",
            Self::Command => "command",
        }
    }
}

/// A room that is open from the start of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomConfig {
    /// Its name, without a comma. `main` is open in any case, and may be listed for its options.
    pub name: String,
    /// Gain of its mix in dB, before the limiter; 0 if none is given.
    pub gain_db: Option<f64>,
    /// Whether its mix is limited; as the server's `limiter` says if none is given.
    pub limiter: Option<bool>,
    /// From which level on its streams talk, in dB of full scale; the server's `talking_threshold` if none is given.
    pub talking_threshold: Option<f64>,
    /// How much quiet ends it; the server's `talking_hold` if none is given.
    pub talking_hold: Option<Duration>,
    /// The file that its mix is recorded to; `-` is the standard output. No comma is in it.
    pub record: Option<PathBuf>,
    /// The file that each of its streams is recorded to after gain, from its join to its end or move away, with `{stream}`
    /// and `{utc}` in its name. No comma is in it.
    pub record_streams: Option<PathBuf>,
    /// When these two are.
    pub record_when: RecordWhen,
    /// Whether it is a room of the cluster, and not of this node alone.
    pub cluster: bool,
}

impl RoomConfig {
    /// A room without options.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            gain_db: None,
            limiter: None,
            talking_threshold: None,
            talking_hold: None,
            record: None,
            record_streams: None,
            record_when: RecordWhen::Always,
            cluster: false,
        }
    }

    /// The file that is recorded from the room's opening on, if there is one.
    pub fn recorded_always(&self) -> Option<&Path> {
        let is_always = self.record_when == RecordWhen::Always;
        self.record.as_deref().filter(|_| is_always)
    }

    /// Puts this time and its name for the words in braces of the path of a file that begins with the room.
    pub fn stamp(&mut self, now: SystemTime) {
        if self.record_when == RecordWhen::Always
            && let Some(path) = &mut self.record
            && let Some(text) = path.to_str()
        {
            *path = named(text, now, &self.name, None).into();
        }
    }

    /// `NAME[,gain=DB][,limiter=on|off][,cluster=on|off][,talking_threshold=DB][,talking_hold=TIME][,record=FILE][,record_streams=FILE][,record_when=always|occupied|command]`
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut room = Self::named(room_name(parts.next().unwrap_or_default())?);
        for option in parts {
            match option.split_once('=') {
                Some(("gain", db)) => room.gain_db = Some(units::gain_db(db)?),
                Some(("limiter", "on")) => room.limiter = Some(true),
                Some(("limiter", "off")) => room.limiter = Some(false),
                Some(("talking_threshold", db)) => {
                    room.talking_threshold = Some(units::threshold(db)?);
                }
                Some(("talking_hold", time)) => room.talking_hold = Some(units::hold(time)?),
                Some(("cluster", "on")) => room.cluster = true,
                Some(("cluster", "off")) => room.cluster = false,
                Some(("record", path)) if !path.is_empty() => room.record = Some(path.into()),
                Some(("record_streams", path)) => room.record_streams = Some(streams_path(path)?),
                Some(("record_when", when)) => room.record_when = RecordWhen::read(when)?,
                _ => {
                    return Err(format!(
                        "`{}` is no option of a room; the options are gain=DB, limiter=on|off, cluster=on|off, \
                         talking_threshold=DB, talking_hold=TIME, record=FILE, record_streams=FILE and \
                         record_when=WHEN",
                        option.escape_debug()
                    ));
                }
            }
        }
        room.check_when()?;
        Ok(room)
    }

    /// Refuses a file that is begun several times by one name.
    fn check_when(&self) -> Result<(), String> {
        let when = self.record_when.name();
        match &self.record {
            Some(path) if self.record_when != RecordWhen::Always && !has_word(path, "{utc}") => {
                Err(format!(
                    "record={} begins more than once with record_when={when}: put {{utc}} into the file's name",
                    path.display()
                ))
            }
            None if self.record_when != RecordWhen::Always && self.record_streams.is_none() => {
                Err(format!(
                    "record_when={when} needs a record or record_streams of room {}",
                    self.name
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the file's name, without its folder, has this word.
fn has_word(path: &Path, word: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().contains(word)
}

/// The path of a room's streams, each in a file of its own.
fn streams_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_named = ["{stream}", "{utc}"]
        .iter()
        .all(|word| has_word(&path, word));
    let folder = path.parent().unwrap_or(Path::new(""));
    if is_named && !folder.to_string_lossy().contains(['{', '}']) {
        return Ok(path);
    }
    Err(format!(
        "`{}` is no name for the files of streams: write FOLDER/{{stream}}-{{utc}}.wav, with both words in the file's \
         name and none in the folder's",
        text.escape_debug()
    ))
}

/// The files of the streams of `main` in this folder.
pub(super) fn streams_in(folder: &Path) -> PathBuf {
    folder.join("{room}-{stream}-{utc}.wav")
}

impl fmt::Display for RoomConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(db) = self.gain_db {
            write!(f, ",gain={}", db + 0.0)?;
        }
        match self.limiter {
            None => {}
            Some(true) => f.write_str(",limiter=on")?,
            Some(false) => f.write_str(",limiter=off")?,
        }
        if let Some(db) = self.talking_threshold {
            write!(f, ",talking_threshold={}", db + 0.0)?;
        }
        if let Some(hold) = self.talking_hold {
            write!(f, ",talking_hold={}", units::show_duration(hold))?;
        }
        if self.cluster {
            f.write_str(",cluster=on")?;
        }
        if let Some(path) = &self.record {
            write!(f, ",record={}", path.display())?;
        }
        if let Some(path) = &self.record_streams {
            write!(f, ",record_streams={}", path.display())?;
        }
        match self.record_when {
            RecordWhen::Always => Ok(()),
            when => write!(f, ",record_when={}", when.name()),
        }
    }
}

/// The name of a room in a config: a comma would end it there.
pub(super) fn room_name(text: &str) -> Result<String, String> {
    if is_id(text) && !text.contains(',') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is no name of a room here; write 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces \
         and commas",
        text.escape_debug()
    ))
}

/// Refuses a standard output with two recordings, and more recordings than there may be.
pub(super) fn check_records(rooms: &[RoomConfig], output: &Output) -> Result<(), String> {
    let of_rooms = || {
        rooms
            .iter()
            .filter_map(|room| Some((&room.name, room.record.as_deref()?)))
    };
    let is_stdout = |path: &Path| path == Path::new("-");
    let mut to_stdout = of_rooms().filter(|(_, path)| is_stdout(path));
    let first = output.record.as_deref().filter(|path| is_stdout(path));
    let first = first.map(|_| "--record -".to_owned());
    let named = |name: &String| format!("--room {name},record=-");
    let first = first.or_else(|| to_stdout.next().map(|(name, _)| named(name)));
    if let (Some(first), Some((second, _))) = (first, to_stdout.next()) {
        return Err(format!(
            "{} and {first} both write to the standard output: choose a file for one of them",
            named(second)
        ));
    }
    let of_main = rooms.iter().find(|room| room.name == "main");
    if let (Some(folder), Some(path)) = (
        &output.record_streams,
        of_main.and_then(|main| main.record_streams.as_ref()),
    ) && *path != streams_in(folder)
    {
        return Err(format!(
            "--record-streams {} and --room main,record_streams={} are two names for one file: leave one out",
            folder.display(),
            path.display()
        ));
    }
    let count = of_rooms().count() + usize::from(output.record.is_some());
    let max = output.recordings_max;
    if count > max {
        return Err(format!(
            "{count} recordings, by --record and of --room, exceed --recordings-max {max}: leave some out, or raise \
             --recordings-max"
        ));
    }
    Ok(())
}

/// Refuses rooms of which one is listed twice, or more than there may be.
pub(super) fn check(rooms: &[RoomConfig], rooms_max: usize) -> Result<(), String> {
    let names = || rooms.iter().map(|room| &*room.name);
    for (index, name) in names().enumerate() {
        if names().take(index).any(|earlier| earlier == name) {
            return Err(format!("--room {name} is given twice: leave one out"));
        }
    }
    let count = 1 + names().filter(|name| *name != "main").count();
    if count > rooms_max {
        return Err(format!(
            "{count} rooms, main among them, exceed --rooms-max {rooms_max}: leave some --room out, or raise \
             --rooms-max"
        ));
    }
    Ok(())
}

/// The mix of a room that is not open from the start is not sent anywhere: a sentence, if one is to be.
pub(super) fn check_targets(rooms: &[RoomConfig], targets: &[RtpTarget]) -> Result<(), String> {
    let is_unknown = |target: &&RtpTarget| {
        target.room != "main" && rooms.iter().all(|room| room.name != target.room)
    };
    match targets.iter().find(is_unknown) {
        None => Ok(()),
        Some(target) => Err(format!(
            "--rtp-out {target}: there is no room {name}; list it with --room {name}",
            name = target.room
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_room_has_a_name_that_no_comma_ends() {
        assert_eq!(RoomConfig::read("a/b?").unwrap().to_string(), "a/b?");
        for text in ["", "a b", "..", "\u{fc}", "a\n", ",a"] {
            let said = RoomConfig::read(text).unwrap_err();
            assert!(said.contains("no name of a room"), "{said}");
        }
        let said = RoomConfig::read("a,\u{1b}=1").unwrap_err();
        assert!(said.starts_with(r"`\u{1b}=1` is no option of a room; "));
    }

    #[test]
    fn a_listed_room_may_have_a_gain_and_a_limiter_of_its_own() {
        let room = RoomConfig::read("a,limiter=off,gain=-6.0dB").unwrap();
        assert_eq!((room.gain_db, room.limiter), (Some(-6.0), Some(false)));
        assert_eq!(room.to_string(), "a,gain=-6,limiter=off");
        for wrong in ["a,gain=loud", "a,gain=40", "a,limiter=true", "a,b", "a,"] {
            assert!(RoomConfig::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listed_room_may_have_a_talking_rule_of_its_own() {
        let room = RoomConfig::read("a,talking_hold=0.3s,talking_threshold=-35dB").unwrap();
        assert_eq!(room.talking_threshold, Some(-35.0));
        assert_eq!(room.talking_hold, Some(Duration::from_millis(300)));
        let shown = "a,talking_threshold=-35,talking_hold=300ms";
        assert_eq!(room.to_string(), shown);
        for wrong in [
            "a,talking_threshold=1",
            "a,talking_hold=11s",
            "a,talking_hold=300",
        ] {
            assert!(RoomConfig::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listed_room_may_be_recorded() {
        let room = RoomConfig::read("a,record=/r/{room}=1.wav,gain=1").unwrap();
        assert_eq!(room.record.as_deref(), Some(Path::new("/r/{room}=1.wav")));
        assert_eq!(room.to_string(), "a,gain=1,record=/r/{room}=1.wav");
        assert!(RoomConfig::read("a,record=").is_err());
    }

    #[test]
    fn a_listed_room_may_have_its_streams_recorded() {
        let text =
            "a,record=/r/{utc}.wav,record_streams=/r/{stream}-{utc}.wav,record_when=occupied";
        let room = RoomConfig::read(text).unwrap();
        assert_eq!(room.record_when, RecordWhen::Occupied);
        assert_eq!(room.to_string(), text);
        assert_eq!(room.recorded_always(), None);
        for wrong in [
            "a,record_streams=/r/{stream}.wav",
            "a,record_streams=/r/{utc}.wav",
            "a,record_streams=/{stream}/{stream}-{utc}.wav",
            "a,record_streams=",
            "a,record_when=occupied",
            "a,record=/r/a.wav,record_when=command",
            "a,record=-,record_when=occupied",
            "a,record=/r/{utc}.wav,record_when=sometimes",
        ] {
            assert!(RoomConfig::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn recordings_have_one_standard_output_and_a_limit() {
        let check = |rooms: &[&str], record: Option<&str>| {
            let rooms: Vec<_> = rooms
                .iter()
                .map(|text| RoomConfig::read(text).unwrap())
                .collect();
            let output = Output {
                record: record.map(PathBuf::from),
                recordings_max: 2,
                ..Output::default()
            };
            check_records(&rooms, &output)
        };
        assert_eq!(check(&["a,record=-", "b,record=b.wav"], None), Ok(()));
        assert_eq!(check(&["a,record=a.wav"], Some("-")), Ok(()));
        let said = check(&["a,record=-"], Some("-")).unwrap_err();
        assert!(
            said.starts_with("--room a,record=- and --record - both write"),
            "{said}"
        );
        let said = check(&["a,record=-", "b,record=-"], None).unwrap_err();
        assert!(
            said.starts_with("--room b,record=- and --room a,record=- both"),
            "{said}"
        );
        let said = check(&["a,record=a.wav", "b,record=b.wav"], Some("c.wav")).unwrap_err();
        assert!(
            said.starts_with("3 recordings, by --record and of --room, exceed --recordings-max 2")
        );
    }

    #[test]
    fn a_room_is_listed_once() {
        let rooms = |names: &[&str]| {
            let read = |name: &&str| RoomConfig::read(name).unwrap();
            names.iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(check(&rooms(&["a", "main", "b"]), 3), Ok(()));
        let said = check(&rooms(&["a", "b", "a"]), 9).unwrap_err();
        assert_eq!(said, "--room a is given twice: leave one out");
        let said = check(&rooms(&["a", "main", "b"]), 2).unwrap_err();
        assert!(said.starts_with("3 rooms, main among them, exceed --rooms-max 2"));
    }

    #[test]
    fn the_room_of_an_rtp_target_is_main_or_listed() {
        let rooms = [RoomConfig::read("a").unwrap()];
        let check = |text: &str| check_targets(&rooms, &[text.parse().unwrap()]);
        assert_eq!(check("127.0.0.1:5004,pcma"), Ok(()));
        assert_eq!(check("127.0.0.1:5004,room=a"), Ok(()));
        let said = check("127.0.0.1:5004,room=b").unwrap_err();
        assert_eq!(
            said,
            "--rtp-out 127.0.0.1:5004,pcmu,room=b: there is no room b; list it with --room b"
        );
    }
}
