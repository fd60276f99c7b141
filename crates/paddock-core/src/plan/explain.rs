//! Why a build was as it was, and what differs between two: from their records.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::build_record::{BuildRecord, Fact, FactKind, Reuse, Took};

/// What differs in one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub kind: FactKind,
    /// Its name.
    pub name: String,
    /// What it was in the other build, if that had it.
    pub before: Option<String>,
    /// What it is in this one, if it has it.
    pub after: Option<String>,
}

impl Difference {
    /// Whether it is of what went into the build, and not of what came out.
    #[must_use]
    pub const fn is_cause(&self) -> bool {
        !matches!(self.kind, FactKind::Made | FactKind::Report)
    }
}

/// A part of a build beside the same part of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The part, as this build measured it.
    pub took: Took,
    /// Its milliseconds in the other build, if that had the part.
    pub before: Option<u64>,
}

/// A build, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What each part took.
    pub steps: Vec<Step>,
    /// What was used again and what was not, with the reason.
    pub reuse: Vec<Reuse>,
    /// What differs; `None` where no other build was asked for.
    pub differences: Option<Vec<Difference>>,
    /// How many things of either build did not fit into its record.
    pub left_out: u64,
}

/// Explains a build, beside another one if there is one.
#[must_use]
pub fn explain(build: &BuildRecord, other: Option<&BuildRecord>) -> Explanation {
    let mut before = other.map(times).unwrap_or_default();
    let step = |took: &Took| {
        let left = before.get_mut(&took.step).filter(|left| !left.is_empty());
        Step { took: took.clone(), before: left.map(|left| left.remove(0)) }
    };
    Explanation {
        steps: build.took.iter().map(step).collect(),
        reuse: build.reuse.clone(),
        differences: other.map(|other| differences(build, other)),
        left_out: build.left_out + other.map_or(0, |other| other.left_out),
    }
}

/// The times of each part: one of a name may occur twice.
fn times(record: &BuildRecord) -> BTreeMap<String, Vec<u64>> {
    let mut times = BTreeMap::<String, Vec<u64>>::new();
    for took in &record.took {
        times.entry(took.step.clone()).or_default().push(took.millis);
    }
    times
}

fn differences(build: &BuildRecord, other: &BuildRecord) -> Vec<Difference> {
    type Facts<'a> = BTreeMap<(FactKind, &'a str), &'a str>;
    let of = |fact: &'_ Fact| (fact.kind, fact.name.clone());
    let collect = |record: &BuildRecord| record.facts.iter().map(of).collect::<Vec<_>>();
    let mut keys = [collect(build), collect(other)].concat();
    keys.sort_by(|left, right| (place(left.0), &left.1).cmp(&(place(right.0), &right.1)));
    keys.dedup();
    fn facts(record: &BuildRecord) -> Facts<'_> {
        record.facts.iter().map(|fact| ((fact.kind, fact.name.as_str()), fact.value.as_str())).collect()
    }
    let (after, before) = (facts(build), facts(other));
    let difference = |(kind, name): (FactKind, String)| {
        let value = |facts: &Facts<'_>| facts.get(&(kind, name.as_str())).map(|value| (*value).to_owned());
        let (before, after) = (value(&before), value(&after));
        (before != after).then_some(Difference { kind, name, before, after })
    };
    keys.into_iter().filter_map(difference).collect()
}

/// Where a kind is shown.
fn place(kind: FactKind) -> usize {
    FactKind::ALL.iter().position(|one| *one == kind).unwrap_or(usize::MAX)
}

impl Explanation {
    /// For people: what it took, what was used again, what differs. `build` and `other` are how the builds are called.
    #[must_use]
    pub fn text(&self, build: &str, other: Option<&str>) -> String {
        let mut text = format!("Build {build}\n\nWhat it took\n");
        if self.steps.is_empty() {
            text.push_str("  Nothing was measured.\n");
        }
        for step in &self.steps {
            let before =
                step.before.map(|millis| format!("   before {}", seconds(millis))).unwrap_or_default();
            let _ = writeln!(text, "  {:>10}  {}{before}", seconds(step.took.millis), step.took.step);
        }
        text.push_str("\nWhat was used again\n");
        if self.reuse.is_empty() {
            text.push_str("  Nothing was looked for.\n");
        }
        for one in &self.reuse {
            let word = if one.reused { "again" } else { "anew" };
            let _ = writeln!(text, "  {word:>10}  {}: {}", one.what, one.why);
        }
        if let (Some(differences), Some(other)) = (&self.differences, other) {
            let _ = write!(text, "\nWhat differs from build {other}\n");
            text.push_str(&told(differences));
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "\n{} more things were noted than a record holds.", self.left_out);
        }
        text
    }
}

