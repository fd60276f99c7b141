//! What databases of apps are run by: this machine's versions of PostgreSQL.

use super::Finding;

const NAME: &str = "databases of apps";

/// `programs` are the versions, each with the folder of its programs.
pub(super) fn check(programs: Vec<(u16, String)>) -> Finding {
    let mut versions: Vec<_> = programs.into_iter().map(|(version, _)| version).collect();
    versions.sort_unstable();
    let versions: Vec<_> = versions.iter().map(u16::to_string).collect();
    if versions.is_empty() {
        return Finding::note(
            NAME,
            "not ready: no PostgreSQL server",
            "Only if apps are to have databases (heroku addons:create heroku-postgresql): apt-get install postgresql, and start \
             paddockd again",
        );
    }
    Finding::ok(NAME, format!("ready: PostgreSQL {}", versions.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_told_and_none_is_a_note() {
        let found = check(vec![(17, "/b".to_owned()), (15, "/a".to_owned())]);
        assert!(format!("{found:?}").contains("ready: PostgreSQL 15, 17"), "{found:?}");
        let none = check(Vec::new());
        assert!(none.remedy.contains("apt-get install postgresql"), "{none:?}");
    }
}
