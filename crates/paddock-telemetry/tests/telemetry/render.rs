//! The forms in which clients get lines: no text can pretend to be more than one line of its own source.

use paddock_core::UnixMicros;
use paddock_core::log::{LogLine, Source};
use paddock_telemetry::{LineNumber, render, sse_event};
use proptest::prelude::*;

fn line(text: &str) -> LogLine {
    LogLine {
        at: UnixMicros(1_795_194_000_000_000),
        source: Source::App,
        process: "web.1".into(),
        text: text.into(),
    }
}

/// The events of a stream as the standard's grammar has them: (id, data) of each, and other fields' names.
fn parse_events(stream: &str) -> (Vec<(String, String)>, Vec<String>) {
    let lines = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut others) = (Vec::new(), Vec::new());
    let (mut id, mut data) = (String::new(), Vec::new());
    for line in lines.strip_suffix('\n').unwrap().split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => events.push((id.clone(), std::mem::take(&mut data).join("\n"))),
            "id" => id = value.to_owned(),
            "data" => data.push(value.to_owned()),
            other => others.push(other.to_owned()),
        }
    }
    (events, others)
}

#[test]
fn a_line_is_rendered_as_the_cli_expects() {
    assert_eq!(render(&line("text")), "2026-11-20T17:00:00.000000+00:00 app[web.1]: text");
    let mut router = line("at=info");
    (router.source, router.process, router.at) = (Source::Heroku, "router".into(), UnixMicros(1));
    assert_eq!(render(&router), "1970-01-01T00:00:00.000001+00:00 heroku[router]: at=info");
    assert_eq!(render(&line("progress\r")), "2026-11-20T17:00:00.000000+00:00 app[web.1]: progress");
}

#[test]
fn an_event_has_an_id_and_a_field_for_each_line() {
    assert_eq!(sse_event(LineNumber(7), "one"), "id: 7\ndata: one\n\n");
    assert_eq!(
        sse_event(LineNumber(8), "a\r\nb\rc\n\nevent: x"),
        "id: 8\ndata: a\ndata: b\ndata: c\ndata: \ndata: event: x\n\n"
    );
    assert_eq!(sse_event(LineNumber(9), ""), "id: 9\ndata: \n\n");
}

/// Texts rich in what could break out.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
        Just("data: ".to_owned()),
        Just("event: end\n\n".to_owned()),
        Just("id: 99".to_owned()),
        Just("retry: 1".to_owned()),
        Just(": comment".to_owned()),
        Just("2026-11-20T17:00:00.000000+00:00 heroku[router]: ".to_owned()),
        Just("]: ".to_owned()),
        Just("\u{2028}\u{85}\u{b}\u{c}".to_owned()),
        any::<String>(),
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_a_second_event_or_another_field(text in hostile(), number in any::<u64>()) {
        let event = sse_event(LineNumber(number), &text);
        let (events, others) = parse_events(std::str::from_utf8(&event).unwrap());
        let expected = text.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(events, vec![(number.to_string(), expected)]);
        prop_assert!(others.is_empty(), "{:?}", others);
    }

    #[test]
    fn no_line_makes_a_second_record_or_another_source(text in hostile(), process in hostile()) {
        let mut line = line(&text);
        line.process = process;
        let event = sse_event(LineNumber(1), &render(&line));
        let (events, others) = parse_events(std::str::from_utf8(&event).unwrap());
        prop_assert!(others.is_empty());
        prop_assert_eq!(events.len(), 1);
        let mut lines = events[0].1.split('\n');
        let first = lines.next().unwrap();
        let rest = first.strip_prefix("2026-11-20T17:00:00.000000+00:00 app[").expect("our own source");
        let (name, _) = rest.split_once("]: ").unwrap();
        prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)));
        prop_assert_eq!(name.chars().count(), line.process.chars().count());
        prop_assert!(lines.all(|line| line.starts_with(' ')));
    }
}
