//! The log plane through its public face: durability, repeats, backlog, tails, retention.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use paddock_core::log::{LogFilter, LogLine, Source};
use paddock_core::{AppId, UnixMicros};
use paddock_telemetry::{LineNumber, LogError, LogPlane, Retention, Tail};
use tempfile::TempDir;
use uuid::Uuid;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const DEADLINE: Duration = Duration::from_secs(60);

fn roomy() -> Retention {
    Retention { lines_min: 1500, age_min: WEEK, bytes_max: 64 * 1024 * 1024 }
}

fn open(folder: &Path, retention: Retention) -> LogPlane {
    LogPlane::open(folder.join("logs"), retention).unwrap()
}

fn app() -> AppId {
    AppId::from_uuid(Uuid::now_v7())
}

fn line(process: &str, text: impl Into<String>) -> LogLine {
    LogLine {
        at: UnixMicros(1_795_194_000_000_000),
        source: Source::App,
        process: process.into(),
        text: text.into(),
    }
}

fn spooled(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, LogLine)> {
    range.map(|seq| (seq, line("web.1", format!("record {seq}")))).collect()
}

async fn texts(plane: &LogPlane, app: AppId) -> Vec<String> {
    let backlog = plane.read(app, LogFilter::default(), usize::MAX).await.unwrap();
    backlog.lines.into_iter().map(|(_, line)| line.text).collect()
}

/// Reads until `count` lines have come.
async fn follow(tail: &mut Tail, count: usize) -> Vec<(LineNumber, LogLine)> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let next = tokio::time::timeout(DEADLINE, tail.next()).await.expect("lines within the deadline");
        lines.extend(next.unwrap().expect("the log is there"));
    }
    lines
}

fn segments(folder: &Path, app: AppId) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("logs").join(app.to_string())) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn lines_come_back_as_they_were_given_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let mut lines = vec![line("web.1", "one"), line("api", ""), line("web.2", "ü\r\n\0\u{1b}[31m")];
    lines[1].source = Source::Heroku;
    lines[1].at = UnixMicros(-5);
    let plane = open(folder.path(), roomy());
    plane.append(app, lines.clone()).await.unwrap();
    let restarted = open(folder.path(), roomy());
    for plane in [plane, restarted] {
        let backlog = plane.read(app, LogFilter::default(), 100).await.unwrap();
        let expected: Vec<_> = (1..).map(LineNumber).zip(lines.clone()).collect();
        assert_eq!(backlog.lines, expected);
        assert_eq!(backlog.up_to, LineNumber(3));
    }
}

#[tokio::test]
async fn the_backlog_is_the_last_matching_lines_across_segments() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), Retention { bytes_max: 1024 * 1024, ..roomy() });
    for chunk in (1..=6000u64).collect::<Vec<_>>().chunks(100) {
        let lines = chunk.iter().map(|n| line(if n % 3 == 0 { "worker.1" } else { "web.1" }, format!("{n}")));
        plane.append(app, lines.collect()).await.unwrap();
    }
    assert!(segments(folder.path(), app).len() > 2);
    let filter = LogFilter { process_type: Some("worker".into()), ..LogFilter::default() };
    let backlog = plane.read(app, filter, 1500).await.unwrap();
    let numbers: Vec<u64> = backlog.lines.iter().map(|(number, _)| number.0).collect();
    assert_eq!(numbers, (501..=2000).map(|n| n * 3).collect::<Vec<u64>>());
    assert!(backlog.lines.iter().all(|(number, line)| line.text == number.0.to_string()));
    assert_eq!(backlog.up_to, LineNumber(6000));
    let none = plane.read(app, LogFilter::default(), 0).await.unwrap();
    assert_eq!((none.lines.len(), none.up_to), (0, LineNumber(6000)));
}

#[tokio::test]
async fn an_app_without_a_log_reads_empty_and_makes_nothing_on_disk() {
    let folder = TempDir::new().unwrap();
    let plane = open(folder.path(), roomy());
    let app = app();
    assert_eq!(plane.read(app, LogFilter::default(), 100).await.unwrap().up_to, LineNumber(0));
    assert_eq!(plane.last_seq(app, Uuid::now_v7()).await.unwrap(), 0);
    assert!(segments(folder.path(), app).is_empty());
}

