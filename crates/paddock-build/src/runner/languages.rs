//! The languages by which an app is known, built here or not. Order and files: the detection of Heroku's own buildpacks,
//! and the default list of `docs/contract/buildpacks.md`, section 2.

use std::fs;
use std::path::Path;

use paddock_core::buildpack::BuiltinBuildpack;

use super::builtin;

#[derive(Debug, Clone, Copy)]
pub(super) struct Language {
    pub(super) name: &'static str,
    pub(super) builder: Builder,
    found: fn(&Path) -> bool,
}

/// Who builds a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    /// This server.
    Builtin(BuiltinBuildpack),
    /// A classic buildpack of Heroku's, at this address.
    Classic(&'static str),
    /// Whoever names a buildpack: Heroku has none in its default list either.
    Named,
}

const fn builtin(builtin: BuiltinBuildpack) -> Language {
    Language {
        name: builtin.language(),
        builder: Builder::Builtin(builtin),
        found: builtin::row(builtin).detect,
    }
}

const fn classic(name: &'static str, address: &'static str, found: fn(&Path) -> bool) -> Language {
    Language { name, builder: Builder::Classic(address), found }
}

const fn named(name: &'static str, found: fn(&Path) -> bool) -> Language {
    Language { name, builder: Builder::Named, found }
}

/// All of them; the first that an app is known by counts.
const ORDER: [Language; 19] = [
    builtin(BuiltinBuildpack::Ruby),
    builtin(BuiltinBuildpack::NodeJs),
    classic("Clojure", "https://github.com/heroku/heroku-buildpack-clojure", |app| {
        has(app, &["project.clj"])
    }),
    builtin(BuiltinBuildpack::Python),
    builtin(BuiltinBuildpack::Java),
    builtin(BuiltinBuildpack::Gradle),
    classic("Scala", "https://github.com/heroku/heroku-buildpack-scala", is_sbt),
    builtin(BuiltinBuildpack::Php),
    builtin(BuiltinBuildpack::Go),
    classic(".NET", "https://github.com/heroku/heroku-buildpack-dotnet", |app| {
        has_ending(app, &[".sln", ".slnx", ".csproj", ".fsproj", ".vbproj", ".cs"])
    }),
    builtin(BuiltinBuildpack::Rust),
    named("Elixir", |app| has(app, &["mix.exs"])),
    named("Erlang", |app| has(app, &["rebar.config"])),
    named("Deno", |app| has(app, &["deno.json", "deno.jsonc"])),
    named("Swift", |app| has(app, &["Package.swift"])),
    named("Dart", |app| has(app, &["pubspec.yaml"])),
    named("Crystal", |app| has(app, &["shard.yml"])),
    named("Haskell", |app| has(app, &["stack.yaml", "cabal.project"]) || has_ending(app, &[".cabal"])),
    named("Perl", |app| has(app, &["cpanfile"])),
];

/// The languages that an app is known by, the one that counts first.
pub(super) fn known_by(app: &Path) -> Vec<Language> {
    let mut languages: Vec<_> = ORDER.into_iter().filter(|language| (language.found)(app)).collect();
    // What Heroku does not look for is no second language of an app that has one.
    if languages.first().is_some_and(Language::is_herokus) {
        languages.retain(Language::is_herokus);
    }
    languages
}

/// The names of all that this server builds, as in `Node.js, Python and Go`.
pub(super) fn built_here() -> String {
    let names: Vec<_> =
        ORDER.iter().filter(|one| matches!(one.builder, Builder::Builtin(_))).map(|one| one.name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

impl Language {
    /// Whether Heroku looks for it by itself.
    fn is_herokus(&self) -> bool {
        match self.builder {
            Builder::Builtin(builtin) => builtin != BuiltinBuildpack::Rust,
            Builder::Classic(_) => true,
            Builder::Named => false,
        }
    }
}

fn has(app: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| app.join(name).is_file())
}

/// Whether a file at the top of the folder ends so.
fn has_ending(folder: &Path, endings: &[&str]) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending)) && entry.path().is_file()
    })
}

fn is_sbt(app: &Path) -> bool {
    has_ending(app, &[".sbt"])
        || has(app, &[".sbtrc", "project/build.properties"])
        || ["project", ".sbt"].iter().any(|folder| has_ending(&app.join(folder), &[".scala"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<&'static str> {
        let app = tempfile::tempdir().unwrap();
        for name in files {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        known_by(app.path()).iter().map(|language| language.name).collect()
    }

    #[test]
    fn every_language_is_known_by_its_files() {
        for (file, name) in [
            ("Gemfile", "Ruby"),
            ("package.json", "Node.js"),
            ("project.clj", "Clojure"),
            ("Pipfile.lock", "Python"),
            ("requirments.txt", "Python"),
            ("pom.xml", "Java"),
            ("pom.yml", "Java"),
            ("build.gradle.kts", "Gradle"),
            ("app.sbt", "Scala"),
            ("project/Build.scala", "Scala"),
            ("index.php", "PHP"),
            ("composer.json", "PHP"),
            ("go.mod", "Go"),
            ("src/example.com/cmd/main.go", "Go"),
            ("shop.fsproj", ".NET"),
            ("app.cs", ".NET"),
            ("Cargo.toml", "Rust"),
            ("app.cabal", "Haskell"),
        ] {
            assert_eq!(names(&[file, "Procfile", "README.md"]), [name], "{file}");
        }
        for nothing in ["Procfile", "src/main.go", "lib/app.csproj", "gemfile", "web.py", "index.html"] {
            assert_eq!(names(&[nothing]), Vec::<&str>::new(), "{nothing}");
        }
    }

    #[test]
    fn the_first_in_herokus_order_counts() {
        assert_eq!(names(&["package.json", "Gemfile"]), ["Ruby", "Node.js"]);
        assert_eq!(names(&["package.json", "composer.json"]), ["Node.js", "PHP"]);
        assert_eq!(names(&["pom.xml", "build.gradle", "requirements.txt"]), ["Python", "Java", "Gradle"]);
        assert_eq!(names(&["Cargo.toml", "requirements.txt"]), ["Python"], "a part of a Python package");
        assert_eq!(names(&["Cargo.toml", "mix.exs"]), ["Rust", "Elixir"]);
    }
}
