//! Names of files, with words in braces for what is known only when they begin.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The time of the beginning.
const UTC: &str = "{utc}";
const ROOM: &str = "{room}";
const STREAM: &str = "{stream}";
/// The number of the segment.
const SEGMENT: &str = "{segment}";

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

/// The path of this segment, from 1: with `{segment}` replaced by its number of at least four digits, as `0001`; without
/// such a place all but the first end in it, as `mix-0002.wav`.
pub(crate) fn segment_path(path: &Path, number: u32) -> PathBuf {
    let digits = format!("{number:04}");
    if let Some(text) = path.to_str()
        && text.contains(SEGMENT)
    {
        return text.replace(SEGMENT, &digits).into();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    if number > 1 {
        name.push(format!("-{digits}"));
    }
    if let Some(end) = path.extension() {
        name.push(".");
        name.push(end);
    }
    path.with_file_name(name)
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
    fn each_segment_has_a_name_of_its_own() {
        let name = |path: &str, number| segment_path(Path::new(path), number);
        assert_eq!(name("a/mix.wav", 1), Path::new("a/mix.wav"));
        assert_eq!(name("a/mix.wav", 2), Path::new("a/mix-0002.wav"));
        assert_eq!(name("mix", 12_345), Path::new("mix-12345"));
        assert_eq!(name("{segment}.flac", 1), Path::new("0001.flac"));
        assert_eq!(name("{segment}/mix.wav", 2_345), Path::new("2345/mix.wav"));
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
