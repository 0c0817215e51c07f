//! Tokens from files, and the sessions that browsers get for them.
//!
//! The time to compare a token does not depend on it: both sides are padded to the same length.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::engine::open_to_read;

/// Characters of a token, at least: it cannot be guessed at any rate.
pub const TOKEN_CHARACTERS_MIN: usize = 16;

/// Characters of a token, at most.
pub const TOKEN_CHARACTERS_MAX: usize = 256;

/// A browser's session ends after this time, used or not.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions at once; the one that ends soonest makes room for another.
const SESSIONS_MAX: usize = 1024;

/// The rights of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Look at what everybody may see.
    Nothing,
    /// Look and listen.
    Read,
    /// All.
    Change,
}

/// Tokens, and the files that they came from. Clones are of the same ones.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    change_file: PathBuf,
    read_file: Option<PathBuf>,
    pair: RwLock<Pair>,
    /// The news that what was allowed may be so no more: tokens have changed, or a session has ended.
    changes: watch::Sender<()>,
}

/// The tokens as they are now.
#[derive(Debug, Clone)]
struct Pair {
    change: Secret,
    read: Option<Secret>,
    /// How often they changed.
    generation: u64,
}

/// Tokens that were read again, and hold once they are put in force.
#[derive(Debug)]
#[must_use = "they hold once they are put in force"]
pub struct ReadAgain {
    tokens: Tokens,
    pair: Pair,
}

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        error: io::Error,
    },
    /// Every user of this host may read or write it.
    #[error("every user of this host may open the token file {}: `chmod o= {}` forbids it", .0.display(), .0.display())]
    Open(PathBuf),
    /// Its first line is no token.
    #[error(
        "the first line of the token file {} is no token: write {TOKEN_CHARACTERS_MIN} to \
         {TOKEN_CHARACTERS_MAX} visible ASCII characters, as `openssl rand -hex 32` does",
        .0.display()
    )]
    NoToken(PathBuf),
    /// Both files have the same token.
    #[error(
        "the token of {} is that of {}, too: a reader could change the mix; write another",
        read.display(),
        change.display()
    )]
    Same {
        /// The one for reading.
        read: PathBuf,
        /// The one for changing.
        change: PathBuf,
    },
}

impl Tokens {
    /// Reads the token that allows all, and the one that allows reading alone, if there is one. A token
    /// is a file's first line; only its owner and group may open the file.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(change_file: &Path, read_file: Option<&Path>) -> Result<Self, TokenError> {
        Ok(Self(Arc::new(Inner {
            pair: RwLock::new(Pair::read(change_file, read_file)?),
            change_file: change_file.to_owned(),
            read_file: read_file.map(Path::to_owned),
            changes: watch::Sender::new(()),
        })))
    }

    /// Reads the same files again. Nothing changes yet.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read_again(&self) -> Result<ReadAgain, TokenError> {
        let pair = Pair::read(&self.0.change_file, self.0.read_file.as_deref())?;
        Ok(ReadAgain {
            tokens: self.clone(),
            pair,
        })
    }

    fn pair(&self) -> RwLockReadGuard<'_, Pair> {
        self.0.pair.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAgain {
    /// Puts them in force: whether any has changed, which ends all sessions.
    pub fn put_in_force(self) -> bool {
        let Self { tokens, pair: read } = self;
        let mut pair = tokens
            .0
            .pair
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let same = pair.change.is(&read.change.0)
            && match (&pair.read, &read.read) {
                (Some(before), Some(read)) => before.is(&read.0),
                (before, read) => before.is_none() && read.is_none(),
            };
        if !same {
            *pair = Pair {
                generation: pair.generation + 1,
                ..read
            };
        }
        drop(pair);
        if !same {
            tokens.0.changes.send_replace(());
        }
        !same
    }
}

impl Pair {
    fn read(change_file: &Path, read_file: Option<&Path>) -> Result<Self, TokenError> {
        let change = Secret::of_file(change_file)?;
        let read = read_file.map(Secret::of_file).transpose()?;
        if let (Some(read), Some(read_file)) = (&read, read_file)
            && read.is(&change.0)
        {
            return Err(TokenError::Same {
                read: read_file.to_owned(),
                change: change_file.to_owned(),
            });
        }
        Ok(Self {
            change,
            read,
            generation: 0,
        })
    }

    /// The rights of the token; always compares with all.
    fn access(&self, token: &str) -> Access {
        let Some(token) = padded(token) else {
            return Access::Nothing;
        };
        let change = self.change.is(&token);
        let read = self.read.as_ref().is_some_and(|read| read.is(&token));
        match (change, read) {
            (true, _) => Access::Change,
            (false, true) => Access::Read,
            (false, false) => Access::Nothing,
        }
    }
}

/// A token, padded with zeros, which none has.
#[derive(Clone)]
struct Secret([u8; TOKEN_CHARACTERS_MAX]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn of_file(path: &Path) -> Result<Self, TokenError> {
        let io = |error| TokenError::Io {
            path: path.to_owned(),
            error,
        };
        let file = open_to_read(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(TokenError::Open(path.to_owned()));
        }
        let mut text = Vec::new();
        // A line's end may be two bytes.
        file.take(TOKEN_CHARACTERS_MAX as u64 + 2)
            .read_to_end(&mut text)
            .map_err(io)?;
        let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        std::str::from_utf8(line)
            .ok()
            .map(str::trim_ascii_end)
            .filter(|token| token.len() >= TOKEN_CHARACTERS_MIN)
            .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
            .and_then(padded)
            .map(Self)
            .ok_or_else(|| TokenError::NoToken(path.to_owned()))
    }

    fn is(&self, token: &[u8; TOKEN_CHARACTERS_MAX]) -> bool {
        self.0.ct_eq(token).into()
    }
}