#[tokio::test]
async fn repeats_of_a_spool_are_dropped_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (app, one, other) = (app(), Uuid::now_v7(), Uuid::now_v7());
    let plane = open(folder.path(), roomy());
    assert_eq!(plane.append_from(app, one, spooled(1..=5)).await.unwrap(), 5);
    assert_eq!(plane.append_from(app, one, spooled(3..=7)).await.unwrap(), 7);
    plane.append_from(app, other, spooled(1..=1)).await.unwrap();
    let plane = open(folder.path(), roomy());
    assert_eq!(plane.last_seq(app, one).await.unwrap(), 7);
    assert_eq!(plane.last_seq(app, other).await.unwrap(), 1);
    plane.append_from(app, one, spooled(1..=8)).await.unwrap();
    plane.append_from(app, one, spooled(8..=8)).await.unwrap();
    let mut expected: Vec<String> = (1..=7).map(|n| format!("record {n}")).collect();
    expected.extend(["record 1".into(), "record 8".into()]);
    assert_eq!(texts(&plane, app).await, expected);
}

#[tokio::test]
async fn positions_of_spools_outlive_the_segments_that_had_their_lines() {
    let folder = TempDir::new().unwrap();
    let (app, silent) = (app(), Uuid::now_v7());
    let small = Retention { lines_min: 10, age_min: WEEK, bytes_max: 32 * 1024 };
    let plane = open(folder.path(), small);
    plane.append_from(app, silent, spooled(1..=9)).await.unwrap();
    for _ in 0..30 {
        plane.append(app, vec![line("web.1", "x".repeat(4000)); 3]).await.unwrap();
    }
    assert!(texts(&plane, app).await.iter().all(|text| !text.starts_with("record")));
    let plane = open(folder.path(), small);
    assert_eq!(plane.last_seq(app, silent).await.unwrap(), 9);
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_loses_whole_records_only_and_doubles_none() {
    let folder = TempDir::new().unwrap();
    let (app, spool) = (app(), Uuid::now_v7());
    open(folder.path(), roomy()).append_from(app, spool, spooled(1..=6)).await.unwrap();
    let path = segments(folder.path(), app).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let mut survivors = Vec::new();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let plane = open(folder.path(), roomy());
        let last = plane.last_seq(app, spool).await.unwrap();
        survivors.push(last);
        // The spool was not told of what was lost and sends it again, with what came before.
        plane.append_from(app, spool, spooled(1..=7)).await.unwrap();
        let expected: Vec<String> = (1..=7).map(|n| format!("record {n}")).collect();
        assert_eq!(texts(&plane, app).await, expected, "cut at {length} of {}", whole.len());
        assert_eq!(texts(&open(folder.path(), roomy()), app).await, expected, "cut at {length}");
    }
    survivors.dedup();
    assert_eq!(survivors, [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_tail_of_garbage_or_zeros_is_cut() {
    for garbage in [vec![0u8; 4096], vec![0xff; 100], b"\x10\0\0\0abcd0123456789012345".to_vec()] {
        let folder = TempDir::new().unwrap();
        let app = app();
        open(folder.path(), roomy()).append(app, vec![line("web.1", "kept")]).await.unwrap();
        let path = segments(folder.path(), app).remove(0);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(garbage);
        std::fs::write(&path, bytes).unwrap();
        let plane = open(folder.path(), roomy());
        plane.append(app, vec![line("web.1", "new")]).await.unwrap();
        assert_eq!(texts(&plane, app).await, ["kept", "new"]);
    }
}

#[tokio::test]
async fn what_lay_behind_a_damaged_record_does_not_come_back() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let three = ["one", "two", "thr"].map(|text| line("web.1", text)).to_vec();
    open(folder.path(), roomy()).append(app, three).await.unwrap();
    let path = segments(folder.path(), app).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[second] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    // The new record is as long as the damaged one and ends where the third began.
    open(folder.path(), roomy()).append(app, vec![line("web.1", "new")]).await.unwrap();
    assert_eq!(texts(&open(folder.path(), roomy()), app).await, ["one", "new"]);
}

#[tokio::test]
async fn a_new_segment_torn_in_its_table_leaves_the_one_before() {
    let folder = TempDir::new().unwrap();
    let (app, spool) = (app(), Uuid::now_v7());
    open(folder.path(), roomy()).append_from(app, spool, spooled(1..=3)).await.unwrap();
    let path = segments(folder.path(), app).remove(0);
    std::fs::write(path.with_file_name(format!("{:020}.seg", 4)), b"\x20\0\0\0half").unwrap();
    let plane = open(folder.path(), roomy());
    assert_eq!(plane.last_seq(app, spool).await.unwrap(), 3);
    plane.append(app, vec![line("web.1", "four")]).await.unwrap();
    let backlog = plane.read(app, LogFilter::default(), 1).await.unwrap();
    assert_eq!(backlog.lines[0].0, LineNumber(4));
}

#[tokio::test]
async fn a_damaged_segment_in_the_middle_loses_only_its_rest() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), Retention { bytes_max: 64 * 1024, ..roomy() });
    for n in 1..=12 {
        plane.append(app, vec![line("web.1", format!("{n} {}", "x".repeat(3000)))]).await.unwrap();
    }
    let paths = segments(folder.path(), app);
    assert!(paths.len() > 2);
    let mut bytes = std::fs::read(&paths[0]).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&paths[0], bytes).unwrap();
    assert_eq!(texts(&plane, app).await.len(), 11);
    let mut tail = plane.tail(app, LogFilter::default(), LineNumber(0)).await.unwrap();
    let lines = follow(&mut tail, 12).await;
    let notices = lines.iter().filter(|(_, line)| line.text.contains("dropped 1 messages")).count();
    assert_eq!((lines.len(), notices), (12, 1));
}

