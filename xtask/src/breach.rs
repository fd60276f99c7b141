//! What the checks find.

/// One broken rule: where, what, and what to do instead.
pub(crate) struct Breach {
    pub(crate) place: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Breach {
    pub(crate) fn new(
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Breach {
        Breach { place: place.into(), what: what.into(), remedy: remedy.into() }
    }
}
