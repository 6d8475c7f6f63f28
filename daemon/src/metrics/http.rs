//! As much of HTTP/1.1 (RFC 9112) as a scrape needs: one request for a connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Largest head of a request; nobody who scrapes sends a tenth of it.
const HEAD: usize = 8 * 1024;
/// Most that is read and thrown away after the answer.
const REST: usize = 256 * 1024;
/// For how long the client may take to end the connection after the answer.
const LINGER: Duration = Duration::from_secs(1);
/// Where the numbers are.
const PATH: &str = "/metrics";
/// OpenMetrics 1.0, "Protocol Negotiation".
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Reads a request, answers it and ends the connection. `numbers` is called only if they were asked for.
///
/// # Errors
/// The connection broke.
pub async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    numbers: impl FnOnce() -> String,
) -> io::Result<()> {
    let Some(head) = read_head(stream).await? else { return Ok(()) };
    let response = respond(&head, numbers);
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    // RFC 9112 §9.6: a socket that is closed with something unread in it is reset, and the client may lose the answer.
    let _ = timeout(LINGER, drain(stream)).await;
    Ok(())
}

/// Reads what else was sent (a body, further requests), up to a bound, and throws it away.
async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut waste = [0; 4096];
    let mut left = REST;
    while let Ok(length @ 1..) = stream.read(&mut waste).await {
        left = left.saturating_sub(length);
        if left == 0 {
            return;
        }
    }
}

/// The head of the request: all up to the empty line, or as much as is allowed. `None`: nothing was asked.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.take((HEAD - head.len()) as u64).read_buf(&mut head).await? == 0 {
            return Ok((!head.is_empty()).then_some(head));
        }
        if is_whole(&head) || head.len() >= HEAD {
            return Ok(Some(head));
        }
    }
}

fn is_whole(head: &[u8]) -> bool {
    // RFC 9112 §2.2: a lone line feed may end a line, too.
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

fn respond(head: &[u8], numbers: impl FnOnce() -> String) -> String {
    if !is_whole(head) {
        return if head.len() >= HEAD {
            refusal("431 Request Header Fields Too Large", "")
        } else {
            refusal("400 Bad Request", "")
        };
    }
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    let [method, target, version] = words.as_slice() else { return refusal("400 Bad Request", "") };
    if !version.starts_with("HTTP/1.") {
        return refusal("505 HTTP Version Not Supported", "");
    }
    // A proxy may write the target as a whole address (RFC 9112 §3.2.2); what comes after "?" is not for us.
    let path =
        target.strip_prefix("http://").map_or(*target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    let path = path.split('?').next().unwrap_or_default();
    match (*method, path) {
        (_, path) if path != PATH => refusal("404 Not Found", ""),
        ("GET", _) => {
            let body = numbers();
            whole("200 OK", OPENMETRICS, "", body.len(), &body)
        }
        ("HEAD", _) => whole("200 OK", OPENMETRICS, "", numbers().len(), ""),
        // RFC 9110 §15.5.6.
        _ => refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    }
}

fn refusal(status: &str, header: &str) -> String {
    let body = format!("{status}. The metrics are at {PATH}.\n");
    whole(status, PLAIN, header, body.len(), &body)
}

fn whole(status: &str, kind: &str, header: &str, length: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{header}Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        let response = respond(request.as_bytes(), || "numbers".to_owned());
        response.split("\r\n").next().unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned()
    }

    #[test]
    fn the_numbers_are_at_one_place() {
        assert_eq!(status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK");
        assert_eq!(status("GET /metrics?x=1 HTTP/1.0\n\n"), "200 OK");
        assert_eq!(status("GET http://localhost/metrics HTTP/1.1\r\n\r\n"), "200 OK");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("GET http://localhost HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("GET /metrics HTTP/2\r\n\r\n"), "505 HTTP Version Not Supported");
    }

    #[test]
    fn the_answer_says_what_it_is_and_how_long() {
        let response = respond(b"GET /metrics HTTP/1.1\r\n\r\n", || "numbers".to_owned());
        assert_eq!(
            response,
            "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
             Content-Length: 7\r\nConnection: close\r\n\r\nnumbers"
        );
        let head = respond(b"HEAD /metrics HTTP/1.1\r\n\r\n", || "numbers".to_owned());
        assert_eq!(head, response.strip_suffix("numbers").unwrap());
    }

    #[test]
    fn what_is_no_request_is_answered_all_the_same() {
        for wrong in [
            "\r\n\r\n",
            "GET\r\n\r\n",
            "GET /metrics",
            "\u{1f339} \u{1f339}\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(status(wrong), "400 Bad Request", "{wrong:?}");
        }
        assert_eq!(status(&"x".repeat(HEAD)), "431 Request Header Fields Too Large");
    }

    proptest::proptest! {
        #[test]
        fn no_request_is_a_panic(head in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert!(respond(&head, String::new).starts_with("HTTP/1.1 "));
        }
    }
}