#[tokio::test]
async fn a_disk_that_refuses_promises_nothing_and_recovers() {
    let folder = TempDir::new().unwrap();
    let (app, spool) = (app(), Uuid::now_v7());
    let plane = open(folder.path(), roomy());
    plane.append_from(app, spool, spooled(1..=2)).await.unwrap();
    let path = segments(folder.path(), app).remove(0);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let refused = plane.append_from(app, spool, spooled(3..=4)).await;
    assert!(matches!(refused, Err(LogError::Disk { .. })), "{refused:?}");
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    // What was refused lies on disk all the same, whole: written, but its fsync failed.
    let other = TempDir::new().unwrap();
    let twin = open(other.path(), roomy());
    twin.append_from(app, spool, spooled(1..=2)).await.unwrap();
    twin.append_from(app, spool, vec![(3, line("web.1", "refused")), (4, line("web.1", "refused"))])
        .await
        .unwrap();
    std::fs::copy(segments(other.path(), app).remove(0), &path).unwrap();
    plane.append_from(app, spool, spooled(3..=5)).await.unwrap();
    assert_eq!(texts(&plane, app).await, (1..=5).map(|n| format!("record {n}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tail_misses_and_doubles_nothing_while_tasks_append() {
    const TASKS: u64 = 8;
    const LINES: u64 = 12_500;
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), roomy());
    let mut writers = Vec::new();
    for task in 0..TASKS {
        let plane = plane.clone();
        writers.push(tokio::spawn(async move {
            let spool = Uuid::now_v7();
            let process = format!("web.{}", task + 1);
            let mut seq = 0;
            while seq < LINES {
                let records: Vec<_> =
                    (seq + 1..=(seq + 50).min(LINES)).map(|n| (n, line(&process, n.to_string()))).collect();
                seq = plane.append_from(app, spool, records).await.unwrap();
            }
        }));
    }
    // Joins in the middle: backlog first, then the tail after it.
    let total = usize::try_from(TASKS * LINES).unwrap();
    let backlog = plane.read(app, LogFilter::default(), usize::MAX).await.unwrap();
    let mut tail = plane.tail(app, LogFilter::default(), backlog.up_to).await.unwrap();
    let mut lines = backlog.lines;
    let missing = total - lines.len();
    lines.extend(follow(&mut tail, missing).await);
    for writer in writers {
        writer.await.unwrap();
    }
    let numbers: Vec<u64> = lines.iter().map(|(number, _)| number.0).collect();
    assert_eq!(numbers, (1..=TASKS * LINES).collect::<Vec<_>>());
    let mut last: HashMap<String, u64> = HashMap::new();
    for (_, line) in lines {
        let number: u64 = line.text.parse().unwrap();
        assert_eq!(last.insert(line.process, number).unwrap_or(0) + 1, number, "order within a dyno");
    }
    assert_eq!(last.len() as u64, TASKS);
}

#[tokio::test]
async fn a_tail_is_woken_and_filters() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), roomy());
    plane.append(app, vec![line("web.1", "old"), line("worker.1", "old")]).await.unwrap();
    let filter = LogFilter { dyno: Some("worker.1".into()), ..LogFilter::default() };
    let mut tail = plane.tail(app, filter, LineNumber(2)).await.unwrap();
    let following = tokio::spawn(async move { follow(&mut tail, 2).await });
    plane.append(app, vec![line("web.1", "no"), line("worker.1", "yes")]).await.unwrap();
    plane.append(app, vec![line("worker.1", "too")]).await.unwrap();
    let lines = following.await.unwrap();
    let seen: Vec<_> = lines.iter().map(|(number, line)| (number.0, line.text.as_str())).collect();
    assert_eq!(seen, [(4, "yes"), (5, "too")]);
}

