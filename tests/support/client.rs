//! A client that trusts nothing: it holds each answer to the description, and to what all answers have in
//! common.

use std::{
    fmt,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
};

use serde_json::Value;
use tungstenite::handshake::client::Response;

pub use crate::patience::PATIENCE;
use crate::patience::brief;

pub const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The answer to a request.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// As a failure shows it.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status, headers, ..
        } = self;
        write!(f, "{status} {headers:?} {}", brief(self.text()))
    }
}

impl Answer {
    /// The values of all header fields of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its detail, if it is a problem with that status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", brief(self.text()));
        self.json()["detail"].as_str().unwrap().to_owned()
    }

    /// Its body, if all went well.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", brief(self.text()));
        self.json()
    }

    /// One with this head, which may end with an empty line, and this body.
    pub fn of(head: &str, body: Vec<u8>) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body,
        }
    }

    /// The answer to a handshake.
    pub fn of_handshake(response: &Response) -> Self {
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: Vec::new(),
        }
    }

    /// Reads one answer, and no more; none if the connection ends before it.
    pub fn read(stream: &mut TcpStream, head_only: bool) -> Option<Self> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&text)),
            }
        }
        let mut answer = Self::of(&String::from_utf8(text).unwrap(), Vec::new());
        if let Some(length) = answer.header("content-length")
            && !head_only
        {
            answer.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut answer.body).unwrap();
        }
        Some(answer)
    }
}

/// A client with its token.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    pub description: Arc<Value>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Vec::new(),
            description: Arc::new(Value::Null),
        }
    }

    /// One that knows the description of a server without tokens, which is the same for all.
    pub fn knowing(address: SocketAddr) -> Self {
        static DESCRIPTION: OnceLock<Arc<Value>> = OnceLock::new();
        let mut client = Self::new(address);
        let read = || Arc::new(client.get("/api/v1/openapi.json").ok(200));
        let description = Arc::clone(DESCRIPTION.get_or_init(read));
        client.description = description;
        client
    }

    /// The same with a header field more.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub fn with_token(&self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[JSON], body.to_string().as_bytes())
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[JSON], body.to_string().as_bytes())
    }

    /// A request on a connection of its own, and the answer, which keeps what the description promises.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let head = self.head(method, path, headers, Some(body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // A server that has refused already need not read it.
        let _ = stream.write_all(body);
        let answer = Answer::read(&mut stream, method == "HEAD");
        let answer = answer.unwrap_or_else(|| panic!("no answer to {method} {path}"));
        self.check(method, path, &answer);
        answer
    }

    /// A request's head. A Host of the client's own takes the place of the address.
    pub fn head(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<usize>,
    ) -> String {
        let own = self.headers.iter().map(|(name, value)| (&**name, &**value));
        let all: Vec<_> = own.chain(headers.iter().copied()).collect();
        let mut lines = vec![format!("{method} {path} HTTP/1.1")];
        if !all.iter().any(|(name, _)| *name == "Host") {
            lines.push(format!("Host: {}", self.address));
        }
        if let Some(bytes) = body.filter(|&bytes| bytes > 0 || method == "POST") {
            lines.push(format!("Content-Length: {bytes}"));
        }
        lines.extend(all.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.join("\r\n") + "\r\n\r\n"
    }

    /// The laws of every answer.
    #[track_caller]
    pub fn check(&self, method: &str, path: &str, answer: &Answer) {
        for (name, part) in [
            ("content-security-policy", "default-src 'self'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("permissions-policy", "microphone=(self)"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-"),
        ] {
            let value = answer.header(name);
            assert!(
                value.is_some_and(|value| value.contains(part)),
                "{answer:?}"
            );
        }
        assert_eq!(answer.header("server"), None, "{answer:?}");
        if answer.status >= 400 {
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
            if method != "HEAD" {
                let problem = answer.json();
                assert_eq!(problem["type"], "about:blank");
                assert_eq!(problem["status"], answer.status);
                assert!(problem["title"].is_string());
                assert!(
                    problem["detail"]
                        .as_str()
                        .is_some_and(|text| text.len() > 10)
                );
            }
        }
        if !self.description.is_null() {
            self.check_declared(method, path, answer);
        }
    }

    /// The description has the route, the status and the type of the content.
    #[track_caller]
    fn check_declared(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let paths = self.description["paths"].as_object().unwrap();
        let item = paths.get(path).or_else(|| {
            paths
                .iter()
                .find(|(known, _)| fits(known, path))
                .map(|(_, item)| item)
        });
        let Some(item) = item else {
            // The page's files are for people, and the rest is refused.
            let is_page = answer.status < 400 && !path.starts_with("/api");
            assert!(is_page || [400, 403, 404, 405, 414, 421, 429, 431].contains(&answer.status));
            return;
        };
        let method = match method {
            "HEAD" => "get".to_owned(),
            method => method.to_ascii_lowercase(),
        };
        let Some(operation) = item.get(&method) else {
            let refused = [400, 401, 403, 405, 414, 421, 429, 431].contains(&answer.status);
            assert!(refused, "{method} {path}: {answer:?}");
            return;
        };
        let declared = &operation["responses"][answer.status.to_string()];
        let declared = match declared["$ref"].as_str() {
            Some(reference) => self
                .description
                .pointer(reference.trim_start_matches('#'))
                .unwrap(),
            None => declared,
        };
        let status = answer.status;
        assert!(
            declared.is_object(),
            "{method} {path}: {status} is not declared"
        );
        if let Some(kind) = answer.header("content-type") {
            let kind = kind.split(';').next().unwrap();
            let known = &declared["content"][kind];
            assert!(
                known.is_object(),
                "{method} {path}: {status} as {kind} is not declared"
            );
        }
        for name in declared["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            let name = name.to_ascii_lowercase();
            assert!(
                answer.header(&name).is_some(),
                "{method} {path}: {status} without {name}"
            );
        }
    }
}

/// Whether a path is one of those that the description writes like this: `/streams/{id}`.
pub fn fits(known: &str, path: &str) -> bool {
    let (known, path) = (known.split('/'), path.split('/'));
    let mut pairs = known.clone().zip(path.clone());
    known.count() == path.count()
        && pairs.all(|(known, part)| match known.split_once('{') {
            None => known == part,
            Some((_, rest)) => {
                let suffix = rest.split_once('}').map_or("", |(_, suffix)| suffix);
                !part.is_empty() && part.ends_with(suffix)
            }
        })
}
