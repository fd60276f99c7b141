//! Uploads, downloads and lists against a store that does what a test says. That requests are signed as stores have it is seen by
//! the journey with a store of others.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paddock_outbound::Roots;
use paddock_outbound::s3::{Bucket, Keys, Place, S3Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PART: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_millis(300);

/// What a request asks for: `PUT /kept/a?partNumber=2`, without what signs it; and its body.
type Asked = (String, Vec<u8>);

/// What a store does with a request.
enum Does {
    Answers(u16, String),
    /// With a header besides.
    Tagged(u16, &'static str, String),
    /// It says nothing more.
    Hangs,
    /// It says how long an answer is, sends less, and hangs up.
    BreaksOff,
}

struct Store {
    endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Store {
    /// `does` is asked with all there was before, this one last.
    async fn start(does: impl Fn(&[Asked]) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, does) = (asked.clone(), Arc::new(does));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, does) = (seen.clone(), does.clone());
                tokio::spawn(async move { answer(stream, &seen, &*does).await });
            }
        });
        Self { endpoint, asked }
    }

    fn bucket(&self) -> Bucket {
        let place = Place {
            bucket: "kept".to_owned(),
            prefix: "here".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(self.endpoint.clone()),
        };
        let keys = Keys { id: "AKID".to_owned(), secret: "secret".to_owned(), token: None };
        Bucket::new(place, keys, Roots::none()).unwrap().with_patience(PATIENCE)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

async fn answer(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Asked>>,
    does: &(impl Fn(&[Asked]) -> Does + ?Sized),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
    assert!(line.contains("X-Amz-Signature="), "{line}");
    let done = {
        let mut seen = seen.lock().unwrap();
        seen.push((unsigned(line), body));
        does(&seen)
    };
    let text = match done {
        Does::Hangs => return stream.read_u8().await.map(drop).unwrap_or_default(),
        Does::BreaksOff => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(),
        Does::Answers(status, text) => answered(status, "", &text, line),
        Does::Tagged(status, header, text) => answered(status, header, &text, line),
    };
    let _ = stream.write_all(text.as_bytes()).await;
}

fn answered(status: u16, header: &str, text: &str, line: &str) -> String {
    // Of an object that is only looked at the length is told, as in `text`.
    let (length, text) = match line.starts_with("HEAD ") {
        true => (text.parse().unwrap_or(0), ""),
        false => (text.len(), text),
    };
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{header}\r\n{text}")
}

fn unsigned(line: &str) -> String {
    let (path, query) = line.split_once('?').unwrap();
    let query: Vec<_> = query.split('&').filter(|part| !part.starts_with("X-Amz-")).collect();
    format!("{path}?{}", query.join("&")).trim_end_matches('?').to_owned()
}

fn file(bytes: usize) -> File {
    let mut file = tempfile::tempfile().unwrap();
    let pattern: Vec<u8> = (0..bytes).map(|at| (at / 4099) as u8).collect();
    file.write_all(&pattern).unwrap();
    file
}

fn refused(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>It says &lt;why&gt;.</Message></Error>")
}

/// A store that takes uploads; what else it does is asked first.
fn takes(asked: &[Asked]) -> Does {
    let (line, _) = asked.last().unwrap();
    match line.as_str() {
        line if line.ends_with("?uploads=") => {
            Does::Answers(200, "<R><UploadId>up&amp;1</UploadId></R>".to_owned())
        }
        line if line.contains("partNumber=") => Does::Tagged(200, "ETag: \"tag\"\r\n", String::new()),
        line if line.starts_with("HEAD ") => {
            let is_part = |line: &str| line.starts_with("PUT ");
            let bytes: BTreeMap<_, _> = asked
                .iter()
                .filter(|(line, _)| is_part(line))
                .map(|(line, body)| (line, body.len()))
                .collect();
            Does::Answers(200, bytes.values().sum::<usize>().to_string())
        }
        line if line.starts_with("DELETE ") => Does::Answers(204, String::new()),
        _ => Does::Answers(200, "<R/>".to_owned()),
    }
}

#[tokio::test]
async fn a_small_file_is_kept_at_once_and_a_large_one_in_parts() {
    let store = Store::start(takes).await;
    assert_eq!(store.bucket().put("small", file(5)).await.unwrap(), 5);
    assert_eq!(store.asked(), ["PUT /kept/here/small", "HEAD /kept/here/small"]);
    let store = Store::start(takes).await;
    let bytes = 2 * PART + 7;
    assert_eq!(store.bucket().put("a/large", file(bytes)).await.unwrap(), bytes as u64);
    let path = "/kept/here/a/large";
    assert_eq!(
        store.asked(),
        [
            format!("POST {path}?uploads="),
            format!("PUT {path}?partNumber=1&uploadId=up%261"),
            format!("PUT {path}?partNumber=2&uploadId=up%261"),
            format!("PUT {path}?partNumber=3&uploadId=up%261"),
            format!("POST {path}?uploadId=up%261"),
            format!("HEAD {path}"),
        ]
    );
    let asked = store.asked.lock().unwrap();
    let sent: Vec<u8> = asked[1..4].iter().flat_map(|(_, body)| body.clone()).collect();
    assert!(sent.iter().enumerate().all(|(at, byte)| *byte == (at / 4099) as u8) && sent.len() == bytes);
    let completed = String::from_utf8(asked[4].1.clone()).unwrap();
    assert!(completed.contains("<PartNumber>3</PartNumber><ETag>\"tag\"</ETag>"), "{completed}");
}

#[tokio::test]
async fn a_part_that_fails_is_sent_again_and_at_last_the_upload_is_given_up() {
    // The second part fails twice: by an answer, then by none.
    let store = Store::start(|asked| {
        let times = asked.iter().filter(|(line, _)| line.contains("partNumber=2")).count();
        match asked.last().unwrap().0.contains("partNumber=2") {
            true if times == 1 => Does::Answers(503, refused("SlowDown")),
            true if times == 2 => Does::Hangs,
            _ => takes(asked),
        }
    })
    .await;
    store.bucket().put("x", file(PART + 1)).await.unwrap();
    assert_eq!(store.asked().iter().filter(|line| line.contains("partNumber=2")).count(), 3);

    for fails in
        [|| Does::Answers(500, String::new()), || Does::Hangs, || Does::Answers(403, refused("AccessDenied"))]
    {
        let store = Store::start(move |asked| match asked.last().unwrap().0.contains("partNumber=2") {
            true => fails(),
            false => takes(asked),
        })
        .await;
        let error = store.bucket().put("x", file(PART + 1)).await.unwrap_err();
        assert_eq!(store.asked().last().unwrap(), "DELETE /kept/here/x?uploadId=up%261", "{error}");
        let attempts = store.asked().iter().filter(|line| line.contains("partNumber=2")).count();
        assert_eq!(attempts, if matches!(error, S3Error::Denied { .. }) { 1 } else { 4 }, "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_fails_at_its_end_is_no_success() {
    // It begins to answer 200 and then finds that it cannot.
    let store = Store::start(|asked| match asked.last().unwrap().0.as_str() {
        "POST /kept/here/x?uploadId=up%261" => Does::Answers(200, refused("InvalidPart")),
        _ => takes(asked),
    })
    .await;
    let error = store.bucket().put("x", file(PART + 1)).await.unwrap_err();
    assert!(matches!(error, S3Error::Busy { .. } | S3Error::Refused { .. }), "{error}");
    // Kept is less than was given.
    let store = Store::start(|asked| match asked.last().unwrap().0.starts_with("HEAD ") {
        true => Does::Answers(200, "4".to_owned()),
        false => takes(asked),
    })
    .await;
    assert!(matches!(store.bucket().put("x", file(5)).await.unwrap_err(), S3Error::Unreadable { .. }));
}

#[tokio::test]
async fn what_a_store_refuses_is_said_with_what_to_do() {
    for (status, code, said) in [
        (404, "NoSuchBucket", "there is no bucket kept at 127.0.0.1: make it"),
        (403, "InvalidAccessKeyId", "does not take the access key (InvalidAccessKeyId)"),
        (403, "SignatureDoesNotMatch", "look at the key's id and at the secret"),
        (403, "AccessDenied", "allow s3:ListBucket"),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong"),
        (301, "PermanentRedirect", "in another region than us-east-1"),
        (400, "AuthorizationHeaderMalformed", "in another region than us-east-1"),
        (400, "SomethingElse", "(status 400 SomethingElse): It says <why>."),
        (503, "SlowDown", "cannot list objects now (status 503 SlowDown)"),
    ] {
        let store = Store::start(move |_| Does::Answers(status, refused(code))).await;
        let error = store.bucket().check().await.unwrap_err().to_string();
        assert!(error.contains(said), "{code}: {error}");
        assert!(!error.contains("AKID") && !error.contains("X-Amz"), "{error}");
    }
    let nobody = Store::start(takes).await.bucket();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let place = Place {
        bucket: "kept".to_owned(),
        prefix: String::new(),
        region: "r".to_owned(),
        endpoint: Some(format!("http://{gone}")),
    };
    let keys = Keys { id: "AKID".to_owned(), secret: "secret".to_owned(), token: None };
    let unreachable =
        Bucket::new(place, keys, Roots::none()).unwrap().with_patience(Duration::from_millis(20));
    let error = unreachable.check().await.unwrap_err();
    assert!(matches!(error, S3Error::Unreachable { .. }), "{error}");
    nobody.check().await.unwrap();
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_only_what_is_below_the_prefix() {
    let store = Store::start(|asked| {
        let line = &asked.last().unwrap().0;
        let object = |key| format!("<Contents><Key>{key}</Key><LastModified>2026-11-29T18:00:00Z</LastModified></Contents>");
        let upload = |key, id| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
        Does::Answers(
            200,
            match (line.contains("uploads="), line.contains("continuation-token=m%2Fore") || line.contains("key-marker=here%2Fa")) {
                (false, false) => object("here/a") + "<NextContinuationToken>m/ore</NextContinuationToken>",
                (false, true) => object("here/b/c") + &object("elsewhere/d"),
                (true, false) => {
                    upload("here/a", "1")
                        + "<IsTruncated>true</IsTruncated><NextKeyMarker>here/a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>"
                }
                (true, true) => upload("here/b", "2"),
            },
        )
    })
    .await;
    let names =
        |all: Vec<paddock_outbound::s3::Listed>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(store.bucket().list().await.unwrap()), ["a", "b/c"]);
    let unfinished = store.bucket().unfinished().await.unwrap();
    assert_eq!(unfinished.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    store.bucket().give_up(&unfinished[1]).await.unwrap();
    assert_eq!(store.asked().last().unwrap(), "DELETE /kept/here/b?uploadId=2");
}

#[tokio::test]
async fn an_object_that_breaks_off_is_not_taken_for_whole() {
    let store = Store::start(|asked| match asked.last().unwrap().0.as_str() {
        "GET /kept/here/whole" => Does::Answers(200, "all of it".to_owned()),
        "GET /kept/here/half" => Does::BreaksOff,
        _ => Does::Answers(404, refused("NoSuchKey")),
    })
    .await;
    let bucket = store.bucket();
    let mut whole = bucket.get("whole").await.unwrap();
    assert_eq!(whole.bytes(), 9);
    assert_eq!(whole.chunk().await.unwrap().unwrap(), "all of it");
    assert_eq!(whole.chunk().await.unwrap(), None);
    let mut half = bucket.get("half").await.unwrap();
    let mut outcome = Ok(Some(Default::default()));
    while matches!(outcome, Ok(Some(_))) {
        outcome = half.chunk().await;
    }
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(matches!(bucket.get("none").await, Err(S3Error::NoObject)));
}
