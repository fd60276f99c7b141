//! Certificates that end soon.

use std::path::Path;

use super::Finding;
use crate::certificate_end::end_of;

/// Who renews nothing by hand wants to hear of it this long before, in seconds: two weeks.
const SOON: i64 = 14 * 24 * 60 * 60;

/// Whether a certificate is still valid; `None` when there is no such file.
pub(super) fn check(name: &str, path: &Path, now: jiff::Timestamp, remedy: &str) -> Option<Finding> {
    let pem = std::fs::read_to_string(path).ok()?;
    let Some(end) = end_of(&pem) else {
        return Some(Finding::problem(name, format!("{} cannot be read", path.display()), remedy));
    };
    let left = end.as_second() - now.as_second();
    let detail = format!("valid until {}", end.strftime("%Y-%m-%d"));
    Some(if left > SOON { Finding::ok(name, detail) } else { Finding::problem(name, detail, remedy) })
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
    }
}
