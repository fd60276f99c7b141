//! One HTTP request on a connection of its own, without a program: for a walk that asks thousands of times. Journeys ask
//! by `curl`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Longest wait for the next piece of an answer.
const LONGEST: Duration = Duration::from_secs(60);

/// The answer as it came, interim ones included, its body whole or as far as it came; and why it ended there.
pub(crate) fn exchange(
    port: u16,
    method: &str,
    url: &str,
    headers: &[&str],
    body: Option<&str>,
) -> (Vec<u8>, String) {
    let mut received = Vec::new();
    let error = ask(port, method, url, headers, body, &mut received).err();
    (unchunked(received), error.map_or_else(String::new, |error| error.to_string()))
}

fn ask(
    port: u16,
    method: &str,
    url: &str,
    headers: &[&str],
    body: Option<&str>,
    received: &mut Vec<u8>,
) -> io::Result<()> {
    let rest = url.strip_prefix("http://").ok_or_else(|| io::Error::other("not http"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.write_all(text.as_bytes())?;
    let mut piece = [0; 16 * 1024];
    while !is_whole(received) {
        match stream.read(&mut piece) {
            Ok(0) if received.is_empty() => return Err(io::Error::other("no answer")),
            Ok(0) => return Ok(()),
            Ok(length) => received.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Head and body of what has come, when its head is whole.
fn parted(received: &[u8]) -> Option<(String, &[u8])> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((String::from_utf8_lossy(&received[..end]).to_ascii_lowercase(), &received[end..]))
}

fn is_chunked(head: &str) -> bool {
    head.contains("\r\ntransfer-encoding: chunked\r\n")
}

/// Whether nothing more is to come, as far as the head says; else the connection's end says it.
fn is_whole(received: &[u8]) -> bool {
    let Some((head, body)) = parted(received) else { return false };
    if is_chunked(&head) {
        return body.ends_with(b"0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.trim().parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// The same with its body in one piece.
fn unchunked(received: Vec<u8>) -> Vec<u8> {
    let Some((head, mut body)) = parted(&received).filter(|(head, _)| is_chunked(head)) else {
        return received;
    };
    let mut whole = received[..head.len()].to_vec();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8_lossy(&body[..end]).into_owned();
        let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        let piece = &body[(end + 2).min(body.len())..];
        whole.extend_from_slice(&piece[..length.min(piece.len())]);
        body = &piece[(length + 2).min(piece.len())..];
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::{is_whole, unchunked};

    #[test]
    fn an_answer_is_whole_when_its_head_says_so() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert!(is_whole(sized) && !is_whole(&sized[..sized.len() - 1]));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"));
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = format!("{head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
        assert!(is_whole(answer.as_bytes()));
        assert_eq!(unchunked(answer.into_bytes()), format!("{head}abcde").into_bytes());
        // One that broke off, as when the server is killed.
        assert_eq!(unchunked(format!("{head}5\r\nab").into_bytes()), format!("{head}ab").into_bytes());
    }
}
