//! Pkt-lines: the framing of git's protocols. Four hexadecimal digits of length (their own four bytes included),
//! then the data; `0000` is a flush.

use std::io::{self, Read, Write};

/// The longest data of one pkt-line. Source: git's `protocol-common` document.
pub const DATA_BYTES_MAX: usize = 65_516;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PktLine {
    /// Data, without its length and as it was sent (a trailing newline is kept).
    Data(Vec<u8>),
    /// The end of a section.
    Flush,
}

/// Reads one pkt-line; `None` at the end of the stream between two of them.
///
/// # Errors
/// When reading fails, the stream ends inside a pkt-line, or its length is malformed or out of bounds.
pub fn read(reader: &mut impl Read) -> io::Result<Option<PktLine>> {
    let mut head = [0; 4];
    let first = loop {
        match reader.read(&mut head[..1]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut head[1..])?;
    match length(head) {
        Some(0) => Ok(Some(PktLine::Flush)),
        Some(length @ 4..) if length - 4 <= DATA_BYTES_MAX => {
            let mut data = vec![0; length - 4];
            reader.read_exact(&mut data)?;
            Ok(Some(PktLine::Data(data)))
        }
        // 0001 to 0003 belong to protocol 2, which no hook speaks.
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "malformed pkt-line length")),
    }
}

fn length(head: [u8; 4]) -> Option<usize> {
    head.iter().try_fold(0, |length, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(length * 16 + value as usize)
    })
}

/// Writes data as one pkt-line.
///
/// # Errors
/// When writing fails or `data` is longer than [`DATA_BYTES_MAX`].
pub fn write(writer: &mut impl Write, data: &[u8]) -> io::Result<()> {
    if data.len() > DATA_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "data is too long for a pkt-line"));
    }
    write!(writer, "{:04x}", data.len() + 4)?;
    writer.write_all(data)
}

pub fn write_flush(writer: &mut impl Write) -> io::Result<()> {
    writer.write_all(b"0000")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut bytes: &[u8]) -> io::Result<Vec<PktLine>> {
        let mut lines = Vec::new();
        while let Some(line) = read(&mut bytes)? {
            lines.push(line);
        }
        Ok(lines)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(lines in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)), 0..20)) {
            let mut bytes = Vec::new();
            for line in &lines {
                match line {
                    Some(data) => write(&mut bytes, data).unwrap(),
                    None => write_flush(&mut bytes).unwrap(),
                }
            }
            let expected: Vec<_> =
                lines.into_iter().map(|line| line.map_or(PktLine::Flush, PktLine::Data)).collect();
            prop_assert_eq!(all(&bytes).unwrap(), expected);
            // Cut anywhere, it is a shorter list or an error, never a panic or invented data.
            if bytes.len() > 1 {
                let _ = all(&bytes[..bytes.len() - 1]);
            }
        }

        #[test]
        fn no_input_panics_or_allocates_beyond_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for line in all(&bytes).into_iter().flatten() {
                if let PktLine::Data(data) = line {
                    prop_assert!(data.len() <= bytes.len());
                }
            }
        }
    }

    #[test]
    fn malformed_lengths_are_refused() {
        for bytes in [&b"0001"[..], b"0003", b"zzzz", b"+005a", b"ffffx", b"00", b"0009abc"] {
            assert!(all(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(all(b"0004").unwrap(), [PktLine::Data(Vec::new())]);
        assert_eq!(all(b"0005a0000").unwrap(), [PktLine::Data(b"a".to_vec()), PktLine::Flush]);
        assert!(write(&mut Vec::new(), &vec![0; DATA_BYTES_MAX + 1]).is_err());
    }
}
