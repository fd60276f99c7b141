//! The DNS forwarder, with toy resolvers.

use std::net::SocketAddr;
use std::time::Duration;

use paddock_ipc::routes::{FromRouter, Listener, ListenerKind, ToRouter};
use paddock_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::support::{Sockets, TestRouter, closed_port, in_time, limits, public_listener, table};

const QUESTION: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03app\x04test\0\0\x01\0\x01";
const ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";

/// The answer to a question: one address.
fn answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[7] = 1;
    answer.extend_from_slice(ADDRESS);
    answer
}

async fn start(resolvers: Vec<SocketAddr>) -> (TestRouter, SocketAddr, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let control = std::os::unix::net::UnixListener::bind(folder.path().join("router.sock")).unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (by_udp, by_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let listeners = vec![
        public_listener(),
        (Listener { kind: ListenerKind::DnsUdp, address: by_udp }, udp.into()),
        (Listener { kind: ListenerKind::DnsTcp, address: by_tcp }, tcp.into()),
    ];
    let limits = Limits { dns_answer: Duration::from_millis(200), ..limits() };
    let sockets = Sockets { listeners, control: control.into() };
    let mut router = TestRouter::start_in(folder, limits, sockets).await;
    let routes = paddock_ipc::routes::RouteTable { resolvers, ..table(1, &[]) };
    let answer = router.control.ask(&ToRouter::Routes(Box::new(routes)));
    assert_eq!(answer, FromRouter::Done { generation: 1 });
    (router, by_udp, by_tcp)
}

async fn ask(server: SocketAddr) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(QUESTION).await.unwrap();
    let mut buffer = vec![0; 1024];
    let length = in_time("an answer", socket.recv(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    buffer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_goes_to_a_resolver_that_answers() {
    // The first says nothing, the second refuses, the third lies once and then answers.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let closed = closed_port();
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolvers = vec![silent.local_addr().unwrap(), closed, resolver.local_addr().unwrap()];
    let (_router, by_udp, _) = start(resolvers).await;
    let resolving = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        let (length, from) = resolver.recv_from(&mut buffer).await.unwrap();
        let question = &buffer[..length];
        assert_eq!(&question[2..], &QUESTION[2..]);
        let mut wrong_id = answer(question);
        wrong_id[0] ^= 1;
        resolver.send_to(&wrong_id, from).await.unwrap();
        let mut wrong_name = answer(question);
        wrong_name[13] = b'x';
        resolver.send_to(&wrong_name, from).await.unwrap();
        resolver.send_to(&answer(question), from).await.unwrap();
    });
    assert_eq!(ask(by_udp).await, answer(QUESTION));
    resolving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_resolver_answers_the_server_failed() {
    let closed = closed_port();
    let (_router, by_udp, by_tcp) = start(vec![closed]).await;
    let mut failed = QUESTION.to_vec();
    failed[2..4].copy_from_slice(&[0x81, 0x82]);
    assert_eq!(ask(by_udp).await, failed);
    let mut client = TcpStream::connect(by_tcp).await.unwrap();
    assert_eq!(ask_tcp(&mut client).await, failed);
}

async fn ask_tcp(client: &mut TcpStream) -> Vec<u8> {
    let length = u16::try_from(QUESTION.len()).unwrap();
    client.write_all(&[&length.to_be_bytes(), QUESTION].concat()).await.unwrap();
    let length = in_time("an answer", client.read_u16()).await.unwrap();
    let mut answer = vec![0; usize::from(length)];
    in_time("an answer", client.read_exact(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_by_tcp_are_relayed() {
    let resolver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_router, _, by_tcp) = start(vec![resolver.local_addr().unwrap()]).await;
    let resolving = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = resolver.accept().await.unwrap();
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            let answer = answer(&question);
            let length = u16::try_from(answer.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await.unwrap();
        }
    });
    let mut client = TcpStream::connect(by_tcp).await.unwrap();
    assert_eq!(ask_tcp(&mut client).await, answer(QUESTION));
    assert_eq!(ask_tcp(&mut client).await, answer(QUESTION));
    resolving.await.unwrap();
}
