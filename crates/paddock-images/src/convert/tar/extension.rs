//! Headers that say more of the member after them: records of pax, long names of GNU tar.

use super::header::decimal;
use super::{Problem, sparse};
use crate::convert::Refused;
use crate::erofs::Modified;

/// Bytes of records that are looked at: attributes of a file may have 64 KB each.
pub(super) const RECORDS_MAX: u64 = 1 << 20;

/// What is known of the next member.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) modified: Option<Modified>,
    /// Attributes that the file had.
    pub(super) attributes: u64,
    pub(super) sparse: sparse::Records,
    has_records: bool,
}

impl Extension {
    /// Whether nothing waits for a member.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_records && self.path.is_none() && self.link.is_none()
    }

    /// The path, in a member of its own.
    pub(super) fn long_path(&mut self, text: Vec<u8>) -> Result<(), Problem> {
        say(&mut self.path, until_nul(text))
    }

    /// The target of a link, in a member of its own.
    pub(super) fn long_link(&mut self, text: Vec<u8>) -> Result<(), Problem> {
        say(&mut self.link, until_nul(text))
    }

    /// Records of pax.
    pub(super) fn records(&mut self, mut records: &[u8]) -> Result<(), Problem> {
        if std::mem::replace(&mut self.has_records, true) {
            return Err(Refused::BadExtension.into());
        }
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or(Refused::BadExtension)?;
            records = rest;
            // An empty value takes back what a header for all members had said; those are not heard.
            if !value.is_empty() {
                self.record(key, value)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        match key {
            b"path" => say(&mut self.path, value.to_vec()),
            b"linkpath" => say(&mut self.link, value.to_vec()),
            b"size" => say(&mut self.size, decimal(value)?),
            b"uid" => say(&mut self.uid, id(value)?),
            b"gid" => say(&mut self.gid, id(value)?),
            b"mtime" => say(&mut self.modified, date(value).ok_or(Refused::BadNumber)?),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.take(key, value);
                }
                let of_file = [&b"SCHILY.xattr."[..], b"SCHILY.acl.", b"LIBARCHIVE.xattr.", b"RHT.security."];
                self.attributes += u64::from(of_file.iter().any(|prefix| key.starts_with(prefix)));
                Ok(())
            }
        }
    }
}

/// Says something of which nothing was said yet: of two, one reader takes the first and another the last.
fn say<T>(place: &mut Option<T>, value: T) -> Result<(), Problem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refused::BadExtension.into()),
    }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    text
}

/// The first record (`LENGTH KEY=VALUE\n`, the length being that of all of it), and what is after it.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&records[..space]).ok()?).ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn id(digits: &[u8]) -> Result<i64, Problem> {
    match digits.strip_prefix(b"-") {
        Some(digits) => decimal(digits).map(|_| -1),
        None => Ok(i64::try_from(decimal(digits)?).unwrap_or(i64::MAX)),
    }
}

/// Seconds with a fraction of any length.
fn date(text: &[u8]) -> Option<Modified> {
    let (is_before, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?).ok()?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    Some(match (is_before, nanoseconds) {
        (false, _) => Modified { seconds, nanoseconds },
        (true, 0) => Modified { seconds: -seconds, nanoseconds },
        (true, _) => Modified { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_fractions_and_may_lie_before_1970() {
        let modified = |seconds, nanoseconds| Some(Modified { seconds, nanoseconds });
        assert_eq!(date(b"1350244992.02396010812"), modified(1_350_244_992, 23_960_108));
        assert_eq!(date(b"5"), modified(5, 0));
        assert_eq!(date(b"-1.25"), modified(-2, 750_000_000));
        assert_eq!(date(b"-3"), modified(-3, 0));
        for text in [&b""[..], b".", b"1.x", b"--1", b"99999999999999999999", b"1e3"] {
            assert_eq!(date(text), None);
        }
    }

    #[test]
    fn a_record_is_as_long_as_it_says() {
        let mut extension = Extension::default();
        extension.records(b"9 path=a\n19 SCHILY.xattr.a=\n15 linkpath=\0\n\n13 ctime=1.0\n").unwrap();
        assert_eq!((extension.path, extension.link), (Some(b"a".to_vec()), Some(b"\0\n".to_vec())));
        for records in [
            &b"9 path=a"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"x path=a\n",
            b"9path=aa\n",
            b"7 path\n",
            b"9 path=a\n9 path=a\n",
            b"3 \n",
            b"18446744073709551616 a=b\n",
            b"11 mtime=x\n",
        ] {
            assert!(Extension::default().records(records).is_err(), "{records:?}");
        }
    }
}
