//! Text files of a tenant's, in whichever of the encodings their editor marks at a file's head.
//!
//! Some editors of Windows put a byte order mark before UTF-8, and its older shell writes UTF-16. The tools that read
//! such files themselves (pip, npm, uv) look at the mark; so does everything here.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

const MARK_UTF_8: &[u8] = b"\xef\xbb\xbf";
const MARK_UTF_16_LE: &[u8] = b"\xff\xfe";
const MARK_UTF_16_BE: &[u8] = b"\xfe\xff";

/// Reads a text file; what is not text in it becomes U+FFFD.
pub fn read(path: &Path) -> io::Result<String> {
    Ok(decode(&fs::read(path)?))
}

/// The text that these bytes are, without its mark.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&unmarked(bytes)).into_owned()
}

/// The bytes without their mark, and in UTF-8 where the mark says that they are not. Bytes without one stay as they are.
#[must_use]
pub fn unmarked(bytes: &[u8]) -> Cow<'_, [u8]> {
    if let Some(rest) = bytes.strip_prefix(MARK_UTF_8) {
        return Cow::Borrowed(rest);
    }
    let units = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let pairs = rest.chunks_exact(2);
        String::from_utf16_lossy(&pairs.map(|pair| unit([pair[0], pair[1]])).collect::<Vec<_>>())
    };
    let text = match bytes.strip_prefix(MARK_UTF_16_LE) {
        Some(rest) => units(rest, u16::from_le_bytes),
        None => match bytes.strip_prefix(MARK_UTF_16_BE) {
            Some(rest) => units(rest, u16::from_be_bytes),
            None => return Cow::Borrowed(bytes),
        },
    };
    Cow::Owned(text.into_bytes())
}

/// Whether the mark says UTF-16: what npm, for one, does not read.
#[must_use]
pub fn is_utf_16(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK_UTF_16_LE) || bytes.starts_with(MARK_UTF_16_BE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_text() {
        assert_eq!(decode(b"\xef\xbb\xbfa\xc3\xa4"), "a\u{e4}");
        assert_eq!(decode(b"\xff\xfea\0\xe4\0\r\0\n\0"), "a\u{e4}\r\n");
        assert_eq!(decode(b"\xfe\xff\0a\0\xe4"), "a\u{e4}");
        assert_eq!(decode(b"a\xff\xfe"), "a\u{fffd}\u{fffd}", "a mark is at the head");
        assert_eq!(unmarked(b"\xffa").as_ref(), b"\xffa", "names of files are bytes");
        assert!(is_utf_16(b"\xff\xfe") && !is_utf_16(b"\xef\xbb\xbf"));
    }

    proptest! {
        #[test]
        fn the_same_text_is_read_from_every_encoding(text in "\\PC{0,40}") {
            prop_assume!(!text.starts_with('\u{feff}'));
            let utf_16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
                [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
            };
            prop_assert_eq!(&decode(text.as_bytes()), &text);
            prop_assert_eq!(&decode(&[MARK_UTF_8, text.as_bytes()].concat()), &text);
            prop_assert_eq!(&decode(&utf_16(MARK_UTF_16_LE, u16::to_le_bytes)), &text);
            prop_assert_eq!(&decode(&utf_16(MARK_UTF_16_BE, u16::to_be_bytes)), &text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
