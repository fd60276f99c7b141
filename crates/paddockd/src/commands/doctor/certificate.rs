//! When a certificate ends: the one field of it that the doctor needs.

use std::path::Path;

use super::Finding;

/// Who renews nothing by hand wants to hear of it this long before, in seconds: two weeks.
const SOON: i64 = 14 * 24 * 60 * 60;

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// How a certificate's time is; `None` when there is no such file.
pub(super) fn check(name: &str, path: &Path, now: jiff::Timestamp, remedy: &str) -> Option<Finding> {
    let pem = std::fs::read_to_string(path).ok()?;
    let Some(end) = end_of(&pem) else {
        return Some(Finding::problem(name, format!("{} cannot be read", path.display()), remedy));
    };
    let left = end.as_second() - now.as_second();
    let detail = format!("valid until {}", end.strftime("%Y-%m-%d"));
    Some(if left > SOON { Finding::ok(name, detail) } else { Finding::problem(name, detail, remedy) })
}

/// `notAfter` of the first certificate in a PEM text.
pub(crate) fn end_of(pem: &str) -> Option<jiff::Timestamp> {
    use base64::Engine;
    let body = pem.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let body: String = body.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let (_, certificate, _) = element(&der, SEQUENCE)?;
    let (_, mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&EXPLICIT_VERSION) {
        fields = any(fields)?.2;
    }
    // Serial number, signature algorithm, issuer; then the validity.
    for _ in 0..3 {
        fields = any(fields)?.2;
    }
    let (_, validity, _) = element(fields, SEQUENCE)?;
    let (kind, end, _) = any(any(validity)?.2)?;
    let text = std::str::from_utf8(end).ok()?.strip_suffix('Z')?;
    let text = match kind {
        // Two digits of a year: 1950 to 2049.
        UTC_TIME if text.len() == 12 && text.as_bytes()[0] >= b'5' => format!("19{text}"),
        UTC_TIME if text.len() == 12 => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn element(der: &[u8], kind: u8) -> Option<(u8, &[u8], &[u8])> {
    any(der).filter(|(found, ..)| *found == kind)
}

/// The first element of a DER text: its kind, its content, and what follows it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes
            .iter()
            .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use paddock_control::clock::{Clock as _, SystemClock};

    #[test]
    fn the_end_of_a_certificate_is_found_and_judged() {
        let folder = tempfile::tempdir().unwrap();
        let ca = paddock_control::certificate_authority::prepare(
            folder.path(),
            "paddock.localhost",
            SystemClock.now(),
        )
        .unwrap();
        let end = end_of(&std::fs::read_to_string(&ca.certificate).unwrap()).unwrap();
        let check = |now| check("certificate", &ca.certificate, now, "Renew it").unwrap();
        assert_eq!(check(jiff::Timestamp::now()).verdict, Verdict::Ok);
        let shortly_before = jiff::Timestamp::from_second(end.as_second() - SOON).unwrap();
        assert_eq!(check(shortly_before).verdict, Verdict::Problem);
        assert!(end_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_none());
        assert!(end_of("").is_none());
    }
}
