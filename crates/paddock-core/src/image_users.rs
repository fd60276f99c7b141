//! Users of an image, by its own `/etc/passwd` and `/etc/group`: texts of whoever made it.

/// The longest of these files that is read, in bytes.
pub const BYTES_MAX: u64 = 1024 * 1024;
/// Ids in a container are below this.
const IDS: u32 = 65_536;

/// Who a program runs as, or whose a file is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its further groups; only where it is named and no group is.
    pub groups: Vec<u32>,
    /// The home that it has there.
    pub home: Option<String>,
}

/// The users of a root.
#[derive(Debug, Clone, Default)]
pub struct Users {
    passwd: String,
    group: String,
}

type Result<T> = std::result::Result<T, String>;

impl Users {
    /// Of the texts of both files; empty ones leave numbers alone.
    #[must_use]
    pub fn new(passwd: String, group: String) -> Self {
        Self { passwd, group }
    }

    /// Who runs what a USER says: `name`, `number`, each with `:group` or not. Empty is root.
    ///
    /// # Errors
    ///
    /// A sentence, where there is no such user or group.
    pub fn program(&self, text: &str) -> Result<User> {
        let (name, group) = split(text);
        let mut user = if name.is_empty() {
            self.by_uid(0).unwrap_or_default()
        } else {
            match (self.by_name(name), id(name)?) {
                (Some(user), _) => user,
                (None, Some(uid)) => self.by_uid(uid).unwrap_or(User { uid, ..User::default() }),
                (None, None) => return Err(no_user(name)),
            }
        };
        if let Some(group) = group {
            user.gid = self.gid(group)?;
            user.groups.clear();
        }
        Ok(user)
    }

    /// Whose a file is by what `--chown` says: a number without a group is the number of the group as well.
    ///
    /// # Errors
    ///
    /// A sentence, where there is no such user or group.
    pub fn owner(&self, text: &str) -> Result<(u32, u32)> {
        let (name, group) = split(text);
        let (uid, gid) = match (self.by_name(name), id(name)?) {
            (Some(user), _) => (user.uid, user.gid),
            (None, Some(uid)) => (uid, uid),
            (None, None) => return Err(no_user(name)),
        };
        Ok((uid, group.map_or(Ok(gid), |group| self.gid(group))?))
    }

    /// Whether a user has this name.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.passwd.lines().any(|line| line.split(':').next() == Some(name))
    }

    /// Whether a group has this name.
    #[must_use]
    pub fn has_group_name(&self, name: &str) -> bool {
        self.group.lines().any(|line| line.split(':').next() == Some(name))
    }

    /// Whether a group has this number.
    #[must_use]
    pub fn has_gid(&self, gid: u32) -> bool {
        self.group.lines().any(|line| line.split(':').nth(2).and_then(|text| text.parse().ok()) == Some(gid))
    }

    fn by_name(&self, name: &str) -> Option<User> {
        self.passwd.lines().find(|line| line.split(':').next() == Some(name)).and_then(|line| self.user(line))
    }

    /// The user with this number.
    #[must_use]
    pub fn by_uid(&self, uid: u32) -> Option<User> {
        let is_it = |line: &&str| line.split(':').nth(2).and_then(|text| text.parse().ok()) == Some(uid);
        self.passwd.lines().find(is_it).and_then(|line| self.user(line))
    }

    /// `name:x:uid:gid:comment:home:shell`.
    fn user(&self, line: &str) -> Option<User> {
        let fields: Vec<&str> = line.splitn(7, ':').collect();
        let number = |at: usize| fields.get(at)?.parse::<u32>().ok().filter(|id| *id < IDS);
        let member = |line: &&str| {
            line.rsplit(':').next().is_some_and(|all| all.split(',').any(|one| one == fields[0]))
        };
        let groups = self.group.lines().filter(member);
        let groups = groups.filter_map(|line| line.split(':').nth(2)?.parse().ok().filter(|id| *id < IDS));
        Some(User {
            uid: number(2)?,
            gid: number(3)?,
            groups: groups.collect(),
            home: fields.get(5).filter(|home| !home.is_empty()).map(|home| (*home).to_owned()),
        })
    }

    fn gid(&self, name: &str) -> Result<u32> {
        let named = self.group.lines().find(|line| line.split(':').next() == Some(name));
        match (named.and_then(|line| line.split(':').nth(2)?.parse().ok()), id(name)?) {
            (Some(gid), _) | (None, Some(gid)) if gid < IDS => Ok(gid),
            _ => Err(format!("there is no group {name} in the image's /etc/group")),
        }
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    }
}