#[tokio::test]
async fn a_slow_tail_learns_what_it_missed_and_holds_nobody_up() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), Retention { lines_min: 1, age_min: WEEK, bytes_max: 32 * 1024 });
    plane.append(app, vec![line("web.1", "first")]).await.unwrap();
    let mut tail = plane.tail(app, LogFilter::default(), LineNumber(0)).await.unwrap();
    assert_eq!(follow(&mut tail, 1).await[0].1.text, "first");
    for n in 2..=100 {
        plane.append(app, vec![line("web.1", format!("{n} {}", "x".repeat(2000)))]).await.unwrap();
    }
    let lines = follow(&mut tail, 3).await;
    let (number, notice) = &lines[0];
    let dropped = lines[1].0.0 - 2;
    let expected = format!(
        "Error L11 (Tail buffer overflow) -> This tail session dropped {dropped} messages since \
         2026-11-20T17:00:00.000000+00:00."
    );
    assert!(dropped > 50);
    assert_eq!(
        (notice.text.as_str(), notice.source, notice.process.as_str()),
        (&*expected, Source::Heroku, "logplex")
    );
    assert_eq!(number.0, dropped + 1, "its number is the last missed one: a client resumes after it");
    let mut rest = lines[1..].to_vec();
    while rest.last().unwrap().0.0 < 100 {
        rest.extend(follow(&mut tail, 1).await);
    }
    assert!(rest.windows(2).all(|pair| pair[1].0.0 == pair[0].0.0 + 1));
}

#[tokio::test]
async fn a_tail_resumes_after_a_made_up_number() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), roomy());
    plane.append(app, vec![line("web.1", "old")]).await.unwrap();
    let mut tail = plane.tail(app, LogFilter::default(), LineNumber(u64::MAX)).await.unwrap();
    plane.append(app, vec![line("web.1", "new")]).await.unwrap();
    assert_eq!(follow(&mut tail, 1).await[0].1.text, "new");
}

#[tokio::test]
async fn a_log_that_nobody_uses_is_let_go_of_and_is_the_same_when_it_is_needed_again() {
    let folder = TempDir::new().unwrap();
    let (unused, followed, spool) = (app(), app(), Uuid::now_v7());
    let plane = open(folder.path(), roomy());
    for app in [unused, followed] {
        plane.append_from(app, spool, vec![(7, line("web.1", "before"))]).await.unwrap();
    }
    let mut tail = plane.tail(followed, LogFilter::default(), LineNumber(1)).await.unwrap();
    plane.forget_unused(Duration::from_secs(60));
    plane.forget_unused(Duration::ZERO);
    for app in [unused, followed] {
        assert_eq!(plane.last_seq(app, spool).await.unwrap(), 7);
        plane
            .append_from(app, spool, vec![(7, line("web.1", "again")), (8, line("web.1", "after"))])
            .await
            .unwrap();
        assert_eq!(texts(&plane, app).await, ["before", "after"]);
    }
    assert_eq!(follow(&mut tail, 1).await[0].1.text, "after", "who follows it goes on");
    // One that was deleted stays so.
    plane.delete_app(unused).await.unwrap();
    plane.forget_unused(Duration::ZERO);
    assert!(matches!(plane.append(unused, vec![line("web.1", "late")]).await, Err(LogError::Deleted(_))));
}

#[tokio::test]
async fn retention_keeps_enough_lines_and_a_week() {
    let folder = TempDir::new().unwrap();
    let (busy, quiet) = (app(), app());
    let retention = Retention { lines_min: 500, age_min: WEEK, bytes_max: 1024 * 1024 };
    let plane = open(folder.path(), retention);
    for _ in 0..40 {
        plane.append(busy, vec![line("web.1", "x".repeat(400)); 50]).await.unwrap();
    }
    plane.append(quiet, vec![line("web.1", "only one")]).await.unwrap();
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        UnixMicros(i64::try_from(now.as_micros()).unwrap())
    };
    let before = texts(&plane, busy).await.len();
    plane.retain(&[busy, quiet], now() + WEEK / 2).await.unwrap();
    assert_eq!(texts(&plane, busy).await.len(), before, "nothing is a week old");
    plane.retain(&[busy, quiet], now() + WEEK * 2).await.unwrap();
    let after = texts(&plane, busy).await.len();
    assert!((500..before).contains(&after), "{after} of {before}");
    assert_eq!(texts(&plane, quiet).await, ["only one"]);
    let restarted = open(folder.path(), retention);
    assert_eq!(texts(&restarted, busy).await.len(), after);
}

