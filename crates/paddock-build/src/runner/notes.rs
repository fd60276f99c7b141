//! What the runner notes of a build while it goes on: for the build's record.

use std::cell::RefCell;
use std::time::Instant;

use paddock_core::build_record::FactKind;

use crate::plan::Notes;

/// Written to by every part of a build.
#[derive(Debug, Default)]
pub(super) struct Notebook(RefCell<Notes>);

impl Notebook {
    pub(super) fn fact(&self, kind: FactKind, name: &str, value: &str) {
        self.0.borrow_mut().facts.push((kind.as_str().to_owned(), name.to_owned(), value.to_owned()));
    }

    /// Whether something that an earlier build left was used, and why.
    pub(super) fn reuse(&self, what: &str, reused: bool, why: &str) {
        self.0.borrow_mut().reuse.push((what.to_owned(), reused, why.to_owned()));
    }

    /// Does a part and notes how long it took, however it ends.
    pub(super) fn time<T>(&self, step: &str, part: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = part();
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.borrow_mut().took.push((step.to_owned(), millis));
        done
    }

    pub(super) fn into_notes(self) -> Notes {
        self.0.into_inner()
    }
}