fn padded(token: &str) -> Option<[u8; TOKEN_CHARACTERS_MAX]> {
    let mut padded = [0; TOKEN_CHARACTERS_MAX];
    padded
        .get_mut(..token.len())?
        .copy_from_slice(token.as_bytes());
    Some(padded)
}

/// The rights of requests: the tokens, if any are needed, and the sessions.
#[derive(Debug)]
pub(super) struct Auth {
    tokens: Option<Tokens>,
    sessions: Mutex<HashMap<u64, Session>>,
    cookie: String,
}

/// A browser that gave a token.
#[derive(Debug)]
struct Session {
    /// The part of the cookie after the session's number.
    secret: [u8; 24],
    access: Access,
    ends: Instant,
    /// Generation of the tokens: the session ends with them.
    generation: u64,
}

impl Auth {
    /// For the server on this port: browsers keep one set of cookies for all ports of a host.
    pub(super) fn new(tokens: Option<Tokens>, port: u16) -> Self {
        Self {
            tokens,
            sessions: Mutex::default(),
            cookie: format!("mixpool_session_{port}"),
        }
    }

    /// Whether anything needs a token.
    pub(super) fn is_on(&self) -> bool {
        self.tokens.is_some()
    }

    /// The news that what was allowed may be so no more; none where all always is.
    pub(super) fn changes(&self) -> Option<watch::Receiver<()>> {
        let tokens = self.tokens.as_ref();
        tokens.map(|tokens| tokens.0.changes.subscribe())
    }

    fn tell_of_change(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.0.changes.send_replace(());
        }
    }

    /// The name of the session's cookie.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The rights of a token, and the generation of the tokens that decided them.
    pub(super) fn access_of(&self, token: &str) -> (Access, u64) {
        match &self.tokens {
            None => (Access::Change, 0),
            Some(tokens) => {
                let pair = tokens.pair();
                (pair.access(token), pair.generation)
            }
        }
    }

    /// The rights of a request with these headers.
    pub(super) fn access(&self, headers: &HeaderMap, now: Instant) -> Access {
        if !self.is_on() {
            return Access::Change;
        }
        match given(headers) {
            Some(token) => self.access_of(&token).0,
            None => self.access_of_session(headers, now),
        }
    }

    fn access_of_session(&self, headers: &HeaderMap, now: Instant) -> Access {
        let Some((number, secret)) = self.session_of(headers) else {
            return Access::Nothing;
        };
        let generation = self.generation();
        let sessions = self.sessions();
        match sessions.get(&number) {
            Some(session)
                if bool::from(session.secret.ct_eq(&secret))
                    && now < session.ends
                    && session.generation == generation =>
            {
                session.access
            }
            _ => Access::Nothing,
        }
    }

    /// Begins a session with the rights of a [token](Self::access_of); returns the cookie's value.
    pub(super) fn begin_session(
        &self,
        (access, generation): (Access, u64),
        now: Instant,
    ) -> String {
        let (number, secret): (u64, [u8; 24]) = rand::random();
        let current = self.generation();
        let mut sessions = self.sessions();
        sessions.retain(|_, session| now < session.ends && session.generation == current);
        // A read-only login ends no session with more rights.
        if sessions.len() >= SESSIONS_MAX
            && let Some(soonest) = sessions
                .iter()
                .min_by_key(|(_, session)| (session.access > access, session.ends))
                .map(|(&number, _)| number)
        {
            sessions.remove(&soonest);
        }
        let ends = now + SESSION_LIFE;
        sessions.insert(
            number,
            Session {
                secret,
                access,
                ends,
                generation,
            },
        );
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id[8..].copy_from_slice(&secret);
        BASE64_URL.encode(id)
    }

    /// Ends the session of a request, if it has one.
    pub(super) fn end_session(&self, headers: &HeaderMap) {
        if let Some((number, secret)) = self.session_of(headers) {
            let mut sessions = self.sessions();
            let known = sessions.get(&number);
            if known.is_some_and(|session| session.secret.ct_eq(&secret).into()) {
                sessions.remove(&number);
                drop(sessions);
                self.tell_of_change();
            }
        }
    }

    fn session_of(&self, headers: &HeaderMap) -> Option<(u64, [u8; 24])> {
        let value = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value)?;
        let id: [u8; 32] = BASE64_URL.decode(value).ok()?.try_into().ok()?;
        let (number, secret) = id.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*number), secret.try_into().ok()?))
    }

    fn generation(&self) -> u64 {
        let tokens = self.tokens.as_ref();
        tokens.map_or(0, |tokens| tokens.pair().generation)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const BASE64_URL: base64::engine::GeneralPurpose = base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The token of `Authorization: Bearer TOKEN` (RFC 6750), or the password of `Basic` (RFC 7617), with any
/// user: players have nothing else.
fn given(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    // In any form, it was meant to be one.
    let given = value.to_str().unwrap_or_default();
    let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = BASE64_STANDARD.decode(rest.trim()).unwrap_or_default();
        let pair = String::from_utf8(pair).unwrap_or_default();
        pair.split_once(':')
            .map(|(_, password)| password.to_owned())
            .unwrap_or_default()
    } else {
        String::new()
    };
    Some(token)
}

#[cfg(test)]
mod tests;
