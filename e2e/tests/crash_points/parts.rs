//! The parts of the walk: each verb, new keys, starts, moments, restores.

use crate::wanted::asked;
use crate::{Walk, first_start, moments, restores, rotations, starts, verbs};

/// A part of the walk.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Its points are its own, whoever else died there.
    pub(crate) is_own: bool,
    /// For the one lane that is not for the others: it sets the clock of its server far ahead.
    pub(crate) is_aside: bool,
    /// How many of its points are walked one after the other; making it ready is dear where these are many.
    pub(crate) length: usize,
    /// On how many lanes it is walked at a time.
    pub(crate) at_once: usize,
    /// Makes it ready on a lane.
    pub(crate) begin: Box<Begin>,
}

type Begin = dyn Fn(&mut Walk) -> Box<dyn Steps> + Send + Sync;

/// A part that is made ready.
pub(crate) trait Steps {
    /// Performs it; the points that it passes.
    fn record(&mut self, walk: &mut Walk) -> Vec<String>;

    /// Performs it with a death at this point, and asserts what must be so afterwards. False if the point did not come.
    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool;

    /// The lane is as before.
    fn end(&mut self, _walk: &mut Walk) {}
}

impl Part {
    pub(crate) fn new<S: Steps + 'static>(
        name: &'static str,
        begin: impl Fn(&mut Walk) -> S + Send + Sync + 'static,
    ) -> Self {
        let begin = Box::new(move |walk: &mut Walk| Box::new(begin(walk)) as Box<dyn Steps>);
        Self { name, is_own: false, is_aside: false, length: 4, at_once: usize::MAX, begin }
    }
}

/// All that are asked for, the short ones first: what several pass is walked by the first of them.
pub(crate) fn all() -> Vec<Part> {
    let mut parts: Vec<Part> = verbs::all().into_iter().map(verbs::part).collect();
    parts.extend(rotations::parts());
    parts.push(verbs::part_without_limit());
    parts.extend(verbs::image::later_parts());
    parts.extend(starts::parts());
    // Beside any verb there may be what always comes with a stop.
    parts.splice(2..2, moments::stops());
    parts.push(moments::long_build());
    parts.push(restores::part());
    parts.push(first_start::part());
    // Everything dies at each of its points, whoever else did.
    let is_soak = e2e::rounds("PADDOCK_SOAK_POINTS", 0) > 0;
    for part in &mut parts {
        part.is_own |= is_soak;
    }
    parts.retain(|part| asked(part.name).is_some());
    parts
}
