//! Which files of a crate may name which: no circle, and between areas only the arrows of the table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::arch;
use crate::breach::Breach;
use crate::modules::Modules;

type Arrows = BTreeMap<usize, BTreeSet<usize>>;

/// Checks the library and the programs of a crate whose sources lie in `folder`.
pub(crate) fn check(root: &Path, package: &str, folder: &Path) -> Result<Vec<Breach>, String> {
    let mut roots = vec!["lib.rs".to_owned(), "main.rs".to_owned()];
    let programs = fs::read_dir(folder.join("bin")).into_iter().flatten().flatten();
    roots.extend(programs.map(|program| format!("bin/{}", program.file_name().to_string_lossy())));
    let shown = folder.strip_prefix(root).unwrap_or(folder);
    let mut breaches = Vec::new();
    for name in roots.iter().filter(|name| name.ends_with(".rs") && folder.join(name).is_file()) {
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let modules = Modules::read(name, &read).map_err(|error| format!("{}: {error}", shown.display()))?;
        breaches.extend(check_modules(package, &shown.display().to_string(), &modules));
    }
    Ok(breaches)
}

fn check_modules(package: &str, shown: &str, modules: &Modules) -> Vec<Breach> {
    let arrows = modules.arrows();
    let mut breaches = Vec::new();
    for circle in circles(modules, &arrows) {
        let names: Vec<&str> = circle.iter().map(|file| modules.file(*file)).collect();
        let what = format!("a circle: {}", names.join(" -> "));
        let remedy = "let what both need lie in a file of its own that names neither";
        breaches.push(Breach::new(shown, what, remedy));
    }
    if let Some(areas) = arch::AREAS.iter().find(|areas| areas.package == package) {
        breaches.extend(check_areas(areas, shown, modules, &arrows));
    }
    breaches
}

fn check_areas(areas: &arch::Areas, shown: &str, modules: &Modules, arrows: &Arrows) -> Vec<Breach> {
    let area_of = |file: usize| {
        let (folder, _) = modules.file(file).split_once('/')?;
        areas.folders.iter().find(|area| **area == folder)
    };
    let mut breaches = Vec::new();
    for file in modules.numbers().skip(1).filter(|file| area_of(*file).is_none()) {
        let what = format!("{} lies in no area", modules.file(file));
        breaches.push(Breach::new(shown, what, format!("move it into one of {}", areas.folders.join(", "))));
    }
    let pairs = arrows.iter().flat_map(|(from, targets)| targets.iter().map(move |to| (*from, *to)));
    for (from, to) in pairs {
        let (Some(area), Some(other)) = (area_of(from), area_of(to)) else { continue };
        let may = area == other || *other == areas.shared || areas.arrows.contains(&(area, other));
        if !may {
            let what =
                format!("{} names {}, and {area} may not use {other}", modules.file(from), modules.file(to));
            let remedy = format!(
                "hand it in through a trait of {shared}, meet in a row of the store, or move to {shared} what both need",
                shared = areas.shared
            );
            breaches.push(Breach::new(shown, what, remedy));
        }
    }
    breaches
}

/// One circle of each knot. A module and what it holds may name each other: that is one thing in several files.
fn circles(modules: &Modules, arrows: &Arrows) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    let mut open: Vec<BTreeSet<usize>> =
        vec![arrows.iter().flat_map(|(from, targets)| targets.iter().copied().chain([*from])).collect()];
    while let Some(files) = open.pop() {
        for mut knot in knots(&files, arrows) {
            if let Some(holder) = holder(&knot, modules) {
                knot.remove(&holder);
                open.push(knot);
            } else {
                circles.extend(shortest_circle(&knot, modules, arrows));
            }
        }
    }
    circles.sort();
    circles
}

/// The one of some files that holds all the others.
fn holder<'a>(files: impl IntoIterator<Item = &'a usize> + Clone, modules: &Modules) -> Option<usize> {
    let holds_all = |outer: &usize| files.clone().into_iter().all(|file| modules.holds(*outer, *file));
    files.clone().into_iter().copied().find(holds_all)
}

