//! The 512 bytes before each member of an archive, in the dialects that there are: v7, ustar, star, GNU.

use std::ops::Range;

use super::Problem;
use crate::convert::Refused;

/// Bytes of a header, and what content is padded to.
pub(super) const RECORD: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MODIFIED: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const PREFIX: Range<usize> = 345..500;
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_MARK: Range<usize> = 508..512;
/// Of a sparse file of the old GNU kind: its first fragments, whether more follow, its size with holes.
const SPARSE: Range<usize> = 386..482;
const SPARSE_GOES_ON: usize = 482;
const SPARSE_SIZE: Range<usize> = 483..495;

/// One header.
pub(super) struct Header(pub(super) [u8; RECORD]);

impl Header {
    /// Whether its checksum is right. Some old programs added signed bytes.
    pub(super) fn is_sound(&self) -> bool {
        let sum = |value: fn(u8) -> i64| -> i64 {
            let bytes = self.0.iter().enumerate();
            bytes.map(|(at, byte)| value(if CHECKSUM.contains(&at) { b' ' } else { *byte })).sum()
        };
        let Ok(given) = number(&self.0[CHECKSUM]) else { return false };
        given == sum(i64::from) || given == sum(|byte| i64::from(byte.cast_signed()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[KIND]
    }

    /// Its path, as far as it is known by this header alone.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        let prefix = match &self.0[MAGIC] {
            b"ustar\0" if self.0[STAR_MARK] == *b"tar\0" => text(&self.0[STAR_PREFIX]),
            b"ustar\0" => text(&self.0[PREFIX]),
            _ => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    pub(super) fn size(&self) -> Result<u64, Problem> {
        count(&self.0[SIZE])
    }

    pub(super) fn permissions(&self) -> Result<u16, Problem> {
        Ok((number(&self.0[MODE])? & 0o7777) as u16)
    }

    /// Its owner; not a number that is one where it is below 0.
    pub(super) fn uid(&self) -> Result<i64, Problem> {
        number(&self.0[UID])
    }

    pub(super) fn gid(&self) -> Result<i64, Problem> {
        number(&self.0[GID])
    }

    pub(super) fn modified(&self) -> Result<i64, Problem> {
        number(&self.0[MODIFIED])
    }

    pub(super) fn sparse_size(&self) -> Result<u64, Problem> {
        count(&self.0[SPARSE_SIZE])
    }

    /// The fragments in the header itself, and whether records with more follow it.
    pub(super) fn sparse(&self) -> (&[u8], bool) {
        (&self.0[SPARSE], self.0[SPARSE_GOES_ON] != 0)
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in decimal digits, and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Result<u64, Problem> {
    let number = digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add((digit - b'0').into()),
        _ => None,
    });
    number.filter(|_| !digits.is_empty()).ok_or_else(|| Refused::BadNumber.into())
}

/// A number that is no less than 0.
pub(super) fn count(field: &[u8]) -> Result<u64, Problem> {
    u64::try_from(number(field)?).map_err(|_| Refused::BadNumber.into())
}

/// A number: octal digits among spaces and NULs, or, where the first bit is set, 256 to the digit.
fn number(field: &[u8]) -> Result<i64, Problem> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        return binary(field).ok_or_else(|| Refused::BadNumber.into());
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !is_space(byte)).unwrap_or(field.len());
    let digits = field[begin..].split(is_space).next().unwrap_or_default();
    let number = digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'7' => Some(number << 3 | i64::from(digit - b'0')),
        _ => None,
    });
    // Twelve octal digits are 36 bits.
    number.ok_or_else(|| Refused::BadNumber.into())
}

fn binary(field: &[u8]) -> Option<i64> {
    // The second bit is the sign.
    let first = (field[0] << 1).cast_signed() >> 1;
    field[1..]
        .iter()
        .try_fold(i64::from(first), |number, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, wanted) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"777777777777", Some((1 << 36) - 1)),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfb", Some(-5)),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"12345678", None),
            (b"-0000001", None),
            (b"abc", None),
        ] {
            assert_eq!(number(field).ok(), wanted, "{field:?}");
        }
        assert!(count(b"\xff\xff\xff\xff\xff\xff\xff\xfb").is_err());
    }
}
