//! What is in a dump, as `pg_restore --list` tells it, and what of that is put back.
//!
//! Some of it every database of ours has already, or nobody but a superuser may make: `pg_restore` would complain of each, and
//! nobody could tell that from a loss.

/// Entries that every database has: nothing is lost with them.
const THERE_ALREADY: [&str; 6] = [
    "SCHEMA - public ",
    "SCHEMA - _heroku ",
    "EXTENSION - plpgsql ",
    "COMMENT - EXTENSION plpgsql ",
    "EXTENSION - pg_stat_statements ",
    "COMMENT - EXTENSION pg_stat_statements ",
];

/// Entries of what is the superuser's alone.
const SUPERUSERS: [&str; 6] = [
    "EVENT TRIGGER ",
    "COMMENT - EVENT TRIGGER ",
    "PUBLICATION ",
    "SUBSCRIPTION ",
    "COMMENT - PUBLICATION ",
    "COMMENT - SUBSCRIPTION ",
];

/// Entries of rights.
const RIGHTS: [&str; 2] = ["ACL ", "DEFAULT ACL "];

/// What of a dump is put back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// A list for `pg_restore --use-list`.
    pub list: String,
    /// The same of rights alone; empty where there are none.
    pub rights: String,
    /// What is left out that the dump's database had and this one will not: one line each, for people.
    pub left_out: Vec<String>,
}

impl Contents {
    /// From what `pg_restore --list` has said.
    #[must_use]
    pub fn of(listed: &str) -> Self {
        let mut contents = Self::default();
        for line in listed.lines() {
            match entry(line) {
                Some(entry) if is_there_already(entry) => continue,
                Some(entry) if SUPERUSERS.iter().any(|kind| entry.starts_with(kind)) => {
                    contents.left_out.push(entry.trim_end().to_owned());
                    continue;
                }
                Some(entry) if RIGHTS.iter().any(|kind| entry.starts_with(kind)) => {
                    contents.rights += line;
                    contents.rights.push('\n');
                }
                _ => {}
            }
            contents.list += line;
            contents.list.push('\n');
        }
        contents
    }
}

/// The entries of a list that a role owns, each with the role at its end.
#[must_use]
pub fn owned_by<'a>(listed: &'a str, role: &str) -> Vec<&'a str> {
    let is_theirs = |entry: &&str| entry.rsplit_once(' ').is_some_and(|(_, owner)| owner == role);
    listed.lines().filter_map(entry).filter(is_theirs).collect()
}

/// `TABLE public users owner` of `215; 1259 16391 TABLE public users owner`.
fn entry(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once("; ")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let (table, rest) = rest.split_once(' ')?;
    let (object, entry) = rest.split_once(' ')?;
    [number, table, object].into_iter().all(is_number).then_some(entry)
}

fn is_there_already(entry: &str) -> bool {
    // A name at the end of its line may have an owner after it, or nothing.
    let whole = format!("{entry} ");
    if THERE_ALREADY.iter().any(|known| whole.starts_with(known)) {
        return true;
    }
    // The words of the kind are in capitals; the schema comes after them.
    let is_kind = |word: &&str| word.bytes().all(|c| c.is_ascii_uppercase());
    entry.split(' ').find(|word| !is_kind(word)) == Some("_heroku")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_or_cannot_be_made_is_left_out() {
        let listed = "\
;
; Archive created at 2026-11-29 15:00:00 UTC
;     Dumped by pg_dump version: 15.14 (Debian 15.14-0+deb12u1)
;
6; 2615 16390 SCHEMA - _heroku postgres
7; 2615 2200 SCHEMA - public pg_database_owner
8; 2615 16400 SCHEMA - heroku_ext owner
9; 2615 16401 SCHEMA - public2 owner
2; 3079 16385 EXTENSION - pg_stat_statements 
3421; 0 0 COMMENT - EXTENSION pg_stat_statements 
1; 3079 13000 EXTENSION - plpgsql 
3422; 0 0 COMMENT - EXTENSION plpgsql 
3; 3079 16500 EXTENSION - citext 
3423; 0 0 COMMENT - EXTENSION citext 
215; 1259 16391 TABLE public users owner
216; 1259 16392 TABLE _heroku set_aside postgres
3410; 0 16391 TABLE DATA public users owner
3411; 0 16392 TABLE DATA _heroku set_aside postgres
3500; 3466 16700 EVENT TRIGGER - watch postgres
3501; 6104 16701 PUBLICATION - all_tables owner
230; 1255 16800 FUNCTION public _heroku(integer) owner
3424; 0 0 COMMENT - SCHEMA public pg_database_owner
3425; 0 0 ACL public TABLE users owner
3426; 826 16900 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES owner
3427; 0 0 ACL _heroku TABLE set_aside postgres
";
        let contents = Contents::of(listed);
        let kept: Vec<_> = contents.list.lines().filter(|line| !line.starts_with(';')).collect();
        let numbers: Vec<_> = kept.iter().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(numbers, ["8", "9", "3", "3423", "215", "3410", "230", "3424", "3425", "3426"]);
        let rights: Vec<_> = contents.rights.lines().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(rights, ["3425", "3426"]);
        assert!(owned_by(listed, "owner").contains(&"TABLE public users owner"));
        assert_eq!(owned_by(listed, "pg_database_owner").len(), 2);
        assert_eq!(contents.left_out, ["EVENT TRIGGER - watch postgres", "PUBLICATION - all_tables owner"]);
        assert!(
            contents.list.contains("; Dumped by pg_dump version")
                || contents.list.contains(";     Dumped by")
        );
    }
}
