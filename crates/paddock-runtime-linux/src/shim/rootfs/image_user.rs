//! Who the programs of an image run as: looked up in the image's own files before its root is made, because whose the files of
//! its layers are depends on it. What is read here is the text of whoever made the image.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use paddock_core::image_users::{BYTES_MAX, User, Users};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};

use super::inside::open_inside;
use super::{attach, new_mount, overlay};
use crate::error::{Doing, StepError};
use crate::record::{RootRecord, SpecRecord, UserRecord};

/// What the platform's users are named in an image that has no names for them.
const NAME: &str = "dyno";
/// Where somebody without a home is at home.
const NO_HOME: &str = "/";
/// The longest path.
const PATH_BYTES: usize = 4096;
/// Where the layers are looked at, beside the root.
const LOOKED_AT: &str = "looked-at";

/// Who the programs of a container run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::shim) struct Runner {
    pub(in crate::shim) user: UserRecord,
    /// The home of who is not told another one.
    pub(in crate::shim) home: Option<String>,
}

/// What an image says of its users, and what follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageUsers {
    pub(super) runner: Runner,
    /// Whether files of root's are the runner's.
    pub(super) has_roots_files: bool,
    /// Files of `/etc` that name the runner.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
}

impl ImageUsers {
    /// Of a root that no image says anything of.
    pub(super) fn none(spec: &SpecRecord) -> Self {
        let runner = Runner { user: spec.user, home: None };
        Self { runner, has_roots_files: false, files: Vec::new() }
    }

    /// Of a container's root. `told` is the home that its environment names.
    pub(super) fn of(spec: &SpecRecord, told: Option<&str>) -> Result<Self, StepError> {
        if spec.root != RootRecord::Image {
            return Ok(Self::none(spec));
        }
        let root = look_at_layers(spec)?;
        let [passwd, group] = ["etc/passwd", "etc/group"].map(|path| Text::of(root.as_fd(), path));
        Ok(Self::by(&spec.image_user, spec.user, told, passwd, group))
    }

    fn by(text: &str, stand_in: UserRecord, told: Option<&str>, passwd: Text, group: Text) -> Self {
        let users = Users::new(passwd.shown(), group.shown());
        let own = program(&users, text);
        let has_roots_files = own.uid == 0;
        let user = if has_roots_files { stand_in } else { UserRecord { uid: own.uid, gid: own.gid } };
        let home = if has_roots_files { users.by_uid(0).and_then(|root| root.home) } else { own.home };
        let home = home.filter(|home| is_path(home)).unwrap_or_else(|| NO_HOME.to_owned());
        let shown = told.filter(|told| is_path(told) && !told.contains(':')).unwrap_or(&home);
        let mut files = Vec::new();
        if users.by_uid(user.uid).is_none() {
            let name = if users.has_name(NAME) { format!("u{}", user.uid) } else { NAME.to_owned() };
            let line = format!("{name}:x:{}:{}::{shown}:/bin/sh\n", user.uid, user.gid);
            files.extend(passwd.with(&line).map(|text| ("passwd", text)));
        }
        if !users.has_gid(user.gid) {
            let name = match user.gid {
                0 => "root".to_owned(),
                gid if users.has_group_name(NAME) => format!("g{gid}"),
                _ => NAME.to_owned(),
            };
            files.extend(group.with(&format!("{name}:x:{}:\n", user.gid)).map(|text| ("group", text)));
        }
        Self { runner: Runner { user, home: Some(home) }, has_roots_files, files }
    }

    /// Whose files of root's are, as the host numbers them.
    pub(super) fn owner_of_roots(&self, spec: &SpecRecord) -> (u32, u32) {
        if self.has_roots_files {
            self.runner.user.on_host(spec.id_base)
        } else {
            (spec.id_base, spec.id_base)
        }
    }
}

/// Root where the image knows no such user; the user's own group where it knows no such group.
fn program(users: &Users, text: &str) -> User {
    let name = text.split(':').next().unwrap_or_default();
    users.program(text).or_else(|_| users.program(name)).unwrap_or_default()
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() < PATH_BYTES && !text.chars().any(char::is_control)
}

/// A file of an image.
#[derive(Debug)]
enum Text {
    Missing,
    /// Too long, or none that can be read.
    Odd,
    Is(Vec<u8>),
}

impl Text {
    fn of(root: BorrowedFd<'_>, path: &str) -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let file = match open_inside(root, path, flags, Mode::empty(), within) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Self::Missing,
            Err(_) => return Self::Odd,
        };
        let is_file = rustix::fs::fstat(&file)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(file).take(BYTES_MAX + 1);
        match is_file.then(|| file.read_to_end(&mut bytes)) {
            Some(Ok(_)) if file.limit() > 0 => Self::Is(bytes),
            _ => Self::Odd,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Is(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Missing | Self::Odd => String::new(),
        }
    }

    /// The text with a line more; `None` for what is better left alone.
    fn with(self, line: &str) -> Option<Vec<u8>> {
        let mut bytes = match self {
            Self::Is(bytes) => bytes,
            Self::Missing => Vec::new(),
            Self::Odd => return None,
        };
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line.as_bytes());
        Some(bytes)
    }
}

