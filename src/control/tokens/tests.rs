use std::fs::{self, Permissions};

use axum::http::HeaderValue;

use super::*;

const CHANGE: &str = "the token that changes";
const READ: &str = "the token that reads";

fn graphic(token: &str) -> String {
    token.replace(' ', "-")
}

/// A file that only its owner may open.
fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn auth(folder: &Path) -> Auth {
    let change = file(folder, "change", graphic(CHANGE));
    let read = file(folder, "read", graphic(READ) + "\r\na remark\n");
    Auth::new(Some(Tokens::read(&change, Some(&read)).unwrap()), 8080)
}

fn with(name: header::HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
}

#[test]
fn each_token_allows_its_scope_by_bearer_and_by_basic() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    for (token, access) in [
        (graphic(CHANGE), Access::Change),
        (graphic(READ), Access::Read),
        (graphic("a token that is none"), Access::Nothing),
        (graphic(READ) + "x", Access::Nothing),
        ("x".repeat(1000), Access::Nothing),
        (String::new(), Access::Nothing),
    ] {
        let pair = BASE64_STANDARD.encode(format!("anybody:{token}"));
        for header in [
            format!("Bearer {token}"),
            format!("bearer  {token} "),
            format!("Basic {pair}"),
        ] {
            let headers = with(header::AUTHORIZATION, &header);
            assert_eq!(auth.access(&headers, now), access, "{header}");
        }
    }
    for header in ["", "Basic", "Basic ?", "Digest a", "Bearer"] {
        let headers = with(header::AUTHORIZATION, header);
        assert_eq!(auth.access(&headers, now), Access::Nothing, "{header}");
    }
    assert_eq!(auth.access(&HeaderMap::new(), now), Access::Nothing);
    let open = Auth::new(None, 8080);
    assert_eq!(open.access(&HeaderMap::new(), now), Access::Change);
}

#[test]
fn files_that_give_no_token_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &[u8]| {
        let path = file(folder.path(), "token", text);
        Tokens::read(&path, None).unwrap_err().to_string()
    };
    for text in [
        "",
        "\n0123456789abcdef",
        "0123456789abcde",
        "0123456789 abcdef",
        &"x".repeat(TOKEN_CHARACTERS_MAX + 1),
        "0123456789abcdef\u{fc}",
    ] {
        assert!(refused(text.as_bytes()).contains("is no token"), "{text}");
    }
    assert!(refused(&[0xff; 32]).contains("is no token"));
    let path = file(
        folder.path(),
        "token",
        "x".repeat(TOKEN_CHARACTERS_MAX) + "\r\n",
    );
    assert!(Tokens::read(&path, None).is_ok());
    for mode in [0o604, 0o602, 0o644, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let refused = Tokens::read(&path, None).unwrap_err().to_string();
        assert!(refused.contains("chmod o="), "{refused}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let same = Tokens::read(&path, Some(&path)).unwrap_err().to_string();
    assert!(same.contains("a reader could change the mix"), "{same}");
    let none = Tokens::read(Path::new("/nonexistent"), None).unwrap_err();
    assert!(none.to_string().contains("/nonexistent"), "{none}");
}

#[test]
fn a_session_lasts_until_it_ends_and_no_other_is_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    let cookie = auth.begin_session((Access::Read, 0), now);
    let other = auth.begin_session((Access::Change, 0), now);
    let headers = with(
        header::COOKIE,
        &format!("a=b; mixpool_session_8080={cookie}; c"),
    );
    let access = |headers: &HeaderMap, after| auth.access(headers, now + after);
    assert_eq!(access(&headers, Duration::ZERO), Access::Read);
    assert_eq!(access(&headers, SESSION_LIFE), Access::Nothing);
    // A number with another's secret, one of another port, and what is none.
    let mixed: String = cookie[..20].chars().chain(other[20..].chars()).collect();
    for value in [
        format!("mixpool_session_8080={mixed}"),
        format!("mixpool_session_8081={cookie}"),
        "mixpool_session_8080=".to_owned(),
        "mixpool_session_8080=?".to_owned(),
    ] {
        let headers = with(header::COOKIE, &value);
        assert_eq!(access(&headers, Duration::ZERO), Access::Nothing, "{value}");
    }
    // A token that is wrong is not saved by a session.
    let mut both = headers.clone();
    both.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    assert_eq!(access(&both, Duration::ZERO), Access::Nothing);
    auth.end_session(&headers);
    assert_eq!(access(&headers, Duration::ZERO), Access::Nothing);
}

#[test]
fn sessions_are_bounded_and_the_first_to_expire_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    let cookies: Vec<_> = (0..=SESSIONS_MAX as u64)
        .map(|ms| auth.begin_session((Access::Read, 0), now + Duration::from_millis(ms)))
        .collect();
    assert_eq!(auth.sessions().len(), SESSIONS_MAX);
    let access = |cookie: &String| {
        let headers = with(header::COOKIE, &format!("mixpool_session_8080={cookie}"));
        auth.access(&headers, now + Duration::from_secs(2))
    };
    assert_eq!(access(&cookies[0]), Access::Nothing);
    assert!(
        cookies[1..]
            .iter()
            .all(|cookie| access(cookie) == Access::Read)
    );
}

#[test]
fn who_may_only_look_ends_nobodys_session_who_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    let cookie = auth.begin_session((Access::Change, 0), now);
    for ms in 1..=2 * SESSIONS_MAX as u64 {
        auth.begin_session((Access::Read, 0), now + Duration::from_millis(ms));
    }
    assert_eq!(auth.sessions().len(), SESSIONS_MAX);
    let headers = with(header::COOKIE, &format!("mixpool_session_8080={cookie}"));
    assert_eq!(auth.access(&headers, now), Access::Change);
}

#[test]
fn a_token_changed_since_its_check_begins_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    let allowed = auth.access_of(&graphic(CHANGE));
    file(folder.path(), "change", "another-token-that-changes");
    let tokens = auth.tokens.clone().unwrap();
    assert!(tokens.read_again().unwrap().put_in_force());
    let cookie = auth.begin_session(allowed, now);
    let headers = with(header::COOKIE, &format!("mixpool_session_8080={cookie}"));
    assert_eq!(auth.access(&headers, now), Access::Nothing);
}

#[test]
fn a_reload_replaces_tokens_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let auth = auth(folder.path());
    let now = Instant::now();
    let cookie = auth.begin_session((Access::Change, 0), now);
    let headers = with(header::COOKIE, &format!("mixpool_session_8080={cookie}"));
    let tokens = auth.tokens.clone().unwrap();
    let reload = || tokens.read_again().map(ReadAgain::put_in_force);
    // The same tokens again end nothing.
    assert!(!reload().unwrap());
    assert_eq!(auth.access(&headers, now), Access::Change);
    file(folder.path(), "change", "short");
    assert!(reload().is_err());
    assert_eq!(auth.access_of(&graphic(CHANGE)).0, Access::Change);
    assert_eq!(auth.access(&headers, now), Access::Change);
    file(folder.path(), "change", "another-token-that-changes");
    // Read, and not in force yet.
    let read = tokens.read_again().unwrap();
    assert_eq!(auth.access_of(&graphic(CHANGE)).0, Access::Change);
    assert!(read.put_in_force());
    assert_eq!(auth.access_of(&graphic(CHANGE)).0, Access::Nothing);
    assert_eq!(
        auth.access_of("another-token-that-changes").0,
        Access::Change
    );
    assert_eq!(auth.access(&headers, now), Access::Nothing);
    // A debug log line shows nothing.
    assert!(!format!("{tokens:?}").contains("another-token"));
}
