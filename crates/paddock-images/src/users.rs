//! The user of dynos in root file systems that others made: programs look their user up, and some end when there is none.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::SLUG_ID;
use crate::erofs::{Attributes, FolderId, WriteError, Writer};

const PASSWD: &str = "passwd";
const GROUP: &str = "group";
/// What a system without any users has.
const ROOT: &str = "root:x:0:0:root:/root:/bin/sh\n";
const ROOT_GROUP: &str = "root:x:0:\n";

/// The files that name users and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// These files with the user and the group of dynos; `None` where both have theirs, under whatever name.
    #[must_use]
    pub fn with_dyno(passwd: &str, group: &str) -> Option<Self> {
        let users = has_id(passwd).then(|| passwd.to_owned());
        let groups = has_id(group).then(|| group.to_owned());
        if users.is_some() && groups.is_some() {
            return None;
        }
        let user = format!("dyno:x:{SLUG_ID}:{SLUG_ID}:app:/app:/bin/bash\n");
        Some(Self {
            passwd: users.unwrap_or_else(|| with(passwd, ROOT, &user)),
            group: groups.unwrap_or_else(|| with(group, ROOT_GROUP, &format!("dyno:x:{SLUG_ID}:\n"))),
        })
    }
}

/// Whether a line has the id of dynos, which both files have in their third field.
fn has_id(file: &str) -> bool {
    file.lines().any(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(SLUG_ID))
}

fn with(file: &str, where_empty: &str, line: &str) -> String {
    let file = if file.trim().is_empty() { where_empty } else { file };
    let end = if file.ends_with('\n') { "" } else { "\n" };
    format!("{file}{end}{line}")
}

/// A mountable layer with these files in `/etc`, in a file of `folder` that has no name.
///
/// # Errors
/// When it cannot be written.
pub fn users_layer(users: &Users, folder: &Path) -> io::Result<File> {
    let file = unnamed_file(folder)?;
    let write = || -> Result<(), WriteError> {
        let mut writer = Writer::new(file.try_clone().map_err(WriteError::Output)?)?;
        let mode = |permissions| Attributes { permissions, ..Attributes::default() };
        let etc = writer.add_folder(FolderId::ROOT, b"etc", mode(0o755))?;
        for (name, text) in [(PASSWD, &users.passwd), (GROUP, &users.group)] {
            let mut text = text.as_bytes();
            writer.add_file(etc, name.as_bytes(), mode(0o644), text.len() as u64, &mut text)?;
        }
        writer.finish().map(drop)
    };
    write().map_err(io::Error::other)?;
    Ok(file)
}

/// A file that is gone when nobody has it open any more.
///
/// # Errors
/// When the folder cannot be written to, or its file system has no such files.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, rustix::fs::Mode::from_raw_mode(0o600))?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_dynos_is_added_where_no_other_has_its_id() {
        let dyno = "dyno:x:1000:1000:app:/app:/bin/bash\n";
        let debian = "root:x:0:0:root:/root:/bin/bash\nlist:x:38:1000::/:";
        let users = Users::with_dyno(debian, "root:x:0:\n").unwrap();
        assert_eq!(users.passwd, format!("{debian}\n{dyno}"));
        assert_eq!(users.group, "root:x:0:\ndyno:x:1000:\n");
        let heroku = ("heroku:x:1000:1000::/home/heroku:/bin/bash\n", "heroku:x:1000:\n");
        assert_eq!(Users::with_dyno(heroku.0, heroku.1), None);
        assert_eq!(Users::with_dyno(heroku.0, "root:x:0:\n").unwrap().passwd, heroku.0);
        let empty = Users::with_dyno("", "\n").unwrap();
        assert_eq!(
            (empty.passwd, empty.group),
            (format!("{ROOT}{dyno}"), format!("{ROOT_GROUP}dyno:x:1000:\n"))
        );
    }

    #[test]
    fn its_layer_is_one_and_equal_for_equal_users() {
        let folder = tempfile::tempdir().unwrap();
        let layers = crate::Layers::open(folder.path().to_owned()).unwrap();
        let digests = ["root:x:0:0::/:\n", "root:x:0:0::/:\n", ""].map(|passwd| {
            let users = Users::with_dyno(passwd, "").unwrap();
            layers.copy_erofs(users_layer(&users, folder.path()).unwrap()).unwrap()
        });
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], digests[2]);
        assert_eq!(layers.list().unwrap().len(), 2);
        let text = users_layer(&Users::with_dyno("", "").unwrap(), folder.path()).unwrap();
        text.set_len(1024).unwrap();
        assert!(layers.copy_erofs(text).is_err(), "a file that is none");
    }
}
