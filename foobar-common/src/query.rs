//! Is this segment the start of an HTTP/1 request?

use crate::{find::ServiceEntry, flow::Segment, frame::Frame, header::Start};

/// A method and the space behind it (RFC 9110 §9), as the first eight bytes of a request show it.
const METHODS: [(u64, u64); 9] = [
    method(b"GET "),
    method(b"POST "),
    method(b"HEAD "),
    method(b"PUT "),
    method(b"DELETE "),
    method(b"PATCH "),
    method(b"OPTIONS "),
    method(b"CONNECT "),
    method(b"TRACE "),
];

/// The shortest request line is longer than this.
const PREFIX: usize = 8;

/// What is compared, and which bytes of it.
const fn method(text: &[u8]) -> (u64, u64) {
    let mut bytes = [0; PREFIX];
    let mut mask = [0; PREFIX];
    let mut index = 0;
    while index < text.len() {
        bytes[index] = text[index];
        mask[index] = 0xff;
        index += 1;
    }
    (u64::from_ne_bytes(bytes), u64::from_ne_bytes(mask))
}

/// Queries that this segment begins: 0 or 1. A request counts where its method stands at the start of a segment.
#[inline(always)]
pub fn queries<F: Frame + ?Sized>(frame: &F, segment: &Segment, service: &ServiceEntry) -> u64 {
    if !service.http {
        return u64::from(segment.opens());
    }
    let start = segment.payload(frame).filter(|payload| payload + PREFIX <= segment.end);
    match start.and_then(|payload| frame.read::<Start>(payload)) {
        Some(start) => u64::from(is_request(start.bytes)),
        None => 0,
    }
}

#[inline(always)]
fn is_request(start: u64) -> bool {
    METHODS.iter().any(|&(bytes, mask)| start & mask == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Tcp;

    fn count(payload: &[u8], http: bool, flags: u8) -> u64 {
        let mut bytes = vec![0; Tcp::LEN];
        bytes[12] = 0x50;
        bytes.extend(payload);
        let segment = Segment { source: 1, destination: 80, flags, header: 0, end: bytes.len() };
        queries(bytes.as_slice(), &segment, &ServiceEntry { http, ..ServiceEntry::default() })
    }

    #[test]
    fn every_method_counts_and_nothing_else_does() {
        for method in ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"] {
            assert_eq!(count(format!("{method} / HTTP/1.1\r\n").as_bytes(), true, Segment::ACK), 1, "{method}");
        }
        for other in ["GETX / HTTP", "HTTP/1.1 200 OK", "get / http/1.1", "GET /", "\0\0\0\0\0\0\0\0"] {
            assert_eq!(count(other.as_bytes(), true, Segment::ACK), 0, "{other}");
        }
    }

    #[test]
    fn elsewhere_a_query_is_a_connection() {
        assert_eq!(count(b"", false, Segment::SYN), 1);
        assert_eq!(count(b"GET / HTTP/1.1\r\n", false, Segment::ACK), 0);
        assert_eq!(count(b"", true, Segment::SYN), 0);
    }
}
