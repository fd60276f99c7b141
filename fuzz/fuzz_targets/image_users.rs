//! Whoever an image names, whatever its lists of users say: ids are a container's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_core::image_users::Users;

const IDS: u32 = 65_536;

fuzz_target!(|texts: (&str, String, String)| {
    let (user, passwd, group) = texts;
    let users = Users::new(passwd, group);
    if let Ok(found) = users.program(user) {
        assert!(found.uid < IDS && found.gid < IDS && found.groups.iter().all(|id| *id < IDS));
        assert!(found.home.is_none_or(|home| !home.is_empty() && !home.contains(['\n', ':'])));
    }
    if let Ok((uid, gid)) = users.owner(user) {
        assert!(uid < IDS && gid < IDS);
    }
});
