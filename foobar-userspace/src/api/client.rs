//! The command line's end of the socket: one connection per request, with a time limit.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{
    types::{Refusal, RefusalKind},
    wire,
};

/// How long the daemon may take to accept.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the daemon may take to answer: attaching and publishing wait for the kernel.
const ANSWER: Duration = Duration::from_secs(30);

/// Speaks to one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Refusal> {
        self.ask(Method::POST, path, json(body)?).await
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Refusal> {
        self.ask(Method::PATCH, path, json(body)?).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.ask(Method::DELETE, path, Bytes::new()).await
    }

    pub async fn delete_with<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Refusal> {
        self.ask(Method::DELETE, path, json(body)?).await
    }

    /// Whether anybody accepts.
    pub async fn is_answered(&self) -> bool {
        self.connect().await.is_ok()
    }

    /// The lines of an answer that goes on for as long as both sides want.
    pub async fn lines(&self, path: &str) -> Result<Lines, Refusal> {
        let stream = self.connect().await?;
        let request = request(Method::GET, path, Bytes::new())?;
        let response = timeout(ANSWER, send(stream, request)).await.map_err(|_| self.slow(ANSWER))??;
        if response.status().is_success() {
            return Ok(Lines { body: response.into_body(), read: Vec::new() });
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| lost(&error))?.to_bytes();
        Err(refused(status, &body))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Refusal> {
        let stream = self.connect().await?;
        let request = request(method, path, body)?;
        let (status, body) = timeout(ANSWER, exchange(stream, request)).await.map_err(|_| self.slow(ANSWER))??;
        understand(status, &body)
    }

    async fn connect(&self) -> Result<UnixStream, Refusal> {
        let connected = timeout(CONNECT, UnixStream::connect(&self.socket)).await.map_err(|_| self.slow(CONNECT))?;
        connected.map_err(|error| unanswered(&self.socket, &error))
    }

    fn slow(&self, limit: Duration) -> Refusal {
        let place = self.socket.display();
        Refusal::broken(format!("the daemon on {place} did not answer within {} s", limit.as_secs()))
            .hint("see its log; the change may still happen: foobar status")
    }
}

/// A path of the API, each part encoded.
pub fn path(parts: &[&str]) -> String {
    let encoded = parts.iter().map(|part| part.bytes().map(encode).collect::<String>());
    format!("/v1/{}", encoded.collect::<Vec<_>>().join("/"))
}

pub fn encode(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    /// The next line, without its end; `None` when the daemon has said all.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(bytes) = frame.map_err(|error| lost(&error))?.into_data() {
                self.read.extend_from_slice(&bytes);
            }
        }
    }
}

fn request(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Refusal> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "foobar")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|error| Refusal::broken(format!("cannot ask for {path}: {error}")))
}

async fn send(stream: UnixStream, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Refusal> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| lost(&error))
}

fn lost(error: &hyper::Error) -> Refusal {
    Refusal::broken(format!("the daemon hung up: {error}")).hint("see its log")
}

async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Refusal> {
    let response = send(stream, request).await?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| lost(&error))?;
    Ok((status, body.to_bytes()))
}

fn json(body: &impl Serialize) -> Result<Bytes, Refusal> {
    let body =
        serde_json::to_vec(body).map_err(|error| Refusal::broken(format!("cannot write the request: {error}")))?;
    Ok(body.into())
}

fn understand<T: DeserializeOwned>(status: StatusCode, body: &Bytes) -> Result<T, Refusal> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| odd(status, body, &error));
    }
    Err(refused(status, body))
}

fn refused(status: StatusCode, body: &Bytes) -> Refusal {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => Refusal { kind: wire::kind(status), ..refusal },
        Err(error) => odd(status, body, &error),
    }
}

fn odd(status: StatusCode, body: &Bytes, error: &serde_json::Error) -> Refusal {
    let body = String::from_utf8_lossy(body);
    Refusal::broken(format!("the daemon's answer is not understood: {status}, {error}: {body}"))
        .hint("is `foobar` as old as the daemon it talks to?")
}

fn unanswered(socket: &Path, error: &io::Error) -> Refusal {
    let place = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Refusal::new(RefusalKind::Missing, format!("no daemon answers on {place}"))
                .hint("start the daemon: foobar run")
        }
        io::ErrorKind::PermissionDenied => {
            Refusal::refused(format!("the socket {place} may not be opened: {error}")).hint("run it as root")
        }
        _ => {
            Refusal::refused(format!("the socket {place} cannot be opened: {error}")).hint("name the socket: --socket")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!(path(&["interfaces", "eth0@x/y"]), "/v1/interfaces/eth0%40x%2Fy");
        assert_eq!(path(&["services", "web", "backends", "2001:db8::1"]), "/v1/services/web/backends/2001:db8::1");
    }

    #[test]
    fn a_refusal_comes_back_as_it_was_said() {
        let body = Bytes::from_static(br#"{"error": "there is no rule 9", "hint": "list them: foobar rules"}"#);

        let refusal = understand::<Vec<String>>(StatusCode::NOT_FOUND, &body).unwrap_err();

        assert_eq!(refusal, Refusal::missing("there is no rule 9").hint("list them: foobar rules"));
    }

    #[test]
    fn an_answer_that_is_not_json_is_shown() {
        let refusal = understand::<Vec<String>>(StatusCode::OK, &Bytes::from_static(b"hello")).unwrap_err();

        assert_eq!(refusal.kind, RefusalKind::Broken);
        assert!(refusal.error.contains("hello"), "{}", refusal.error);
    }

    #[tokio::test]
    async fn a_socket_that_nobody_answers_has_a_next_step() {
        let dir = tempfile::tempdir().unwrap();

        let refusal = Client::new(&dir.path().join("none.sock")).get::<Vec<String>>("/v1/rules").await.unwrap_err();

        assert!(refusal.error.starts_with("no daemon answers on "), "{}", refusal.error);
        assert_eq!(refusal.hint.as_deref(), Some("start the daemon: foobar run"));
    }
}
