//! What the walks of all servers have come to, and what they had to.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e2e::durable_steps;

use crate::wanted_places;

/// The book of a walk.
pub(crate) struct Book {
    begun: Instant,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// Points that somebody walks or has walked.
    claimed: BTreeSet<String>,
    /// Points at which a server has died.
    died_at: BTreeSet<String>,
    /// Where a point was passed when recorded, and did not come again.
    missed: Vec<String>,
    /// Parts that do not survive every kill.
    failed: Vec<&'static str>,
}

impl Default for Book {
    fn default() -> Self {
        Self { begun: Instant::now(), pages: Mutex::default() }
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the walk was begun.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether this point is for the one who asks: a point is walked once, by whoever passes it first.
    pub(crate) fn claims(&self, point: &str) -> bool {
        self.pages().claimed.insert(point.to_owned())
    }

    /// A point was walked, and a server died there or it did not come. What did not come is for others to claim.
    pub(crate) fn walked(&self, place: &str, point: &str, died: bool) {
        let mut pages = self.pages();
        if died {
            pages.died_at.insert(point.to_owned());
        } else {
            pages.claimed.remove(point);
            pages.missed.push(place.to_owned());
        }
    }

    /// A part does not survive every kill.
    pub(crate) fn failed(&self, name: &'static str) {
        self.pages().failed.push(name);
    }

    /// Every part survives every kill, and every step was died at.
    pub(crate) fn close(self) {
        let pages = self.pages();
        eprintln!("died at {} points in {} s", pages.died_at.len(), self.begun.elapsed().as_secs());
        for place in &pages.missed {
            eprintln!("passed once and not again: {place}");
        }
        assert!(pages.failed.is_empty(), "these do not survive every kill: {:?}", pages.failed);
        if wanted_places().is_some() {
            return;
        }
        let mut unwalked: Vec<String> = Vec::new();
        for step in durable_steps() {
            for side in ["before", "after"] {
                let point = format!("{step}:{side}");
                if !pages.died_at.contains(&point) {
                    unwalked.push(point);
                }
            }
        }
        assert!(unwalked.is_empty(), "no verb died at these points: {unwalked:#?}");
    }
}
