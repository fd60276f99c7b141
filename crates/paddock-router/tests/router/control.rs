//! Adoption, tables, acknowledgements and stopping.

use std::net::TcpListener;
use std::os::fd::AsFd;

use paddock_ipc::frame;
use paddock_ipc::routes::{FromRouter, RouteTable, ToRouter, Web};
use paddock_ipc::spool::Reader;
use paddock_router::Limits;

use crate::support::{
    Control, DEADLINE, INSTANCE, Sockets, TestDyno, TestRouter, app, app_at, change, eventually, in_time,
    limits, read_head, table, texts,
};

#[tokio::test(flavor = "multi_thread")]
async fn serve_adopts_a_router_and_gets_its_sockets() {
    let mut router = TestRouter::start().await;
    router.route(&[]);
    let mut control = Control::connect(router.folder.path().join("router.sock"));
    let (hello, sockets) = control.hello(INSTANCE);
    let FromRouter::Hello { version, program, instance, pid, generation, listeners, spool, retiring } = hello
    else {
        panic!("{hello:?}")
    };
    assert_eq!((version, program.as_str(), instance.as_str()), (paddock_ipc::VERSION, "test", INSTANCE));
    assert_eq!((pid, generation), (std::process::id(), 1));
    assert_eq!((spool, retiring), (Some(router.config.spool.to_string()), false));
    assert_eq!((listeners.len(), sockets.len()), (1, 1));
    assert_eq!(listeners[0].address, router.public);
    let socket = TcpListener::from(sockets.into_iter().next().unwrap());
    assert_eq!(socket.local_addr().unwrap(), router.public);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_this_router_is_refused() {
    let router = TestRouter::start().await;
    let path = router.folder.path().join("router.sock");
    let (answer, sockets) = Control::connect(path.clone()).hello("zzzzzz");
    assert!(matches!(&answer, FromRouter::Refused { reason } if reason.contains("abcdef")), "{answer:?}");
    assert!(sockets.is_empty());
    let mut stranger = Control::connect(path.clone());
    assert!(matches!(stranger.ask(&ToRouter::Stop), FromRouter::Refused { .. }));

    // Nonsense ends its own connection only.
    let nonsense = Control::connect(path.clone());
    frame::send(nonsense.0.as_fd(), &"nonsense", &[]).unwrap();
    assert!(frame::receive::<FromRouter>(nonsense.0.as_fd()).unwrap().is_none());
    assert!(matches!(Control::connect(path).hello(INSTANCE).0, FromRouter::Hello { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_is_refused_and_the_newer_one_stays() {
    let mut router = TestRouter::start().await;
    let one = [app_at("one", TestDyno::listen().await.say("one"))];
    router.route(&one);
    router.route(&one);
    let older = ToRouter::Routes(Box::new(table(1, &[])));
    assert!(matches!(router.control.ask(&older), FromRouter::Refused { .. }));
    assert_eq!(router.get("one.paddock.test").await.body, "one");
    let same = ToRouter::Routes(Box::new(table(2, &[])));
    assert_eq!(router.control.ask(&same), FromRouter::Done { generation: 2 });
    assert_eq!(router.get("one.paddock.test").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_app_is_changed_alone_and_who_leaves_something_out_is_asked_for_all() {
    let mut router = TestRouter::start().await;
    assert_eq!(router.control.ask(&change(2, 3, "one", None)), FromRouter::Gap { generation: 0 });
    router.route(&[app_at("one", TestDyno::listen().await.say("one"))]);
    router.route_app(&app_at("two", TestDyno::listen().await.say("two")).also_at("www.two.test"));
    router.route_app(&app_at("one", TestDyno::listen().await.say("one again")));
    for (host, body) in [("one.paddock.test", "one again"), ("www.two.test", "two")] {
        assert_eq!(router.get(host).await.body, body);
    }

    let whole = std::fs::read(router.config.folder.join("routes.json")).unwrap();
    let gap = FromRouter::Gap { generation: router.generation };
    assert_eq!(router.control.ask(&change(router.generation - 1, router.generation + 1, "two", None)), gap);
    assert_eq!(router.control.ask(&change(router.generation + 1, router.generation + 2, "two", None)), gap);
    assert_eq!(router.get("www.two.test").await.body, "two");
    let gone = change(router.generation, router.generation + 5, "two", None);
    assert_eq!(router.control.ask(&gone), FromRouter::Done { generation: router.generation + 5 });
    assert_eq!(router.get("www.two.test").await.status, 404);
    assert_eq!(std::fs::read(router.config.folder.join("routes.json")).unwrap(), whole, "not written anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_its_dyno_hears_of_a_change_of_its_app() {
    let mut router = TestRouter::start().await;
    router.route(&[app("one", Web::Starting)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
    router.route_app(&app("two", Web::Starting));
    router.route_app(&app_at("one", TestDyno::listen().await.say("up")));
    assert_eq!(in_time("the answer", client.response()).await.body, "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_go() {
    let mut router = TestRouter::start_with(Limits { spool_bytes: 16 * 1024, ..limits() }).await;
    router.route(&[app_at("one", TestDyno::listen().await.say("one"))]);
    let mut client = router.connect().await;
    for _ in 0..30 {
        client.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    let last = router.records(30).await.last().unwrap().seq;
    assert_eq!(router.control.ask(&ToRouter::Ack { seq: last }), FromRouter::Done { generation: 1 });
    let first_left = Reader::new(&router.spool(), 0).next_batch(1024 * 1024).unwrap();
    assert!(first_left.first().is_none_or(|record| record.seq > 1), "nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_requests_in_flight_and_takes_no_new_ones() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("slow", dyno.address)]);
    let mut idle = router.connect().await;
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: slow.paddock.test\r\n\r\n").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    let spool = router.spool();
    let public = router.public;
    let stopping = tokio::spawn(router.stop());
    // A client that has sent nothing is let go at once.
    assert_eq!(idle.rest().await, b"");
    at_dyno.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.response().await.body, "hi");
    assert_eq!(client.rest().await, b"");
    let _folder = stopping.await.unwrap();
    let records = Reader::new(&spool, 0).next_batch(1024 * 1024).unwrap();
    assert_eq!(records.len(), 1, "{:?}", texts(&records));
    // All its copies of the listening socket are closed.
    eventually("the closed port", || std::net::TcpStream::connect_timeout(&public, DEADLINE).is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_broken_off_as_h24() {
    let mut router =
        TestRouter::start_with(Limits { drain: std::time::Duration::from_millis(100), ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("slow", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: slow.paddock.test\r\n\r\n").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    let spool = router.spool();
    let _folder = router.stop().await;
    assert_eq!(client.rest().await, b"");
    let lines = texts(&Reader::new(&spool, 0).next_batch(1024 * 1024).unwrap());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("at=error code=H24 desc=\"Forced close\" "), "{lines:?}");
    assert!(lines[0].contains(" status= "), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_router_on_the_old_sockets_goes_on_with_the_old_table() {
    let mut router = TestRouter::start().await;
    let one = [app_at("one", TestDyno::listen().await.say("one"))];
    router.route(&one);
    router.route(&one);
    assert_eq!(router.get("one.paddock.test").await.body, "one");
    let path = router.folder.path().join("router.sock");
    let (FromRouter::Hello { listeners, .. }, sockets) = router.control.hello(INSTANCE) else {
        panic!("no hello")
    };
    let limits = router.config.limits.clone();
    let public = router.public;
    let folder = router.stop().await;

    // While no router runs clients wait in the backlog.
    let waiting = std::net::TcpStream::connect_timeout(&public, DEADLINE).unwrap();
    std::fs::remove_file(&path).unwrap();
    let control = std::os::unix::net::UnixListener::bind(&path).unwrap().into();
    let listeners = listeners.into_iter().zip(sockets).collect();
    let mut router = TestRouter::start_in(folder, limits, Sockets { listeners, control }).await;
    waiting.set_nonblocking(true).unwrap();
    let mut client = crate::support::Client(tokio::net::TcpStream::from_std(waiting).unwrap());
    client.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
    assert_eq!(in_time("the answer", client.response()).await.body, "one");
    let records = router.records(1).await;
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1], "a spool of its own");
    let older: RouteTable = table(1, &[]);
    assert!(matches!(router.control.ask(&ToRouter::Routes(Box::new(older))), FromRouter::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_retires_answers_whom_it_has_and_follows_tables_until_they_are_gone() {
    let mut router = TestRouter::start().await;
    let old = [app_at("one", TestDyno::listen().await.say("old"))];
    router.route(&old);
    let get = "GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n";
    let (mut quiet, mut silent) = (router.connect().await, router.connect().await);
    quiet.send(get).await;
    assert_eq!(quiet.response().await.body, "old");
    // Accepted, though it has said nothing: the one behind it in the queue was answered.
    let mut behind = router.connect().await;
    behind.send(get).await;
    assert_eq!(behind.response().await.body, "old");
    drop(behind);

    let (_, sockets) = router.control.hello(INSTANCE);
    assert_eq!(router.control.ask(&ToRouter::Retire), FromRouter::Done { generation: 1 });
    let mut look = Control::connect(router.folder.path().join("router.sock"));
    let (FromRouter::Hello { retiring, listeners, .. }, _) = look.hello(INSTANCE) else { panic!("no hello") };
    assert!(retiring && listeners.is_empty());
    // Ours is the last copy of the listening socket: who comes now waits for another router.
    let waiting = std::net::TcpStream::connect_timeout(&router.public, DEADLINE).unwrap();

    let folder = router.config.folder.clone();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let kept = ["routes.json", "routes.journal"].map(read);
    router.route(&[app_at("one", TestDyno::listen().await.say("newer"))]);
    router.route_app(&app_at("one", TestDyno::listen().await.say("new")));
    assert_eq!(["routes.json", "routes.journal"].map(read), kept);
    assert!(kept[0].is_some() && kept[1].is_none());
    for client in [&mut quiet, &mut silent] {
        client.send(get).await;
        let response = client.response().await;
        assert_eq!((response.body.as_str(), response.header("connection")), ("new", Some("close")));
        assert_eq!(client.rest().await, b"");
    }
    let spool = router.spool();
    let _folder = router.ended().await;
    assert_eq!(Reader::new(&spool, 0).next_batch(1024 * 1024).unwrap().len(), 4);
    let found = paddock_ipc::spool::find(spool.parent().unwrap()).unwrap();
    assert!(found.iter().all(|spool| !spool.is_held));
    drop((sockets, waiting));
}
