//! Transfers of databases: backups, restores and copies.

/// What is moved where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferKind {
    /// A database into the store of backups.
    Backup,
    /// A backup, or what lies at an address, into a database.
    Restore,
    /// A database into another.
    Copy,
}

impl TransferKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Restore, Self::Copy];

    /// Its word in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Copy => "copy",
        }
    }

    /// The kind with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// `b001`, `a001` for a scheduled one, `r001`, `c001`: one sequence of numbers for each app.
    #[must_use]
    pub fn name(self, is_scheduled: bool, number: i64) -> String {
        let letter = match (self, is_scheduled) {
            (Self::Backup, false) => 'b',
            (Self::Backup, true) => 'a',
            (Self::Restore, _) => 'r',
            (Self::Copy, _) => 'c',
        };
        format!("{letter}{number:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_cli_prints_them() {
        assert_eq!(TransferKind::Backup.name(false, 1), "b001");
        assert_eq!(TransferKind::Backup.name(true, 12), "a012");
        assert_eq!(TransferKind::Restore.name(false, 999), "r999");
        assert_eq!(TransferKind::Copy.name(false, 1000), "c1000");
        assert!(TransferKind::ALL.into_iter().all(|kind| TransferKind::parse(kind.as_str()) == Some(kind)));
    }
}
