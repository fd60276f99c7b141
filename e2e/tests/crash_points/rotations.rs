//! The points of `paddockd keys rotate`: while the server runs, and where none runs. With several servers on one
//! database only the second is possible for a new data key, since the others would not know of it.

use std::fs;
use std::time::Duration;

use e2e::{run, tests_on_sqlite};
use tempfile::TempDir;

use crate::client::Told;
use crate::parts::{Part, Steps};
use crate::verbs::account::RotateKeys;
use crate::verbs::{self, Verb};
use crate::{Walk, invariants};

/// What `keys rotate` is to do where no server runs.
struct Rotation {
    new_master_key: bool,
}

pub(crate) fn parts() -> Vec<Part> {
    let stopped = |_: &mut Walk| Rotation { new_master_key: false };
    let moved = |_: &mut Walk| Rotation { new_master_key: true };
    let mut parts = vec![
        Part::new("keys rotated while stopped", stopped),
        // Where the kill leaves which key is another question than where it was before.
        Part { is_own: true, ..Part::new("master key moved while stopped", moved) },
    ];
    if tests_on_sqlite() {
        parts.insert(0, verbs::part(verbs::keys_rotated()));
    }
    parts
}

impl Steps for Rotation {
    fn record(&mut self, walk: &mut Walk) -> Vec<String> {
        self.rotate(walk, None)
    }

    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool {
        self.rotate(walk, Some(point));
        walk.points.has_struck()
    }
}

impl Rotation {
    /// Rotates the keys with a death at `point`, and again if that came, or noting the points that are passed; the server
    /// starts on what was made of it.
    fn rotate(&self, walk: &mut Walk, point: Option<&str>) -> Vec<String> {
        walk.round += 1;
        RotateKeys.prepare(&walk.client, walk.round);
        walk.server.kill9_serve();
        walk.points.record();
        if let Some(point) = point {
            walk.points.arm(point);
        }
        let data = walk.server.data();
        // Beside the folder of the server's data, which is not to have it.
        let elsewhere = TempDir::with_prefix("paddock-keys-").unwrap();
        let file = elsewhere.path().join("master");
        let rotate = || {
            let mut rotate = walk.server.program(&["keys", "rotate", "--data"]);
            rotate.arg(&data);
            match self.new_master_key {
                true => rotate.arg("--new-master-key-file").arg(&file),
                false => rotate.arg("--data-key"),
            };
            walk.points.reach(&mut rotate);
            run(rotate, b"", Duration::from_secs(60))
        };
        let first = rotate();
        walk.points.disarm();
        let passed = walk.points.recorded();
        if first.status != 0 {
            assert!(point.is_some(), "{}", first.text());
            rotate().succeeded();
        }
        if self.new_master_key {
            let here = data.join("keys/master");
            assert!(!here.exists(), "the old key is gone");
            fs::rename(file, here).unwrap();
        }
        walk.server.restart();
        RotateKeys.check(&walk.client, walk.round, &Told::Yes);
        invariants::hold(&walk.server, &walk.client);
        passed
    }
}