fn id(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id < IDS => Ok(Some(id)),
        _ => Err(format!("{text} is no id: they are below {IDS}")),
    }
}

fn no_user(name: &str) -> String {
    format!("there is no user {name} in the image's /etc/passwd")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: &str = "((root|app|\\PC{0,4}):x?:(0|1001|70000|\\PC{0,3}):?(0|5|\\PC{0,3}):?\\PC{0,4}:?(/\\PC{0,4})?:?\\PC{0,3}\n?){0,5}";

    proptest! {
        #[test]
        fn whatever_the_lists_say_ids_are_a_containers(
            user in "(root|app|[0-9]{0,6}|\\PC{0,4})(:(app|[0-9]{0,6}|\\PC{0,3}))?", passwd in ANY, group in ANY,
        ) {
            let users = Users::new(passwd, group);
            if let Ok(found) = users.program(&user) {
                prop_assert!(found.uid < IDS && found.gid < IDS && found.groups.iter().all(|id| *id < IDS));
                prop_assert!(found.home.is_none_or(|home| !home.is_empty() && !home.contains([':', '\n'])));
            }
            if let Ok((uid, gid)) = users.owner(&user) {
                prop_assert!(uid < IDS && gid < IDS);
            }
        }
    }

    fn users() -> Users {
        Users {
            passwd:
                "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\nfar:x:70000:1::/:\nbad\n"
                    .into(),
            group: "root:x:0:\napp:x:1002:\ndocker:x:55:x,app\nlogs:x:56:app,y\n".into(),
        }
    }

    #[test]
    fn a_program_runs_as_a_name_or_a_number() {
        let user = |text: &str| users().program(text).unwrap();
        let ids = |text: &str| (user(text).uid, user(text).gid);
        assert_eq!(ids(""), (0, 0));
        assert_eq!(user("").home.as_deref(), Some("/root"));
        assert_eq!(ids("app"), (1001, 1002));
        assert_eq!(user("app").groups, [55, 56]);
        assert_eq!((ids("app:docker"), user("app:docker").groups), ((1001, 55), vec![]));
        assert_eq!((ids("1001"), user("1001").home), ((1001, 1002), Some("/home/app".to_owned())));
        assert_eq!((ids("4000"), ids("4000:5000"), ids("0")), ((4000, 0), (4000, 5000), (0, 0)));
        let problem = |text: &str| users().program(text).unwrap_err();
        assert_eq!(problem("node"), "there is no user node in the image's /etc/passwd");
        assert_eq!(problem("app:node"), "there is no group node in the image's /etc/group");
        assert_eq!(problem("70000"), "70000 is no id: they are below 65536");
        assert_eq!(problem("far"), "there is no user far in the image's /etc/passwd");
        assert_eq!(Users::default().program("").unwrap(), User::default(), "an image without anything");
    }

    #[test]
    fn files_belong_to_a_name_or_a_number() {
        let owner = |text: &str| users().owner(text).unwrap();
        assert_eq!(owner("app"), (1001, 1002));
        assert_eq!(owner("app:root"), (1001, 0));
        assert_eq!(owner("1000"), (1000, 1000));
        assert_eq!(owner("1000:2000"), (1000, 2000));
        assert_eq!(owner("1000:"), (1000, 1000));
        assert!(users().owner("node:node").is_err() && users().owner(":app").is_err());
    }
}