/// The sets of files that all lead to each other.
fn knots(files: &BTreeSet<usize>, arrows: &Arrows) -> Vec<BTreeSet<usize>> {
    let reached: BTreeMap<usize, BTreeSet<usize>> =
        files.iter().map(|file| (*file, reach(*file, files, arrows))).collect();
    let mut knots: Vec<BTreeSet<usize>> = Vec::new();
    for (file, others) in &reached {
        if others.contains(file) && !knots.iter().any(|knot| knot.contains(file)) {
            knots.push(others.iter().copied().filter(|other| reached[other].contains(file)).collect());
        }
    }
    knots
}

fn targets<'a>(
    file: usize,
    files: &'a BTreeSet<usize>,
    arrows: &'a Arrows,
) -> impl Iterator<Item = usize> + 'a {
    arrows.get(&file).into_iter().flatten().copied().filter(|to| files.contains(to))
}

fn reach(from: usize, files: &BTreeSet<usize>, arrows: &Arrows) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = vec![from];
    while let Some(file) = open.pop() {
        open.extend(targets(file, files, arrows).filter(|to| reached.insert(*to)));
    }
    reached
}

/// The shortest circle that is more than a module with what it holds, its first file at both ends.
fn shortest_circle(knot: &BTreeSet<usize>, modules: &Modules, arrows: &Arrows) -> Option<Vec<usize>> {
    let pairs = knot.iter().flat_map(|from| targets(*from, knot, arrows).map(move |to| (*from, to)));
    let circles = pairs.filter_map(|(from, to)| {
        let back = way(to, from, knot, arrows)?;
        Some([from].into_iter().chain(back).collect::<Vec<_>>())
    });
    circles.min_by_key(|circle| (holder(circle, modules).is_some(), circle.len()))
}

