//! Requests that want a file only if it changed, or a part of it. Source: RFC 9110, sections 13 and 14.

use http::HeaderMap;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

/// What a file is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// With its quotes.
    pub(crate) etag: String,
    pub(crate) modified: Option<Timestamp>,
}

/// Which bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// First and last.
    Bytes(u64, u64),
    /// What is asked for is not there.
    None,
}

/// As `Last-Modified` has it.
pub(crate) fn date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn seconds(text: &str) -> Option<i64> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(Timestamp::as_second)
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether the client has the file already.
pub(crate) fn is_known(headers: &HeaderMap, file: &Validators) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let own = strong(&file.etag);
        let said = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return said.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == own);
    }
    let since = text(headers, IF_MODIFIED_SINCE).and_then(seconds);
    file.modified.zip(since).is_some_and(|(modified, since)| modified.as_second() <= since)
}

/// What of a file of `length` bytes a request wants. Several parts in one answer are the whole here, as RFC 9110 allows.
pub(crate) fn part(headers: &HeaderMap, file: &Validators, length: u64) -> Part {
    let Some(range) = text(headers, RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    if let Some(condition) = text(headers, IF_RANGE) {
        let dated = || file.modified.map(Timestamp::as_second) == seconds(condition);
        let is_same = if condition.contains('"') { condition.trim() == file.etag } else { dated() };
        if !is_same {
            return Part::Whole;
        }
    }
    let Some((first, last)) = range.trim().split_once('-').filter(|_| !range.contains(',')) else {
        return Part::Whole;
    };
    let number = |text: &str| {
        text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (Some(from), Some(to)) = (number(first.trim()), number(last.trim())) else { return Part::Whole };
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => Part::Whole,
        (true, false) if to == 0 || length == 0 => Part::None,
        (true, false) => Part::Bytes(length.saturating_sub(to), length - 1),
        _ if from >= length => Part::None,
        (false, true) => Part::Bytes(from, length - 1),
        (false, false) if to < from => Part::Whole,
        (false, false) => Part::Bytes(from, to.min(length - 1)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn file() -> Validators {
        Validators {
            etag: "\"abc\"".to_owned(),
            modified: Some(Timestamp::from_second(1_600_000_000).unwrap()),
        }
    }

    fn headers(said: &[(http::HeaderName, &str)]) -> HeaderMap {
        said.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_client_that_has_the_file_is_told_so() {
        assert_eq!(date(file().modified.unwrap()), "Sun, 13 Sep 2020 12:26:40 GMT");
        let known = |said: &[_]| is_known(&headers(said), &file());
        for (value, expected) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"x\"", false),
            ("", false),
        ] {
            assert_eq!(known(&[(IF_NONE_MATCH, value)]), expected, "{value}");
        }
        for (value, expected) in [
            ("Sun, 13 Sep 2020 12:26:40 GMT", true),
            ("Sun, 13 Sep 2020 12:26:39 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(known(&[(IF_MODIFIED_SINCE, value)]), expected, "{value}");
        }
        let both = [(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, "Sun, 13 Sep 2020 12:26:40 GMT")];
        assert!(!known(&both), "the tag counts");
        assert!(!known(&[]));
    }

    #[test]
    fn a_part_is_what_the_range_says() {
        let part = |range: &str| super::part(&headers(&[(RANGE, range)]), &file(), 10);
        for (range, expected) in [
            ("bytes=0-3", Part::Bytes(0, 3)),
            ("bytes=4-", Part::Bytes(4, 9)),
            ("bytes=-3", Part::Bytes(7, 9)),
            ("bytes=-99", Part::Bytes(0, 9)),
            ("bytes=2-99", Part::Bytes(2, 9)),
            ("bytes=99999999999999999999-", Part::None),
            ("bytes=10-", Part::None),
            ("bytes=-0", Part::None),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(part(range), expected, "{range}");
        }
        let conditional = |condition: &str| {
            super::part(&headers(&[(RANGE, "bytes=0-3"), (IF_RANGE, condition)]), &file(), 10)
        };
        assert_eq!(conditional("\"abc\""), Part::Bytes(0, 3));
        assert_eq!(conditional("W/\"abc\""), Part::Whole);
        assert_eq!(conditional("Sun, 13 Sep 2020 12:26:40 GMT"), Part::Bytes(0, 3));
        assert_eq!(conditional("Sun, 13 Sep 2020 12:26:41 GMT"), Part::Whole);
        assert_eq!(super::part(&headers(&[(RANGE, "bytes=0-")]), &file(), 0), Part::None);
    }
}
