//! Lines of heads and trailers out of bytes as they come.

use bytes::{Buf, Bytes, BytesMut};

use crate::Field;

/// Takes lines off the front of a buffer, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Bytes of the buffer in which no line ends.
    scanned: usize,
    /// The line that has begun is too long: its rest is thrown away.
    overlong: bool,
}

/// What is at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// No line ends here yet.
    More,
    /// A line, without its end, and whether that was CR and LF.
    Line(Bytes, bool),
    /// The line that ends here was longer than allowed.
    Overlong,
}

impl Lines {
    /// The next line, if it has at most `max` bytes; `taken` grows by the bytes that are gone from the buffer.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut, max: usize, taken: &mut usize) -> Next {
        let Some(at) = buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            if buffer.len() > max + 1 {
                self.overlong = true;
            }
            if self.overlong {
                *taken += buffer.len();
                buffer.clear();
            }
            self.scanned = buffer.len();
            return Next::More;
        };
        let mut line = buffer.split_to(self.scanned + at);
        buffer.advance(1);
        *taken += line.len() + 1;
        self.scanned = 0;
        let is_whole = line.last() == Some(&b'\r');
        if is_whole {
            line.truncate(line.len() - 1);
        }
        if std::mem::take(&mut self.overlong) || line.len() > max {
            return Next::Overlong;
        }
        Next::Line(line.freeze(), is_whole)
    }

    /// Whether the line that has begun is known to be too long before it ends.
    pub(crate) fn is_overlong(&self) -> bool {
        self.overlong
    }
}

/// A line as a field; `None` when it is none. A line that continues another is none either.
pub(crate) fn field(line: &Bytes) -> Option<Field> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line.slice(..colon);
    let value = line.slice_ref(trimmed(&line[colon + 1..]));
    (is_token(&name) && value.iter().all(|byte| is_text(*byte))).then_some(Field { name, value })
}

/// Without spaces and tabs around it.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

pub(crate) fn is_token(word: &[u8]) -> bool {
    let marks = b"!#$%&'*+-.^_`|~";
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(byte))
}

/// What may be in a value: everything but control characters.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// A number of decimal digits and nothing else.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_token_a_colon_and_text() {
        let parts = |line: &'static str| {
            field(&Bytes::from_static(line.as_bytes())).map(|field| (field.name, field.value))
        };
        assert_eq!(parts("A: b\t "), Some(("A".into(), "b".into())));
        assert_eq!(parts("a_b:\tc d"), Some(("a_b".into(), "c d".into())));
        assert_eq!(parts("A:"), Some(("A".into(), Bytes::new())));
        assert_eq!(parts("A: é"), Some(("A".into(), "é".into())));
        for line in ["", "A", ": b", "A : b", " A: b", "A b: c", "A: b\0", "A: b\rc", "é: b", "A: \u{7f}"] {
            assert_eq!(parts(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_number_is_digits_alone() {
        assert_eq!(number(b"0042"), Some(42));
        assert_eq!(number(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for digits in ["", "+1", "-1", " 1", "1 ", "1,1", "0x1", "99999999999999999999"] {
            assert_eq!(number(digits.as_bytes()), None, "{digits:?}");
        }
    }

    #[test]
    fn lines_come_one_by_one_and_too_long_ones_are_not_kept() {
        let mut lines = Lines::default();
        let (mut buffer, mut taken) = (BytesMut::from("ab\r\nc\n\r\nd"), 0);
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::Line("ab".into(), true));
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::Line("c".into(), false));
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::Line(Bytes::new(), true));
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::More);
        assert_eq!((taken, &buffer[..]), (8, &b"d"[..]));
        buffer.extend_from_slice(b"efgh");
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::More);
        assert_eq!(&buffer[..], b"defgh", "its last byte may be CR");
        buffer.extend_from_slice(b"i");
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::More);
        assert!(buffer.is_empty());
        buffer.extend_from_slice(b"\r\nok\r\n");
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::Overlong);
        assert_eq!(lines.next(&mut buffer, 4, &mut taken), Next::Line("ok".into(), true));
    }
}