fn told(differences: &[Difference]) -> String {
    let (causes, results): (Vec<_>, Vec<_>) = differences.iter().partition(|one| one.is_cause());
    let mut text = String::new();
    if causes.is_empty() {
        text.push_str("  Nothing that is known to have gone into them.\n");
    }
    for one in &causes {
        text.push_str(&line(one));
    }
    if causes.is_empty() && !results.is_empty() {
        text.push_str("  What came out differs all the same: a step of the build does not do the same twice,\n  or fetched something that is not pinned.\n");
    }
    for one in &results {
        text.push_str(&line(one));
    }
    text
}

fn line(one: &Difference) -> String {
    let kind = one.kind.as_str().replace('_', " ");
    let name = &one.name;
    match (one.kind, &one.before, &one.after) {
        // What a keyed digest is says nothing to anybody.
        (FactKind::Config, Some(_), Some(_)) => format!("  {kind} {name}: its value is another\n"),
        (FactKind::Config, None, _) => format!("  {kind} {name}: new\n"),
        (FactKind::Config, Some(_), None) => format!("  {kind} {name}: gone\n"),
        (_, Some(before), Some(after)) => format!("  {kind} {name}: {before} -> {after}\n"),
        (_, None, after) => format!("  {kind} {name}: new, {}\n", after.as_deref().unwrap_or_default()),
        (_, Some(before), None) => format!("  {kind} {name}: gone, was {before}\n"),
    }
}

/// `12.34 s`.
fn seconds(millis: u64) -> String {
    format!("{}.{:02} s", millis / 1000, millis % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::build_record::ToldBy;

    fn record(facts: &[(FactKind, &str, &str)]) -> BuildRecord {
        let mut record = BuildRecord::default();
        for (kind, name, value) in facts {
            record.note(ToldBy::Server, *kind, name, value);
        }
        record
    }

    #[test]
    fn a_build_is_its_own_equal() {
        let one =
            record(&[(FactKind::Tool, "node", "26.1.0"), (FactKind::Made, "layer of slug", "sha256:1")]);
        let explained = explain(&one, Some(&one));
        assert_eq!(explained.differences, Some(Vec::new()));
        assert!(explained.text("a", Some("a")).contains("Nothing that is known"));
        assert_eq!(explain(&one, None).differences, None);
    }

    #[test]
    fn what_differs_is_new_gone_or_another_in_the_order_of_kinds() {
        let before = record(&[
            (FactKind::Made, "layer of slug", "sha256:1"),
            (FactKind::Config, "TOKEN", "aa"),
            (FactKind::Config, "OLD", "cc"),
            (FactKind::Tool, "node", "26.1.0"),
            (FactKind::Stack, "host", "12"),
        ]);
        let after = record(&[
            (FactKind::Made, "layer of slug", "sha256:2"),
            (FactKind::Config, "TOKEN", "bb"),
            (FactKind::Config, "NEW", "dd"),
            (FactKind::Tool, "npm", "11.0.0"),
            (FactKind::Stack, "host", "12"),
        ]);
        let text = explain(&after, Some(&before)).text("b", Some("a"));
        let told: Vec<_> = text.lines().skip_while(|line| !line.starts_with("What differs")).collect();
        assert_eq!(
            told,
            [
                "What differs from build a",
                "  tool node: gone, was 26.1.0",
                "  tool npm: new, 11.0.0",
                "  config NEW: new",
                "  config OLD: gone",
                "  config TOKEN: its value is another",
                "  made layer of slug: sha256:1 -> sha256:2",
            ]
        );
    }

    #[test]
    fn a_result_without_a_cause_is_called_so() {
        let one = record(&[(FactKind::Made, "layer of slug", "1")]);
        let other = record(&[(FactKind::Made, "layer of slug", "2")]);
        assert!(explain(&one, Some(&other)).text("b", Some("a")).contains("does not do the same twice"));
    }

    #[test]
    fn times_are_set_beside_those_of_the_same_part() {
        let timed = |times: &[(&str, u64)]| {
            let mut record = BuildRecord::default();
            for (step, millis) in times {
                record.took(ToldBy::Server, step, Duration::from_millis(*millis));
            }
            record.reuse(ToldBy::Build, "node/packages", false, "something has changed");
            record
        };
        let after = timed(&[("pack", 1500), ("detect a", 3), ("detect a", 4)]);
        let before = timed(&[("detect a", 30), ("pack", 61_234)]);
        let explained = explain(&after, Some(&before));
        let beside: Vec<_> = explained.steps.iter().map(|step| step.before).collect();
        assert_eq!(beside, [Some(61_234), Some(30), None]);
        let text = explained.text("b", Some("a"));
        assert!(text.contains("1.50 s  pack   before 61.23 s\n"), "{text}");
        assert!(text.contains("anew  node/packages: something has changed\n"), "{text}");
    }
}
