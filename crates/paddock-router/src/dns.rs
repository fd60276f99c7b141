//! The DNS forwarder for dynos and builds: questions go to the host's resolvers, which dynos cannot reach.
//!
//! Each question goes out from a socket of its own with an id of its own, so an answer can be forged only by who
//! guesses both. Answers are not kept and not read beyond that check.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use crate::connection::router::Router;

const HEAD: usize = 12;
const QUESTION_BYTES_MAX: usize = 4096;
/// What a resolver may answer by UDP; more goes by TCP.
const ANSWER_BYTES_MAX: usize = 8192;
/// How long a TCP client may say nothing.
const TCP_IDLE: Duration = Duration::from_secs(10);
const IS_ANSWER: u8 = 0x80;
const SERVER_FAILURE: u8 = 2;

/// Answers questions by UDP until the router is told to stop.
pub(crate) async fn serve_udp(router: Arc<Router>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(router.config.limits.dns_in_flight));
    let mut buffer = [0; QUESTION_BYTES_MAX];
    loop {
        let received = tokio::select! {
            () = router.stop.leaving() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error is one of an earlier answer (its client is gone), not of the socket.
        let Ok((length, client)) = received else { continue };
        let question = buffer[..length].to_vec();
        if !is_question(&question) {
            continue;
        }
        // Too many at once: the client asks again.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (asked, socket) = (router.clone(), socket.clone());
        router.tasks.spawn(async move {
            let answer = ask_udp(&asked, &question).await;
            // The client is gone: nobody to tell.
            let _ = socket.send_to(&answer, client).await;
            drop(place);
        });
    }
}

/// Answers questions by TCP until the router is told to stop.
pub(crate) async fn serve_tcp(router: Arc<Router>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(router.config.limits.dns_in_flight));
    loop {
        let accepted = tokio::select! {
            () = router.stop.leaving() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((mut client, _)) = accepted else {
            // Usually out of descriptors.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let asked = router.clone();
        router.tasks.spawn(async move {
            // Ends with the client, or when it says nothing for too long.
            let _ = serve_tcp_client(&asked, &mut client).await;
            drop(place);
        });
    }
}

async fn serve_tcp_client(router: &Router, client: &mut TcpStream) -> io::Result<()> {
    loop {
        let question = timeout(TCP_IDLE, read_message(client)).await??;
        if !is_question(&question) {
            return Ok(());
        }
        let answer = ask_tcp(router, &question).await;
        timeout(TCP_IDLE, write_message(client, &answer)).await??;
    }
}

async fn ask_udp(router: &Router, question: &[u8]) -> Vec<u8> {
    let resolvers = router.routes.current().resolvers.clone();
    for resolver in resolvers {
        let asked = timeout(router.config.limits.dns_answer, ask_one_udp(resolver, question)).await;
        if let Ok(Ok(answer)) = asked {
            return answer;
        }
    }
    failure(question)
}

async fn ask_one_udp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Only the resolver's datagrams arrive, and its refusal is an error here.
    socket.connect(resolver).await?;
    let [high, low, ..] = *Uuid::new_v4().as_bytes();
    let mut sent = question.to_vec();
    sent[..2].copy_from_slice(&[high, low]);
    socket.send(&sent).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&sent, &buffer[..length]) {
            buffer.truncate(length);
            buffer[..2].copy_from_slice(&question[..2]);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(router: &Router, question: &[u8]) -> Vec<u8> {
    let resolvers = router.routes.current().resolvers.clone();
    for resolver in resolvers {
        let asked = async {
            let mut stream = TcpStream::connect(resolver).await?;
            write_message(&mut stream, question).await?;
            read_message(&mut stream).await
        };
        if let Ok(Ok(answer)) = timeout(router.config.limits.dns_answer, asked).await
            && answers(question, &answer)
        {
            return answer;
        }
    }
    failure(question)
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// A message with exactly one whole question.
fn is_question(message: &[u8]) -> bool {
    message.len() > HEAD
        && message[2] & IS_ANSWER == 0
        && message[4..6] == [0, 1]
        && question_end(message).is_some()
}

/// Whether `answer` is an answer to `question`: same id, same name (in any case), type and class.
fn answers(question: &[u8], answer: &[u8]) -> bool {
    let Some(end) = question_end(question) else { return false };
    answer.len() >= end
        && answer[2] & IS_ANSWER != 0
        && answer[..2] == question[..2]
        && answer[HEAD..end].eq_ignore_ascii_case(&question[HEAD..end])
}

/// Where the first question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEAD;
    loop {
        match usize::from(*message.get(at)?) {
            0 => break,
            label if label < 64 => at += 1 + label,
            // A question's name is never a pointer.
            _ => return None,
        }
    }
    let end = at + 1 + 4;
    (end <= message.len()).then_some(end)
}

/// "The server failed", for a question.
fn failure(question: &[u8]) -> Vec<u8> {
    let end = question_end(question).unwrap_or(question.len());
    let mut answer = question[..end].to_vec();
    // Opcode and "recursion desired" stay; recursion is available.
    answer[2] = (answer[2] & 0x79) | IS_ANSWER;
    answer[3] = 0x80 | SERVER_FAILURE;
    answer[6..HEAD].fill(0);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] =
        b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x01a\x02bc\0\0\x01\0\x01\0\0\x29\x10\0\0\0\0\0\0\0";

    #[test]
    fn only_the_answer_to_the_question_counts() {
        assert!(is_question(QUESTION));
        let failed = failure(QUESTION);
        assert_eq!(failed, b"\x12\x34\x81\x82\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01");
        assert!(answers(QUESTION, &failed));
        assert!(!is_question(&failed));
        let mut other = failed.clone();
        other[0] = 0;
        assert!(!answers(QUESTION, &other));
        let mut upper = failed.clone();
        upper[13] = b'A';
        assert!(answers(QUESTION, &upper));
        upper[13] = b'x';
        assert!(!answers(QUESTION, &upper));
        assert!(!answers(QUESTION, &failed[..15]));
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        for length in 0..QUESTION.len() {
            let _ = is_question(&QUESTION[..length]);
        }
        assert!(!is_question(&QUESTION[..HEAD]));
        assert!(!is_question(&QUESTION[..18]));
        let mut pointer = QUESTION.to_vec();
        pointer[12] = 0xc0;
        assert!(!is_question(&pointer));
    }
}
