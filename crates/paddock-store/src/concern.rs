//! Whom a change concerns: told by the tables that it wrote to, so that no use case has to remember whom to wake.

use std::ops::{BitOr, BitOrAssign};

/// A set of those who wait for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Concerns(u8);

impl Concerns {
    /// Whoever keeps dynos as they are wanted.
    pub const DYNOS: Self = Self(1);
    /// Whoever tells the router.
    pub const ROUTES: Self = Self(1 << 1);
    /// Whoever does jobs.
    pub const JOBS: Self = Self(1 << 2);
    /// Whoever removes what nobody can reach any more.
    pub const GARBAGE: Self = Self(1 << 3);
    /// Whoever waits for a row to change.
    pub const CHANGES: Self = Self(1 << 4);
    /// Whoever keeps add-ons and what runs them as they are wanted.
    pub const ADDONS: Self = Self(1 << 5);
    const NOBODY: Self = Self(0);

    /// Whether all of these are among them.
    #[must_use]
    pub const fn include(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl BitOr for Concerns {
    type Output = Self;
    fn bitor(self, others: Self) -> Self {
        self.and(others)
    }
}

impl BitOrAssign for Concerns {
    fn bitor_assign(&mut self, others: Self) {
        *self = self.and(others);
    }
}

const WHAT_RUNS: Concerns = Concerns::DYNOS.and(Concerns::ROUTES).and(Concerns::CHANGES);
const WHAT_IS_ROUTED: Concerns = Concerns::ROUTES.and(Concerns::CHANGES);
const WHAT_IS_ATTACHED: Concerns = Concerns::ADDONS.and(Concerns::CHANGES);

/// Every table. A test holds the list against the migrations.
const TABLES: &[(&str, Concerns)] = &[
    ("account_features", Concerns::CHANGES),
    ("accounts", Concerns::CHANGES),
    ("addons", WHAT_IS_ATTACHED),
    ("app_features", Concerns::CHANGES),
    // What an app had goes with its row: its jobs, too.
    ("apps", WHAT_RUNS.and(Concerns::JOBS)),
    ("attachments", WHAT_IS_ATTACHED),
    ("authorizations", Concerns::CHANGES),
    ("build_records", Concerns::NOBODY),
    ("build_steps", Concerns::NOBODY),
    ("buildpack_archives", Concerns::NOBODY),
    ("buildpack_installations", Concerns::CHANGES),
    ("buildpack_pins", Concerns::NOBODY),
    ("builds", Concerns::CHANGES),
    ("collaborators", Concerns::CHANGES),
    ("config", WHAT_IS_ROUTED),
    ("converted_layers", Concerns::NOBODY),
    ("credentials", WHAT_IS_ATTACHED),
    ("data_servers", WHAT_IS_ATTACHED),
    ("deleted_apps", Concerns::GARBAGE),
    ("domains", WHAT_IS_ROUTED),
    ("dynos", WHAT_RUNS),
    ("events", Concerns::CHANGES),
    ("favorites", Concerns::CHANGES),
    ("formation", WHAT_RUNS),
    ("images", Concerns::CHANGES),
    ("jobs", Concerns::JOBS.and(Concerns::CHANGES)),
    ("keys", Concerns::CHANGES),
    ("layer_blobs", Concerns::NOBODY),
    ("log_sessions", Concerns::NOBODY),
    ("login_failures", Concerns::NOBODY),
    ("platform", Concerns::NOBODY),
    ("pulled_blobs", Concerns::NOBODY),
    ("rate_limits", Concerns::NOBODY),
    ("registry_blobs", Concerns::NOBODY),
    ("registry_manifests", Concerns::CHANGES),
    ("registry_references", Concerns::NOBODY),
    ("registry_tags", Concerns::CHANGES),
    ("registry_uploads", Concerns::NOBODY),
    ("releases", WHAT_RUNS),
    ("reports", Concerns::NOBODY),
    ("request_outcomes", Concerns::CHANGES),
    ("servers", Concerns::NOBODY),
    ("settings", Concerns::NOBODY),
    ("slugs", Concerns::CHANGES),
    ("sources", Concerns::CHANGES),
    ("stack_versions", Concerns::NOBODY),
    ("stacks", Concerns::CHANGES),
    ("transfer_logs", Concerns::NOBODY),
    ("transfer_numbers", Concerns::NOBODY),
    ("transfer_schedules", Concerns::CHANGES),
    ("transfers", Concerns::CHANGES),
];

/// Who is concerned by a statement; nobody when it only reads.
pub(crate) fn of(sql: &str) -> Concerns {
    let mut words = sql.split_ascii_whitespace();
    let table = match (words.next(), words.next()) {
        (Some("INSERT"), Some("INTO")) | (Some("DELETE"), Some("FROM")) => words.next(),
        (Some("UPDATE"), table) => table,
        _ => None,
    };
    let known = |table: &str| TABLES.iter().find(|(name, _)| *name == table).map(|(_, concerns)| *concerns);
    // A table that is not listed concerns everybody: too many look, nobody misses it.
    table.map_or(Concerns::NOBODY, |table| known(table).unwrap_or(Concerns(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_migrations_is_listed_once() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        let mut tables = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let made = text.lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
            tables.extend(made.map(|rest| rest.split([' ', '(']).next().unwrap().to_owned()));
        }
        tables.sort();
        let listed: Vec<_> = TABLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, tables);
    }

    #[test]
    fn a_statement_concerns_those_of_the_table_that_it_writes() {
        assert_eq!(of("INSERT INTO domains (id) VALUES ($1)"), WHAT_IS_ROUTED);
        assert_eq!(of("UPDATE dynos SET state = $1"), WHAT_RUNS);
        assert_eq!(of("DELETE FROM keys WHERE id = $1"), Concerns::CHANGES);
        assert_eq!(of("SELECT * FROM dynos"), Concerns::NOBODY);
        assert!(of("UPDATE unheard SET x = 1").include(WHAT_RUNS));
    }
}
