//! When a certificate ends: the one field of it that the server needs.

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

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
    use super::end_of;

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert!(end_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_none());
        assert!(end_of("").is_none());
    }
}
