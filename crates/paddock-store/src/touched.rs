//! Which apps a transaction of this process touched: whoever keeps something true looks at those, and not at all.
//!
//! A hint, not a truth. A start begins by looking at everything, and a slow sweep finds what nobody said.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use paddock_core::AppId;

/// The apps that were touched and not yet looked at. An app that a transaction wrote to is here once that has ended,
/// however it ended.
#[derive(Debug, Default)]
pub struct TouchedApps(Mutex<BTreeSet<AppId>>);

impl TouchedApps {
    /// All of them; none is left.
    #[must_use]
    pub fn take(&self) -> BTreeSet<AppId> {
        std::mem::take(&mut self.lock())
    }

    /// Takes one, which comes back unless somebody says that it [was seen](Looking::seen). What touches it from now on
    /// puts it back as well.
    #[must_use]
    pub fn look_at(&self, app: AppId) -> Looking<'_> {
        self.lock().remove(&app);
        Looking { touched: self, app: Some(app) }
    }

    /// Puts apps back that could not be looked at.
    pub fn put_back(&self, apps: impl IntoIterator<Item = AppId>) {
        self.lock().extend(apps);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<AppId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An app that is being looked at. Whoever is cut off in the middle has not seen it.
#[derive(Debug)]
pub struct Looking<'t> {
    touched: &'t TouchedApps,
    app: Option<AppId>,
}

impl Looking<'_> {
    /// It was looked at and acted on.
    pub fn seen(mut self) {
        self.app = None;
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.touched.put_back(self.app);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Touches(Mutex<Vec<Weak<TouchedApps>>>);

impl Touches {
    pub(crate) fn listen(&self) -> Arc<TouchedApps> {
        let touched = Arc::new(TouchedApps::default());
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&touched));
        touched
    }

    fn tell(&self, apps: &BTreeSet<AppId>) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.put_back(apps.iter().copied());
        }
    }
}

/// What one transaction touches, told at its end: one that is dropped in the middle of its commit may have kept all.
#[derive(Debug)]
pub(crate) struct Touching {
    touches: Arc<Touches>,
    apps: BTreeSet<AppId>,
}

impl Touching {
    pub(crate) fn new(touches: Arc<Touches>) -> Self {
        Self { touches, apps: BTreeSet::new() }
    }

    pub(crate) fn touch(&mut self, app: AppId) {
        self.apps.insert(app);
    }

    pub(crate) fn apps(&self) -> &BTreeSet<AppId> {
        &self.apps
    }
}

impl Drop for Touching {
    fn drop(&mut self) {
        if !self.apps.is_empty() {
            self.touches.tell(&self.apps);
        }
    }
}
