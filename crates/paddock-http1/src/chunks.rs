//! The chunked coding: data out of bytes as they come.

use bytes::{Buf, BytesMut};

use crate::Fields;
use crate::line::{self, Lines, Next};

/// Digits of a chunk's size, zeros in front included.
const DIGITS_MAX: u8 = 16;
/// Bytes of a chunk's first line: its size, spaces, and extensions, which nobody uses.
const LINE_BYTES_MAX: usize = 4096;
/// Bytes of a line of the trailers.
const TRAILER_BYTES_MAX: usize = 8192;
const TRAILERS_BYTES_MAX: usize = 16 * 1024;
/// Bytes around data that are looked at in one call.
const STEPS_MAX: usize = 1024;

/// A body that cannot be read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body is malformed")
    }
}

impl std::error::Error for Malformed {}

/// A chunked body, as far as it was read.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    /// The size of a chunk, then what is left of it.
    left: u64,
    digits: u8,
    /// Bytes of the chunk's first line so far.
    line_bytes: usize,
    lines: Lines,
    /// Bytes of the trailers so far.
    trailers_bytes: usize,
    trailers: Fields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Spaces after the size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            line_bytes: 0,
            lines: Lines::default(),
            trailers_bytes: 0,
            trailers: Fields::default(),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::End
    }

    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Moves the data of the chunks in `from` to `data`, and takes off what is around it. Whether it is to be called
    /// again for what is there already: where little of it is data, others come first.
    pub(crate) fn take(&mut self, from: &mut BytesMut, data: &mut BytesMut) -> Result<bool, Malformed> {
        let (mut at, mut steps) = (0, 0);
        while at < from.len() && steps < STEPS_MAX && !matches!(self.state, State::Trailers | State::End) {
            if self.state == State::Data {
                let piece = usize::try_from(self.left).unwrap_or(usize::MAX).min(from.len() - at);
                data.extend_from_slice(&from[at..at + piece]);
                at += piece;
                self.left -= piece as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(from[at])?;
                at += 1;
                steps += 1;
            }
        }
        from.advance(at);
        if self.state == State::Trailers {
            self.take_trailers(from)?;
            return Ok(false);
        }
        Ok(!from.is_empty() && self.state != State::End)
    }

    /// The state after a byte that is no data.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        if matches!(self.state, State::Size | State::Space | State::Extension) {
            self.line_bytes += 1;
            if self.line_bytes > LINE_BYTES_MAX {
                return Err(Malformed);
            }
        }
        let has_size = self.digits > 0;
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size | State::Space, b' ' | b'\t') if has_size => Ok(State::Space),
            (State::Size | State::Space, b';') if has_size => Ok(State::Extension),
            (State::Size | State::Space | State::Extension, b'\r') if has_size => Ok(State::SizeLf),
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Extension),
            (State::SizeLf, b'\n') if self.left > 0 => Ok(State::Data),
            (State::SizeLf, b'\n') => Ok(State::Trailers),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                (self.digits, self.line_bytes) = (0, 0);
                Ok(State::Size)
            }
            _ => Err(Malformed),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Malformed> {
        let value = char::from(byte).to_digit(16).ok_or(Malformed)?;
        self.digits += 1;
        if self.digits > DIGITS_MAX {
            return Err(Malformed);
        }
        // Sixteen digits fit; when a chunk begins nothing is left of the one before.
        self.left = self.left << 4 | u64::from(value);
        Ok(State::Size)
    }

    fn take_trailers(&mut self, from: &mut BytesMut) -> Result<(), Malformed> {
        loop {
            let next = self.lines.next(from, TRAILER_BYTES_MAX, &mut self.trailers_bytes);
            if self.trailers_bytes > TRAILERS_BYTES_MAX {
                return Err(Malformed);
            }
            match next {
                Next::More => return Ok(()),
                Next::Line(line, true) if line.is_empty() => {
                    self.state = State::End;
                    return Ok(());
                }
                Next::Line(line, true) => {
                    let field = line::field(&line).ok_or(Malformed)?;
                    self.trailers.push(field.name, field.value);
                }
                Next::Line(_, false) | Next::Overlong => return Err(Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data, the trailers and what follows; the bytes come in pieces of `piece`.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, String, Vec<u8>), Option<Malformed>> {
        let (mut chunks, mut from, mut data) = (Chunks::new(), BytesMut::new(), BytesMut::new());
        for piece in bytes.chunks(piece) {
            from.extend_from_slice(piece);
            while !chunks.is_complete() && chunks.take(&mut from, &mut data).map_err(Some)? {}
        }
        if !chunks.is_complete() {
            return Err(None);
        }
        let mut trailers = BytesMut::new();
        chunks.trailers().write(&mut trailers);
        Ok((data.to_vec(), String::from_utf8_lossy(&trailers).into_owned(), from.to_vec()))
    }

    #[test]
    fn data_comes_without_what_is_around_it() {
        for (bytes, data, trailers, rest) in [
            ("0\r\n\r\n", "", "", ""),
            ("3\r\nabc\r\n0\r\n\r\nGET", "abc", "", "GET"),
            ("1\r\na\r\n0002\r\nbc\r\n000\r\n\r\n", "abc", "", ""),
            ("3;x=1;y=\"z\"\r\nabc\r\n0;\r\n\r\n", "abc", "", ""),
            ("3 \t\r\nabc\r\n0  ; a\r\n\r\n", "abc", "", ""),
            (
                "B\r\nabc\r\n0\r\n\r\nd\r\n0\r\nA: b\r\nC:\r\n\r\n\r\n",
                "abc\r\n0\r\n\r\nd",
                "A: b\r\nC: \r\n",
                "\r\n",
            ),
        ] {
            for piece in [1, 2, 3, 100] {
                let read = read(bytes.as_bytes(), piece).unwrap();
                assert_eq!(read, (data.into(), trailers.into(), rest.into()), "{bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn much_around_little_data_is_not_read_at_once() {
        let bytes = "1;abc\r\nx\r\n".repeat(10_000);
        let (mut chunks, mut from, mut data) = (Chunks::new(), BytesMut::from(&bytes[..]), BytesMut::new());
        let mut calls = 1;
        while chunks.take(&mut from, &mut data).unwrap() {
            calls += 1;
        }
        assert_eq!((data.len(), from.len()), (10_000, 0));
        assert!(calls > bytes.len() / 2 / STEPS_MAX, "{calls}");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [
            "\r\n",
            "g\r\n",
            " 1\r\na\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1\na\r\n",
            "1\r\na\n",
            "1\r\nab",
            "1\r\na\rb",
            "1 2\r\n",
            ";\r\n",
            "1;\n",
            "1;\x00\r\n",
            "1;a\rb\r\n",
            "0\r\nA\r\n\r\n",
            "0\r\n\n",
            "0\r\nA: b\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
        ] {
            for piece in [1, 100] {
                assert_eq!(read(bytes.as_bytes(), piece), Err(Some(Malformed)), "{bytes:?} by {piece}");
            }
        }
        for bytes in
            ["", "1", "1\r\n", "1\r\na", "1\r\na\r\n", "0\r\n", "0\r\nA: b\r\n", "ffffffffffffffff\r\na"]
        {
            assert_eq!(read(bytes.as_bytes(), 100), Err(None), "{bytes:?} is not complete");
        }
    }

    #[test]
    fn nothing_of_a_chunk_is_without_a_bound() {
        for endless in ["0", "1 ", "1\t\t", "1;", "1;a=b", "0\r\nA: b\r\n", "0\r\nA: "] {
            let (mut chunks, mut data) = (Chunks::new(), BytesMut::new());
            let (begin, again) =
                endless.split_at(endless.len().min(if endless.starts_with('0') { 3 } else { 1 }));
            let again = if again.is_empty() { begin } else { again };
            let mut from = BytesMut::from(begin);
            let mut sent = 0;
            while chunks.take(&mut from, &mut data).is_ok() {
                from.extend_from_slice(again.as_bytes());
                sent += again.len();
                assert!(sent <= 2 * TRAILERS_BYTES_MAX, "{endless:?} goes on and on");
            }
            assert!(data.is_empty());
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in "[0-9a-f;: \r\nA]{0,80}", piece in 1usize..20) {
            prop_assert_eq!(read(bytes.as_bytes(), piece), read(bytes.as_bytes(), usize::MAX));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, piece in 1usize..20) {
            let _ = read(&bytes, piece);
        }
    }
}