#[tokio::test]
async fn the_cap_on_bytes_wins() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), Retention { bytes_max: 64 * 1024, ..roomy() });
    for _ in 0..50 {
        plane.append(app, vec![line("web.1", "x".repeat(1000)); 10]).await.unwrap();
    }
    let bytes: u64 = segments(folder.path(), app).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes <= 64 * 1024, "{bytes}");
    assert_eq!(plane.read(app, LogFilter::default(), 1).await.unwrap().up_to, LineNumber(500));
}

#[tokio::test]
async fn a_deleted_log_is_gone_and_its_tails_end() {
    let folder = TempDir::new().unwrap();
    let (deleted, kept) = (app(), app());
    let plane = open(folder.path(), roomy());
    for app in [deleted, kept] {
        plane.append(app, vec![line("web.1", "text")]).await.unwrap();
    }
    let mut tail = plane.tail(deleted, LogFilter::default(), LineNumber(1)).await.unwrap();
    plane.delete_app(deleted).await.unwrap();
    plane.delete_app(deleted).await.unwrap();
    let end = tokio::time::timeout(DEADLINE, tail.next()).await.expect("the tail ends").unwrap();
    assert_eq!(end, None);
    let late = plane.append(deleted, vec![line("web.1", "late")]).await;
    assert!(matches!(late, Err(LogError::Deleted(_))), "{late:?}");
    assert!(segments(folder.path(), deleted).is_empty());
    assert_eq!(texts(&plane, kept).await, ["text"]);
}

#[tokio::test]
async fn overlong_texts_are_cut_at_a_character() {
    let folder = TempDir::new().unwrap();
    let app = app();
    let plane = open(folder.path(), roomy());
    plane.append(app, vec![line("web.1", "€".repeat(100_000)), line("web.1", "next")]).await.unwrap();
    let texts = texts(&open(folder.path(), roomy()), app).await;
    assert_eq!(texts[0], "€".repeat(65536 / 3));
    assert_eq!(texts[1], "next");
}

#[tokio::test]
async fn a_segment_that_may_not_be_cut_is_an_error_not_a_loss() {
    let folder = TempDir::new().unwrap();
    let app = app();
    open(folder.path(), roomy()).append(app, vec![line("web.1", "kept")]).await.unwrap();
    let path = segments(folder.path(), app).remove(0);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    let plane = open(folder.path(), roomy());
    assert!(plane.append(app, vec![line("web.1", "new")]).await.is_err());
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    plane.append(app, vec![line("web.1", "new")]).await.unwrap();
    assert_eq!(texts(&plane, app).await, ["kept", "new"]);
}

/// Appends without end and says on standard output what was acknowledged, until it is killed.
#[expect(clippy::print_stdout, reason = "that is how the test learns of it")]
async fn append_until_killed(folder: &Path, app: AppId, spool: Uuid) {
    let plane = open(folder, roomy());
    // What a spool does that was not told of its last acknowledgement.
    let mut seq = plane.last_seq(app, spool).await.unwrap().saturating_sub(30);
    loop {
        seq = plane.append_from(app, spool, spooled(seq + 1..=seq + 20)).await.unwrap();
        println!("acknowledged {seq}");
    }
}

#[test]
fn a_killed_process_has_lost_and_doubled_nothing_that_it_acknowledged() {
    const NAME: &str = "plane::a_killed_process_has_lost_and_doubled_nothing_that_it_acknowledged";
    const FOLDER: &str = "PADDOCK_TEST_LOG_FOLDER";
    let (app, spool) = (AppId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    if let Some(folder) = std::env::var_os(FOLDER) {
        return runtime.block_on(append_until_killed(Path::new(&folder), app, spool));
    }
    let folder = TempDir::new().unwrap();
    let mut acknowledged = 0;
    for round in 1..=5 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let before = acknowledged;
        for said in BufReader::new(child.stdout.take().unwrap()).lines() {
            let said = said.unwrap_or_default();
            let Some(seq) = said.strip_prefix("acknowledged ") else { continue };
            acknowledged = seq.parse().unwrap();
            if acknowledged > before + 100 * round {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        let plane = open(folder.path(), roomy());
        let last = runtime.block_on(plane.last_seq(app, spool)).unwrap();
        assert!(acknowledged > before && last >= acknowledged, "round {round}: {last}, {acknowledged}");
        let expected: Vec<String> = (1..=last).map(|n| format!("record {n}")).collect();
        assert!(runtime.block_on(texts(&plane, app)) == expected, "round {round}");
    }
}