/// A shortest way from a file to another.
fn way(from: usize, to: usize, knot: &BTreeSet<usize>, arrows: &Arrows) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::from([(from, from)]);
    let mut open = VecDeque::from([from]);
    while let Some(file) = open.pop_front() {
        if file == to {
            let before = |file: &usize| came_from.get(file).copied().filter(|before| before != file);
            let mut way: Vec<usize> = std::iter::successors(Some(to), before).collect();
            way.reverse();
            return Some(way);
        }
        for next in targets(file, knot, arrows) {
            came_from.entry(next).or_insert_with(|| {
                open.push_back(next);
                file
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{check_areas, check_modules, circles};
    use crate::arch::Areas;
    use crate::modules::Modules;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let read =
            |file: &str| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
        Modules::read("lib.rs", &read).unwrap()
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let modules = modules(files);
        let name = |circle: &Vec<usize>| {
            circle.iter().map(|file| modules.file(*file)).collect::<Vec<_>>().join(" -> ")
        };
        circles(&modules, &modules.arrows()).iter().map(name).collect()
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let one_way = ("b.rs", "pub struct B;");
        let both = ("b.rs", "use super::a::A;\npub struct B(A);");
        let (lib, a) = (("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;\npub struct A;"));
        assert!(found(&[lib, a, one_way]).is_empty());
        assert_eq!(found(&[lib, a, both]), ["a.rs -> b.rs -> a.rs"]);
    }

    #[test]
    fn a_path_in_the_code_is_an_arrow_as_an_import_is() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;"),
            ("a.rs", "fn a() { crate::b::b() }"),
            ("b.rs", "use crate::c;\nfn b() -> c::C { c::c() }"),
            ("c.rs", "use crate::{a::{self, x}, b as _};"),
        ];
        assert_eq!(found(&files), ["b.rs -> c.rs -> b.rs"]);
        assert_eq!(found(&[files[0], files[1], files[2], ("c.rs", "use crate::{a::{self, x}};")]).len(), 1);
    }

    #[test]
    fn a_module_and_its_children_are_one_thing_in_several_files() {
        let lib = ("lib.rs", "mod git;\nmod x;\npub struct Root;\nuse x::X;");
        let git = ("git/mod.rs", "mod hook;\nmod files;\npub struct Git;\nuse hook::place;");
        let hook = ("git/hook.rs", "use super::Git;\nuse crate::Root;\npub fn place() {}");
        let files = ("git/files.rs", "impl super::Git { }");
        assert!(found(&[lib, git, hook, files, ("x.rs", "use crate::Root;")]).is_empty());
        let siblings = ("git/files.rs", "use super::hook::place;");
        let back = ("git/hook.rs", "use self::super::files::F;\npub fn place() {}");
        assert_eq!(
            found(&[lib, git, back, siblings, ("x.rs", "")]),
            ["git/hook.rs -> git/files.rs -> git/hook.rs"]
        );
    }

    #[test]
    fn a_circle_through_a_parent_and_its_child_is_one() {
        let files = [
            ("lib.rs", "mod jobs;\nmod x;"),
            ("jobs/mod.rs", "mod build;\npub struct Jobs;\nfn run() { build::run() }"),
            ("jobs/build.rs", "use crate::x::X;\npub fn run() {}"),
            ("x.rs", "use crate::jobs::Jobs;"),
        ];
        assert_eq!(found(&files), ["jobs/mod.rs -> jobs/build.rs -> x.rs -> jobs/mod.rs"]);
    }

    #[test]
    fn what_a_module_hands_on_is_where_it_is_defined() {
        let lib = ("lib.rs", "mod a;\nmod x;\npub use a::Inner;");
        let (a, x) = (
            ("a/mod.rs", "mod inner;\nmod outer;\npub use self::inner::Inner;"),
            ("x.rs", "use crate::a::Inner;"),
        );
        let outer = ("a/outer.rs", "use crate::x::X;");
        assert!(found(&[lib, a, ("a/inner.rs", "pub struct Inner;"), outer, x]).is_empty());
        let inner = ("a/inner.rs", "use crate::x::X;\npub struct Inner;");
        assert_eq!(found(&[lib, a, inner, outer, x]), ["a/inner.rs -> x.rs -> a/inner.rs"]);
    }

    #[test]
    fn tests_are_not_counted() {
        let lib = ("lib.rs", "mod a;\nmod b;");
        let a = ("a.rs", "use crate::b::B;\npub struct A;");
        let b =
            ("b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }\n#[cfg(test)]\nmod more;");
        assert!(found(&[lib, a, b]).is_empty());
    }

    const AREAS: Areas = Areas {
        package: "x",
        folders: &["kernel", "app", "deploy"],
        shared: "kernel",
        arrows: &[("app", "deploy")],
    };

    fn crossings(app: &str, deploy: &str, kernel: &str) -> Vec<String> {
        let files = [
            ("lib.rs", "mod app;\nmod deploy;\nmod kernel;\nuse app::App;\npub struct Facade;"),
            ("app/mod.rs", app),
            ("deploy/mod.rs", deploy),
            ("kernel/mod.rs", kernel),
        ];
        let modules = modules(&files);
        let breaches = check_areas(&AREAS, "src", &modules, &modules.arrows());
        breaches.into_iter().map(|breach| breach.what).collect()
    }

    #[test]
    fn areas_use_the_shared_one_and_what_the_table_allows() {
        let both = "use crate::deploy::D;\nuse crate::kernel::K;\nuse crate::Facade;";
        assert!(crossings(both, "use crate::kernel::K;", "").is_empty());
        let back = crossings("", "use crate::app::A;", "");
        assert_eq!(back, ["deploy/mod.rs names app/mod.rs, and deploy may not use app"]);
        let up = crossings("", "", "fn k() { crate::app::a() }");
        assert_eq!(up, ["kernel/mod.rs names app/mod.rs, and kernel may not use app"]);
    }

    #[test]
    fn a_file_beside_the_areas_is_refused() {
        let modules =
            modules(&[("lib.rs", "mod app;\nmod x;"), ("app/mod.rs", ""), ("x.rs", "use crate::app::A;")]);
        let breaches = check_areas(&AREAS, "src", &modules, &modules.arrows());
        assert_eq!(
            breaches.iter().map(|breach| breach.what.as_str()).collect::<Vec<_>>(),
            ["x.rs lies in no area"]
        );
    }

    #[test]
    fn a_crate_without_areas_has_none_to_keep() {
        let modules = modules(&[("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "")]);
        assert!(check_modules("paddock-core", "src", &modules).is_empty());
    }
}