/// The layers over each other, to be read here only: attached nowhere, and without what the container lays on them.
fn look_at_layers(spec: &SpecRecord) -> Result<OwnedFd, StepError> {
    let doing = || "look at the layers".to_owned();
    std::fs::create_dir(LOOKED_AT).doing(doing)?;
    // One mount to take away with all that are on it.
    let place = new_mount("tmpfs", &[("mode", "755"), ("size", "1m")], &[], 0)?;
    attach(place.as_fd(), Path::new(LOOKED_AT))?;
    // The shorter their names, the more of them an old kernel takes.
    std::env::set_current_dir(LOOKED_AT).doing(doing)?;
    let mut lower = overlay::attach_layers(&spec.layers, None)?;
    // An overlay without anything to write to has two at least.
    std::fs::create_dir("e").doing(doing)?;
    lower.folders.push("e".to_owned());
    let root = overlay::to_read(&lower.folders)?;
    std::env::set_current_dir("..").doing(doing)?;
    rustix::mount::unmount(LOOKED_AT, UnmountFlags::DETACH).doing(doing)?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAND_IN: UserRecord = UserRecord { uid: 31_000, gid: 31_000 };
    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:101:102::/srv/www:/bin/false";
    const GROUP: &str = "root:x:0:\nwww:x:102:\ndocker:x:55:\n";

    fn of(text: &str) -> ImageUsers {
        by(text, None, PASSWD.as_bytes(), GROUP.as_bytes())
    }

    fn by(text: &str, told: Option<&str>, passwd: &[u8], group: &[u8]) -> ImageUsers {
        ImageUsers::by(text, STAND_IN, told, Text::Is(passwd.to_vec()), Text::Is(group.to_vec()))
    }

    fn file(users: &ImageUsers, name: &str) -> Option<String> {
        let file = users.files.iter().find(|(file, _)| *file == name)?;
        Some(String::from_utf8_lossy(&file.1).into_owned())
    }

    #[test]
    fn another_than_root_runs_as_the_image_says() {
        for (text, uid, gid, home) in [
            ("www", 101, 102, "/srv/www"),
            ("101", 101, 102, "/srv/www"),
            ("www:docker", 101, 55, "/srv/www"),
            ("www:7", 101, 7, "/srv/www"),
            ("www:nobodys", 101, 102, "/srv/www"),
            ("4000", 4000, 0, "/"),
            ("4000:4001", 4000, 4001, "/"),
        ] {
            let found = of(text);
            let runner = Runner { user: UserRecord { uid, gid }, home: Some(home.to_owned()) };
            assert_eq!((found.runner, found.has_roots_files), (runner, false), "{text}");
        }
        assert_eq!(of("www").files, []);
        let lines = file(&of("4000:4001"), "passwd").unwrap();
        assert_eq!(lines, format!("{PASSWD}\ndyno:x:4000:4001::/:/bin/sh\n"));
        assert_eq!(file(&of("4000"), "group"), None, "its group is root's, which has a name");
    }

    #[test]
    fn root_and_nobody_are_stood_in_for() {
        for text in ["", "root", "0", "0:0", "root:www", "node", "node:www", ":", "70000", "-1", "a b"] {
            let found = of(text);
            let runner = Runner { user: STAND_IN, home: Some("/root".to_owned()) };
            assert_eq!((&found.runner, found.has_roots_files), (&runner, true), "{text}");
            assert_eq!(
                file(&found, "passwd").unwrap(),
                format!("{PASSWD}\ndyno:x:31000:31000::/root:/bin/sh\n")
            );
            assert_eq!(file(&found, "group").unwrap(), format!("{GROUP}dyno:x:31000:\n"));
        }
        let empty = ImageUsers::by("www", STAND_IN, None, Text::Missing, Text::Missing);
        assert_eq!((empty.has_roots_files, empty.runner.home.as_deref()), (true, Some("/")));
        assert_eq!(file(&empty, "passwd").unwrap(), "dyno:x:31000:31000::/:/bin/sh\n");
    }

    #[test]
    fn what_is_no_list_of_users_is_left_alone() {
        let odd = ImageUsers::by("www", STAND_IN, None, Text::Odd, Text::Odd);
        assert_eq!((odd.runner.user, odd.files), (STAND_IN, vec![]));
        let binary = by("www", None, &[0xff, 0, b':', b'\n', 0xfe], b"");
        assert_eq!(binary.runner.user, STAND_IN);
        let kept = [0xff, 0, b':', b'\n', 0xfe, b'\n'];
        assert!(binary.files[0].1.starts_with(&kept), "bytes stay as they are: {:?}", binary.files);
        let bad = b"root:x:0:0::no/path:\nwww:x:1:1::/a\x01b:\nx:x:notanumber\n\n::::::\n";
        assert_eq!(by("www", None, bad, b"").runner.home.as_deref(), Some("/"));
        assert_eq!(by("", None, bad, b"").runner.home.as_deref(), Some("/"));
        assert_eq!(by("x", None, bad, b"").runner.user, STAND_IN);
    }

    #[test]
    fn the_entry_has_a_name_of_its_own_and_the_home_that_the_program_has() {
        let taken = by("", Some("/data"), b"dyno:x:1000:1000::/app:/bin/sh\n", b"dyno:x:1000:\n");
        assert!(file(&taken, "passwd").unwrap().ends_with("\nu31000:x:31000:31000::/data:/bin/sh\n"));
        assert!(file(&taken, "group").unwrap().ends_with("\ng31000:x:31000:\n"));
        for told in ["relative", "/a:b", "/a\nroot::0:0::/:"] {
            let lines = file(&by("", Some(told), PASSWD.as_bytes(), b""), "passwd").unwrap();
            assert!(lines.ends_with("\ndyno:x:31000:31000::/root:/bin/sh\n"), "{told}: {lines}");
        }
    }
}
