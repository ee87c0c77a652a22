//! What is asked for in one request is one change: published once, or refused whole.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use foobar_tests::site::{Site, backend};
use foobar_userspace::domain::BackendState;

/// Sends a change of a backend of `web`; the answer's status line.
fn patch(site: &Site, body: &str) -> String {
    let mut stream = UnixStream::connect(site.foobar.socket()).expect("the daemon's socket");
    let (path, len) = (format!("/v1/services/web/backends/{}", backend(1)), body.len());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: foobar\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len}"
    );
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().expect("a status line").to_owned()
}

#[test]
fn a_weight_and_a_state_are_published_at_once() {
    let site = Site::with_web(2);
    let before = site.status().generation;

    assert!(patch(&site, r#"{"weight": 7, "state": "drain"}"#).contains(" 200 "), "it is done");

    let after = site.status();
    let changed = after.services[0].backends.iter().find(|other| other.address == backend(1)).expect("the backend");
    assert_eq!((changed.weight, changed.state), (7, BackendState::Drain));
    assert_eq!(after.generation, before + 1, "one change");

    assert!(patch(&site, r#"{"weight": 1001, "state": "ready"}"#).contains(" 4"), "no such weight");
    let left = site.status();
    let now = left.services[0].backends.iter().find(|other| other.address == backend(1)).expect("the backend");
    assert_eq!((now.weight, now.state, now.slots), (changed.weight, changed.state, changed.slots), "refused whole");
    assert_eq!(left.generation, after.generation, "refused whole");
}
