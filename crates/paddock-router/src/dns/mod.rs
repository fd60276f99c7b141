//! The DNS forwarder for dynos and builds: questions go to the host's resolvers, which dynos cannot reach.
//!
//! Each question goes out from a socket of its own with an id of its own, so an answer can be forged only by who
//! guesses both. Answers are not kept and not read beyond that check. Names of data services are answered here ([`names`]).

mod message;
mod names;
mod places;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use uuid::Uuid;

use self::message::{answers, failure, is_question};
use self::places::Places;
use crate::connection::router::Router;

const QUESTION_BYTES_MAX: usize = 4096;
/// What a resolver may answer by UDP; more goes by TCP.
const ANSWER_BYTES_MAX: usize = 8192;
/// How long a TCP client may say nothing.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// Answers questions by UDP until the router is told to stop.
pub(crate) async fn serve_udp(router: Arc<Router>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let limits = &router.config.limits;
    let places = Places::new(limits.dns_in_flight, limits.dns_of_one);
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
        let Some(place) = places.take(client.ip()) else { continue };
        let (asked, socket) = (router.clone(), socket.clone());
        router.tasks.spawn(async move {
            let answer = match names::answer(&asked, &question, client.ip()).await {
                Some(answer) => answer,
                None => ask_udp(&asked, &question).await,
            };
            // The client is gone: nobody to tell.
            let _ = socket.send_to(&answer, client).await;
            drop(place);
        });
    }
}

/// Answers questions by TCP until the router is told to stop.
pub(crate) async fn serve_tcp(router: Arc<Router>, listener: TcpListener) {
    let limits = &router.config.limits;
    let places = Places::new(limits.dns_in_flight, limits.dns_of_one);
    loop {
        let accepted = tokio::select! {
            () = router.stop.leaving() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((mut client, address)) = accepted else {
            // Usually out of descriptors.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(place) = places.take(address.ip()) else { continue };
        let asked = router.clone();
        router.tasks.spawn(async move {
            // Ends with the client, or when it says nothing for too long.
            let _ = serve_tcp_client(&asked, &mut client, address.ip()).await;
            drop(place);
        });
    }
}

async fn serve_tcp_client(router: &Router, client: &mut TcpStream, address: IpAddr) -> io::Result<()> {
    loop {
        let question = timeout(TCP_IDLE, read_message(client)).await??;
        if !is_question(&question) {
            return Ok(());
        }
        let answer = match names::answer(router, &question, address).await {
            Some(answer) => answer,
            None => ask_tcp(router, &question).await,
        };
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
