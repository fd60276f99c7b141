//! What the walk has come to, on all lanes, and what it had to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::durable_steps;

use crate::fifths::Fifths;
use crate::parts::Part;
use crate::wanted::{Asked, asked, wanted_places};

/// The book of a walk.
pub(crate) struct Book {
    begun: Instant,
    fifths: Fifths,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// What each part passed when it was recorded: `NAME:before`, perhaps `@2`.
    passed: BTreeMap<&'static str, Vec<String>>,
    /// Points that somebody walks or has walked.
    claimed: BTreeSet<String>,
    /// The same by place: no part is sent to a point twice.
    tried: BTreeSet<String>,
    /// Points at which a server has died.
    died_at: BTreeSet<String>,
    /// Where a point was passed when recorded, and did not come again.
    missed: Vec<String>,
    /// Parts that do not survive every kill.
    failed: Vec<&'static str>,
}

impl Book {
    pub(crate) fn new(fifths: Fifths) -> Self {
        Self { begun: Instant::now(), fifths, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the walk was begun.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// A part was performed, and passed these points.
    pub(crate) fn recorded(&self, part: &Part, passed: Vec<String>) {
        self.pages().passed.insert(part.name, passed);
    }

    /// The points that this part is to die at: of those that it passed what is walked this time and nobody else has, or
    /// what is asked for of it.
    pub(crate) fn claims(&self, part: &Part) -> Vec<String> {
        let Some(asked) = asked(part.name) else { return Vec::new() };
        let mut pages = self.pages();
        let mut points = pages.passed.get(part.name).cloned().unwrap_or_default();
        points.retain(|point| {
            let is_new = !pages.tried.contains(&place(part, point));
            let is_asked = match &asked {
                Asked::Points(points) => points.contains(point),
                Asked::All => self.fifths.walk(&key(part, point)),
            };
            // What is its own is claimed by nobody else.
            is_new && is_asked && pages.claimed.insert(key(part, point))
        });
        pages.tried.extend(points.iter().map(|point| place(part, point)));
        points
    }

    /// A point was walked, and a server died there or it did not come. What did not come is for others to claim.
    pub(crate) fn walked(&self, part: &Part, point: &str, died: bool) {
        let mut pages = self.pages();
        if died {
            pages.died_at.insert(key(part, point));
        } else {
            pages.claimed.remove(&key(part, point));
            pages.missed.push(place(part, point));
        }
    }

    /// A part does not survive every kill.
    pub(crate) fn failed(&self, part: &Part) {
        self.pages().failed.push(part.name);
    }

    /// Every part survives every kill, every step was come to, and what was to be died at was.
    pub(crate) fn close(&self, parts: &[Part]) {
        let pages = self.pages();
        let seconds = self.begun.elapsed().as_secs();
        eprintln!("died at {} points in {seconds} s, {}", pages.died_at.len(), self.fifths);
        for place in &pages.missed {
            eprintln!("passed once and not again: {place}");
        }
        if let Some(report) = std::env::var_os("PADDOCK_WALK_REPORT") {
            let lines: Vec<&str> = pages.died_at.iter().map(String::as_str).collect();
            std::fs::write(report, format!("{}\n", lines.join("\n"))).unwrap();
        }
        assert!(pages.failed.is_empty(), "these do not survive every kill: {:?}", pages.failed);
        if wanted_places().is_some() {
            return;
        }
        let unseen = unseen(&pages);
        assert!(unseen.is_empty(), "no part comes to these points: {unseen:#?}");
        let unwalked: Vec<String> = self.unwalked(&pages, parts);
        assert!(unwalked.is_empty(), "no part died at these points: {unwalked:#?}");
    }

    /// What was to be walked this time and was not. Of the further times that one part passes a point, how many there
    /// are may differ from one time to the next.
    fn unwalked(&self, pages: &Pages, parts: &[Part]) -> Vec<String> {
        let mut unwalked = BTreeSet::new();
        for part in parts {
            for point in pages.passed.get(part.name).into_iter().flatten() {
                let key = key(part, point);
                if !point.contains('@') && self.fifths.walk(&key) && !pages.died_at.contains(&key) {
                    unwalked.insert(key);
                }
            }
        }
        unwalked.into_iter().collect()
    }
}

/// Steps that no walk comes to in its time: a database has not to come about for half a day for that, or to be attached to an
/// app whose web dyno takes its time; backups to go to a bucket (its journey has what a kill leaves there); a transfer to take
/// seconds, to say very much, or to be a day's; a database that was set aside to be emptied (it is once, without a death); a release command to
/// listen for three seconds (it has a test, and is noted again); an archive of a buildpack to be fetched from a registry elsewhere, to be
/// refused, to have other bytes, or to be thirty days old (what is left of one is nobody's, and swept). Each may be repeated, and is written down before and after.
const NOT_WALKED: [&str; 20] = [
    "addon.given_up",
    "address.moved",
    "backup.object_removed",
    "backup.unnamed_noted",
    "backup.unnamed_removed",
    "backup.upload_given_up",
    "backup.uploaded",
    "buildpack.archive_removed",
    "buildpack.archive_swept",
    "buildpack.copy_removed",
    "buildpack.fetched",
    "buildpack.forgotten",
    "buildpack.rest_removed",
    "database.dump_replaced",
    "dyno.address_noted",
    "dyno.release_listening_noted",
    "transfer.fetch_noted",
    "transfer.output_acknowledged",
    "transfer.progress_noted",
    "transfer.scheduled",
];

/// The points of durable steps that nobody passed.
fn unseen(pages: &Pages) -> Vec<String> {
    let seen: BTreeSet<&str> = pages.passed.values().flatten().map(String::as_str).collect();
    let steps = durable_steps();
    let walked = steps.iter().filter(|step| !NOT_WALKED.contains(&step.as_str()));
    let points = walked.flat_map(|step| ["before", "after"].map(|side| format!("{step}:{side}")));
    points.filter(|point| !seen.contains(point.as_str())).collect()
}

/// What a point is walked as: by whoever comes to it first, or by this part in any case.
fn key(part: &Part, point: &str) -> String {
    if part.is_own { place(part, point) } else { point.to_owned() }
}

/// Where a point is come to.
pub(crate) fn place(part: &Part, point: &str) -> String {
    format!("{} {point}", part.name)
}
