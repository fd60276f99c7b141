//! What is still to be done, for all lanes: first every part is performed once, then the points are died at.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::book::Book;
use crate::parts::Part;

/// A piece of work for a lane.
#[derive(Clone)]
pub(crate) struct Task {
    /// The number of its part.
    pub(crate) part: usize,
    /// The points to die at; none yet when it is performed to see which it passes.
    pub(crate) points: Option<Vec<String>>,
}

/// The plan of a walk.
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) book: Book,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The last one is the next.
    queue: Vec<Task>,
    /// On how many lanes each part is.
    going_on: Vec<usize>,
    /// Nothing is left, or a lane has broken down.
    is_over: bool,
}

impl Plan {
    pub(crate) fn new(parts: Vec<Part>, book: Book) -> Self {
        // The short ones are first among the parts: what takes long is begun early.
        let queue = (0..parts.len()).map(|part| Task { part, points: None }).collect();
        let state = State { queue, going_on: vec![0; parts.len()], is_over: false };
        Self { parts, book, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task for a lane, when there is one; nothing when the walk is over.
    pub(crate) fn next(&self, is_aside: bool) -> Option<Task> {
        let mut state = self.state();
        while !state.is_over {
            let fits = |task: &Task| {
                let part = &self.parts[task.part];
                part.is_aside == is_aside && state.going_on[task.part] < part.at_once
            };
            if let Some(number) = state.queue.iter().rposition(fits) {
                let task = state.queue.remove(number);
                state.going_on[task.part] += 1;
                return Some(task);
            }
            if state.queue.is_empty() && state.going_on.iter().all(|lanes| *lanes == 0) {
                state.queue = self.assigned();
                state.is_over = state.queue.is_empty();
                self.changed.notify_all();
                continue;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// A lane has done what it took.
    pub(crate) fn done(&self, task: &Task) {
        self.state().going_on[task.part] -= 1;
        self.changed.notify_all();
    }

    /// A lane has broken down.
    pub(crate) fn give_up(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    /// The points that are to be died at, in pieces of their parts. Asked again when these are walked, it has what one
    /// part did not come to again and another has passed.
    fn assigned(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            for points in self.book.claims(part).chunks(part.length) {
                tasks.push(Task { part: number, points: Some(points.to_vec()) });
            }
        }
        tasks
    }
}
