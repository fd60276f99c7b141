//! What the tester asks for: everything, or some places (`PADDOCK_CRASH_POINT`).

/// What is asked for of a part.
pub(crate) enum Asked {
    /// All its points that nothing died at before.
    All,
    /// Some points.
    Points(Vec<String>),
}

/// Whether something is asked for: everything, unless `PADDOCK_CRASH_POINT` has a list of names, separated by commas,
/// each perhaps with a point.
pub(crate) fn asked(name: &str) -> Option<Asked> {
    let Some(list) = wanted_places() else { return Some(Asked::All) };
    let mut points = Vec::new();
    for rest in list.split(',').filter_map(|place| place.trim().strip_prefix(name)) {
        match rest.strip_prefix(' ') {
            None if rest.is_empty() => return Some(Asked::All),
            Some(point) if is_point(point) => points.push(point.to_owned()),
            _ => {}
        }
    }
    (!points.is_empty()).then_some(Asked::Points(points))
}

/// `NAME:before` or `NAME:after`; the rest of a longer name is none.
fn is_point(text: &str) -> bool {
    text.contains(':') && !text.contains(' ')
}

pub(crate) fn wanted_places() -> Option<String> {
    std::env::var_os("PADDOCK_CRASH_POINT").map(|list| list.to_string_lossy().into_owned())
}
