//! Apps that have nothing to do: made through the API by as many accounts as it takes, and listed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Server, run};
use serde_json::json;

use crate::ms;
use crate::table::{Bound, Row};

/// Apps of one account: what one answer can list, and fewer requests than an account has in an hour.
const OF_ACCOUNT: usize = 1000;
/// Clients that make apps.
const CLIENTS: usize = 4;
/// The first and the last apps are compared by this many.
const COMPARED: usize = 200;

/// The accounts, and what it cost to make their apps.
pub(crate) struct Made {
    tokens: Vec<String>,
    apps: usize,
    first: Duration,
    last: Duration,
}

impl Made {
    pub(crate) fn rows(&self) -> Vec<Row> {
        vec![Row::new("making an app (ms)", Bound::Times(1.5)).of(ms(self.first), ms(self.last))]
    }
}

/// Makes apps. The time of each is that of one client of several.
pub(crate) fn make(server: &Server, apps: usize) -> Made {
    let tokens: Vec<_> = (0..apps.div_ceil(OF_ACCOUNT)).map(|number| account(server, number)).collect();
    let (next, http) = (AtomicUsize::new(0), server.http().bare());
    let one = |number: usize| {
        let (begun, name) = (Instant::now(), format!("idle-{number}"));
        let answer =
            http.with_token(&tokens[number / OF_ACCOUNT]).api_json("POST", "/apps", &json!({ "name": name }));
        answer.with_status(201);
        (number, begun.elapsed())
    };
    let client = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers.take_while(|number| *number < apps).map(one).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    let mut times: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    println!("  took {} s", begun.elapsed().as_secs());
    times.sort_by_key(|(number, _)| *number);
    let middle = |part: &[(usize, Duration)]| {
        let mut part: Vec<_> = part.iter().map(|(_, time)| *time).collect();
        part.sort();
        part[part.len() / 2]
    };
    let compared = COMPARED.min(apps / 2).max(1);
    let (first, last) = (middle(&times[..compared]), middle(&times[times.len() - compared..]));
    Made { tokens, apps, first, last }
}

/// The token of an account that this makes.
fn account(server: &Server, number: usize) -> String {
    let (email, data) = (format!("idle-{number}@example.com"), server.data().display().to_string());
    let create = server.program(&["account", "create", &email, "--data", &data]);
    run(create, b"", Duration::from_secs(30)).succeeded();
    server.variables(&["--account", &email])["HEROKU_API_KEY"].clone()
}

/// What it costs to list the apps of an account.
pub(crate) struct Listed {
    apps: usize,
    time: Duration,
    statements: u64,
}

impl Listed {
    pub(crate) fn rows(&self) -> Vec<Row> {
        let time = Row::new(format!("GET /apps of {} apps (ms)", self.apps), Bound::Most(60.0));
        let statements = Row::new("  statements for it", Bound::Most(4.0));
        vec![time.alone(ms(self.time)), statements.alone(self.statements as f64)]
    }
}

/// Lists the apps of the first account.
pub(crate) fn list(server: &Server, made: &Made) -> Listed {
    let http = server.http().bare();
    let (apps, own) = (made.apps.min(OF_ACCOUNT), http.with_token(&made.tokens[0]));
    let range = ["Range: name ..; max=1000"];
    let reads = || {
        let url = format!("http://localhost:{}/paddock/metrics", server.port());
        let token = format!("Authorization: Bearer {}", server.environment()["HEROKU_API_KEY"]);
        let metrics = http.request("GET", &url, &[&token], None).with_status(200).body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("paddock_store_reads_total "));
        line.unwrap().parse::<f64>().unwrap() as u64
    };
    // What looks after the platform reads as well, so the least of several is what the list takes. The numbers cost reads.
    let least = |work: &dyn Fn()| {
        let one = |_| {
            let before = reads();
            work();
            reads() - before
        };
        (0..15).map(one).min().unwrap_or(0)
    };
    let get = || {
        let begun = Instant::now();
        let listed = own.api_with("GET", "/apps", &range, None);
        let time = begun.elapsed();
        assert!(listed.status == 200 || listed.status == 206, "{} {}", listed.status, listed.body);
        assert_eq!(listed.json().as_array().map(Vec::len), Some(apps));
        time
    };
    let statements = least(&|| {
        get();
    }) - least(&|| ());
    let mut times: Vec<_> = (0..21).map(|_| get()).collect();
    times.sort();
    Listed { apps, time: times[times.len() / 2], statements }
}
