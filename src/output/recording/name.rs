//! Names of files, with words in braces for what is known only when they begin.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The time of the beginning.
const UTC: &str = "{utc}";
const ROOM: &str = "{room}";
const STREAM: &str = "{stream}";

/// The path with each `{utc}` replaced by this time, as `20261128T160000Z`.
pub fn stamped(path: &Path, now: SystemTime) -> PathBuf {
    match path.to_str() {
        Some(text) if text.contains(UTC) => text.replace(UTC, &utc(now)).into(),
        _ => path.to_owned(),
    }
}

/// The name with each `{utc}`, `{room}` and `{stream}` replaced. No name of a room or a stream leads to another folder.
pub(crate) fn named(text: &str, now: SystemTime, room: &str, stream: Option<&str>) -> String {
    let text = text.replace(UTC, &utc(now)).replace(ROOM, &safe(room));
    match stream {
        Some(stream) => text.replace(STREAM, &safe(stream)),
        None => text,
    }
}

fn utc(time: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.retain(|letter| !"-:".contains(letter));
    text
}

/// With `_` for each character that a file's name may not have, or not begin with.
fn safe(name: &str) -> String {
    let letters = name.chars().enumerate();
    letters
        .map(|(at, letter)| match letter {
            '.' if at == 0 => '_',
            // Braces would be read as words of ours.
            '/' | '{' | '}' => '_',
            letter if letter.is_control() => '_',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_881_600)
    }

    #[test]
    fn utc_in_a_name_is_the_time() {
        let stamped = |path: &str| stamped(Path::new(path), time());
        assert_eq!(
            stamped("a/mix-{utc}.wav"),
            Path::new("a/mix-20261128T160000Z.wav")
        );
        assert_eq!(stamped("mix.wav"), Path::new("mix.wav"));
        assert_eq!(
            stamped("{utc}/{room}.wav"),
            Path::new("20261128T160000Z/{room}.wav")
        );
    }

    #[test]
    fn rooms_and_streams_in_a_name_lead_nowhere() {
        let named = |text: &str, room: &str, stream| named(text, time(), room, stream);
        assert_eq!(
            named(
                "{room}-{utc}-{stream}.wav",
                "desk",
                Some("tcp-127.0.0.1:4000")
            ),
            "desk-20261128T160000Z-tcp-127.0.0.1:4000.wav"
        );
        assert_eq!(named("{room}.wav", "../up", None), "_._up.wav");
        assert_eq!(named("{stream}", "a", Some("/etc\n")), "_etc_");
        assert_eq!(named("{room}", "{stream}", Some("a")), "_stream_");
        assert_eq!(named("{stream}.wav", "a", None), "{stream}.wav");
    }
}
