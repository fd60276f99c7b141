//! The DNS forwarder, with toy resolvers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use paddock_ipc::routes::{AppRoute, DataNames, FromRouter, Listener, ListenerKind, ToRouter, Web};
use paddock_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::support::{
    Sockets, TestRouter, app, change, closed_port, in_time, limits, public_listener, table,
};

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
    let limits =
        Limits { dns_answer: Duration::from_millis(200), dns_asker: Duration::from_millis(500), ..limits() };
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

const ID: &str = "0198c0de-0000-7000-8000-00000000da7a";
const A: u8 = 1;
const AAAA: u8 = 28;

fn question_about(name: &str, kind: u8) -> Vec<u8> {
    let mut question = QUESTION[..12].to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, kind, 0, 1]);
    question
}

/// A question about a name, asked from an address: the answer's code, and what it says.
async fn ask_about(server: SocketAddr, from: [u8; 4], name: &str, kind: u8) -> (u8, Vec<u8>) {
    let question = question_about(name, kind);
    let socket = UdpSocket::bind(SocketAddr::from((from, 0))).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&question).await.unwrap();
    let mut buffer = vec![0; 1024];
    let length = in_time("an answer", socket.recv(&mut buffer)).await.unwrap();
    let (head, said) = buffer[..length].split_at(question.len());
    assert_eq!((&head[..2], &head[12..]), (&question[..2], &question[12..]));
    assert_eq!(usize::from(head[7]), usize::from(!said.is_empty()));
    (head[3] & 15, said.to_vec())
}

/// An app whose dynos are here, and that has this attached.
fn attached(name: &'static str, dynos: &[[u8; 4]], id: &str, address: [u8; 4]) -> AppRoute {
    let data = DataNames {
        addresses: [(id.to_owned(), IpAddr::from(address))].into(),
        askers: dynos.iter().map(|dyno| IpAddr::from(*dyno)).collect(),
    };
    AppRoute { data, ..app(name, Web::None).route }
}

fn address_record(address: [u8; 4]) -> Vec<u8> {
    [b"\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04".as_slice(), &address].concat()
}

const NO_SUCH_NAME: (u8, Vec<u8>) = (3, Vec::new());

#[tokio::test(flavor = "multi_thread")]
async fn a_data_service_has_a_name_for_the_dynos_of_who_has_it_attached() {
    // Whatever comes to the resolver was passed on.
    let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (mut router, by_udp, by_tcp) = start(vec![resolver.local_addr().unwrap()]).await;
    let (shop, theirs, unknown) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]);
    for (after, name, route) in [
        (1, "shop", attached("shop", &[shop], ID, [10, 1, 2, 3])),
        (2, "other", attached("other", &[theirs], "another", [10, 1, 2, 4])),
    ] {
        let answer = router.control.ask(&change(after, after + 1, name, Some(route)));
        assert_eq!(answer, FromRouter::Done { generation: after + 1 });
    }
    let name = format!("{ID}.data.paddock.test");
    assert_eq!(ask_about(by_udp, shop, &name, A).await, (0, address_record([10, 1, 2, 3])));
    let shouted = name.to_uppercase();
    assert_eq!(ask_about(by_udp, shop, &shouted, A).await, (0, address_record([10, 1, 2, 3])));
    assert_eq!(ask_about(by_udp, shop, &name, AAAA).await, (0, Vec::new()), "there is such a name");
    for (from, asked) in [
        (theirs, name.as_str()),
        (unknown, &name),
        (shop, "another.data.paddock.test"),
        (shop, "none.data.paddock.test"),
        (shop, &format!("www.{name}")),
    ] {
        for kind in [A, AAAA] {
            assert_eq!(ask_about(by_udp, from, asked, kind).await, NO_SUCH_NAME, "{asked} from {from:?}");
        }
    }
    // By TCP as well.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((theirs, 0))).unwrap();
    let mut client = socket.connect(by_tcp).await.unwrap();
    let question = question_about(&name, A);
    let length = u16::try_from(question.len()).unwrap();
    client.write_all(&[&length.to_be_bytes(), &question[..]].concat()).await.unwrap();
    let length = in_time("an answer", client.read_u16()).await.unwrap();
    let mut answer = vec![0; usize::from(length)];
    in_time("an answer", client.read_exact(&mut answer)).await.unwrap();
    assert_eq!((answer[3] & 15, answer.len()), (3, question.len()));
    let mut passed_on = [0; 1024];
    assert_eq!(resolver.try_recv(&mut passed_on).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    // What is not attached any more has no name any more.
    router.control.ask(&change(3, 4, "shop", Some(app("shop", Web::None).route)));
    assert_eq!(ask_about(by_udp, shop, &name, A).await, NO_SUCH_NAME);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_asks_before_it_is_known_waits_for_its_answer() {
    let (mut router, by_udp, _) = start(Vec::new()).await;
    let name = format!("{ID}.data.paddock.test");
    let dyno = [127, 0, 0, 2];
    let ((code, said), ()) = tokio::join!(ask_about(by_udp, dyno, &name, A), async {
        router.control.ask(&change(1, 2, "shop", Some(attached("shop", &[dyno], ID, [10, 1, 2, 3]))));
    });
    assert_eq!((code, said), (0, address_record([10, 1, 2, 3])));
}
