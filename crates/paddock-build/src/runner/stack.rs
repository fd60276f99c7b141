//! The stack that classic buildpacks are told. They know Heroku's names and fetch programs that were built on those
//! stacks; the name that people see of a stack of ours is another thing.

/// Heroku's stacks and the C library that programs built on them need, the newest first.
const STACKS: [((u32, u32), &str); 3] =
    [((2, 43), "heroku-26"), ((2, 39), "heroku-24"), ((2, 35), "heroku-22")];
/// What is said of a machine that is older than all of them, or does not say how old it is.
const OLDEST: &str = "heroku-22";

/// For `STACK`: the newest of Heroku's stacks whose programs run here. `c_library` says which one is installed.
pub(super) fn of_buildpacks(name: &str, c_library: impl FnOnce() -> String) -> String {
    if name.starts_with("heroku-") { name.to_owned() } else { newest_for(&c_library()).to_owned() }
}

/// From `glibc 2.36`.
fn newest_for(said: &str) -> &'static str {
    let version = said.split_whitespace().last().and_then(|version| version.split_once('.'));
    let version = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let Some(version) = version else { return OLDEST };
    STACKS.iter().find(|(needed, _)| *needed <= version).map_or(OLDEST, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::newest_for;

    #[test]
    fn programs_of_the_stack_run_on_the_machine() {
        for (said, stack) in [
            ("glibc 2.36\n", "heroku-22"),
            ("glibc 2.35\n", "heroku-22"),
            ("glibc 2.39\n", "heroku-24"),
            ("glibc 2.41\n", "heroku-24"),
            ("glibc 3.0\n", "heroku-26"),
            ("glibc 2.31\n", "heroku-22"),
            ("", "heroku-22"),
        ] {
            assert_eq!(newest_for(said), stack, "{said:?}");
        }
    }
}
