//! Output cut into lines: at most 10,000 bytes a piece, and a line that does not end is given out after a second.

use std::time::{Duration, Instant};

/// Most bytes of a piece; Heroku cuts log lines there.
pub(super) const PIECE_BYTES_MAX: usize = 10_000;
/// How long the start of a line waits for its end.
const PARTIAL_WAIT: Duration = Duration::from_secs(1);

/// Cuts one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    since: Option<Instant>,
}

impl Lines {
    /// Takes bytes and gives out what is complete, with whether each piece ends its line.
    pub(super) fn feed(&mut self, mut bytes: &[u8], now: Instant, mut give: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = PIECE_BYTES_MAX - self.partial.len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(room.min(bytes.len()));
            self.partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if end.is_some() {
                bytes = &bytes[1..];
                self.give(true, &mut give);
            } else if self.partial.len() == PIECE_BYTES_MAX && !bytes.is_empty() {
                self.give(false, &mut give);
            }
        }
        if self.partial.is_empty() {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// When the start of a line has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + PARTIAL_WAIT)
    }

    /// Gives out the start of a line that has waited long enough, or any with `now` at the end of the stream.
    pub(super) fn flush(&mut self, now: Instant, mut give: impl FnMut(&[u8], bool)) {
        if self.due().is_some_and(|due| now >= due) {
            self.give(false, &mut give);
        }
    }

    /// Gives out what is left at the end of the stream.
    pub(super) fn finish(&mut self, mut give: impl FnMut(&[u8], bool)) {
        if !self.partial.is_empty() {
            self.give(true, &mut give);
        }
    }

    fn give(&mut self, ends_line: bool, give: &mut impl FnMut(&[u8], bool)) {
        give(&self.partial, ends_line);
        self.partial.clear();
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut lines, mut pieces) = (Lines::default(), Vec::new());
        let mut give =
            |bytes: &[u8], ends: bool| pieces.push((String::from_utf8_lossy(bytes).into_owned(), ends));
        for chunk in chunks {
            lines.feed(chunk, Instant::now(), &mut give);
        }
        lines.finish(&mut give);
        pieces
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let expected = [("one".to_owned(), true), (String::new(), true), ("two".to_owned(), true)];
        assert_eq!(cut(&[b"one\n\ntwo\n"]), expected);
        assert_eq!(cut(&[b"o", b"ne", b"\n", b"\nt", b"wo"]), expected);
    }

    #[test]
    fn long_lines_are_cut_and_an_exact_fit_is_not() {
        let fit = vec![b'x'; PIECE_BYTES_MAX];
        assert_eq!(cut(&[&fit, b"\n"]), [("x".repeat(PIECE_BYTES_MAX), true)]);
        assert_eq!(cut(&[&fit, b"y\n"]), [("x".repeat(PIECE_BYTES_MAX), false), ("y".to_owned(), true)]);
    }

    #[test]
    fn the_start_of_a_line_waits_a_second() {
        let (mut lines, mut count) = (Lines::default(), 0);
        let start = Instant::now();
        lines.feed(b"prompt> ", start, |_, _| {});
        lines.flush(start, |_, _| count += 1);
        assert_eq!(count, 0);
        lines.flush(start + PARTIAL_WAIT, |bytes, ends| {
            assert_eq!((bytes, ends), (&b"prompt> "[..], false));
            count += 1;
        });
        assert_eq!((count, lines.due()), (1, None));
    }
}
