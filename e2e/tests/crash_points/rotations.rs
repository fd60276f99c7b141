//! The points of `paddockd keys rotate`: while the server runs, and where none runs. With several servers on one
//! database only the second is possible for a new data key, since the others would not know of it.

use std::fs;
use std::time::Duration;

use e2e::run;
use tempfile::TempDir;

use crate::client::Told;
use crate::verbs::Verb;
use crate::verbs::account::RotateKeys;
use crate::{Asked, Place, Walk, asked, invariants};

const STOPPED: &str = "keys rotated while stopped";
const MOVED: &str = "master key moved while stopped";

impl Walk<'_> {
    /// Walks them, if that is asked for.
    pub(crate) fn rotations(&mut self) {
        if self.server.is_on_sqlite() {
            self.verbs(vec![Box::new(RotateKeys)]);
        }
        self.part(STOPPED, |walk| walk.rotation(STOPPED, &["--data-key"]));
        // Beside the folder of the server's data, which is not to have it.
        let elsewhere = TempDir::with_prefix("paddock-keys-").unwrap();
        let file = elsewhere.path().join("master").display().to_string();
        self.part(MOVED, |walk| walk.rotation(MOVED, &["--new-master-key-file", &file]));
    }

    fn rotation(&mut self, name: &'static str, arguments: &[&str]) {
        let Some(asked) = asked(name) else { return };
        let passed = self.rotate(arguments, None);
        let points = match name {
            // Where the kill leaves which key is another question than where it was before.
            MOVED if matches!(asked, Asked::All) => passed,
            _ => self.wanted(passed, &asked),
        };
        for (number, point) in points.iter().enumerate() {
            self.say(name, number, points.len(), point);
            let place = format!("{name} {point}");
            let guard = Place(place.clone());
            self.rotate(arguments, Some(point));
            self.book.walked(&place, point, self.points.has_struck());
            drop(guard);
        }
    }

    /// Rotates the keys with a death at `point`, and again if that came, or noting the points that are passed; the server
    /// starts on what was made of it.
    fn rotate(&mut self, arguments: &[&str], point: Option<&str>) -> Vec<String> {
        self.round += 1;
        RotateKeys.prepare(&self.client, self.round);
        self.server.kill9_serve();
        match point {
            Some(point) => self.points.arm(point),
            None => self.points.record(),
        }
        let data = self.server.data();
        let rotate = || {
            let folder = data.display().to_string();
            let all = [&["keys", "rotate", "--data", &folder][..], arguments].concat();
            let mut rotate = self.server.program(&all);
            self.points.reach(&mut rotate);
            run(rotate, b"", Duration::from_secs(60))
        };
        let first = rotate();
        self.points.disarm();
        let passed = if point.is_none() { self.points.recorded() } else { Vec::new() };
        if first.status != 0 {
            assert!(point.is_some(), "{}", first.text());
            rotate().succeeded();
        }
        if let ["--new-master-key-file", file] = arguments {
            let here = data.join("keys/master");
            assert!(!here.exists(), "the old key is gone");
            fs::rename(file, here).unwrap();
        }
        self.server.restart();
        RotateKeys.check(&self.client, self.round, &Told::Yes);
        invariants::hold(&self.server, &self.client);
        passed
    }
}
