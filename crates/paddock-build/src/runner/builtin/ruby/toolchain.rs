//! The Ruby of an app: the stack's own.

use super::lock::{Lock, Ruby, major_and_minor};
use crate::runner::builtin::BuiltinBuild;
use crate::runner::{screen, session};

/// Prints the version, the one that folders of gems are named by, and where gems of the stack are.
const ASK: &str =
    "puts RUBY_VERSION, RbConfig::CONFIG['ruby_version'], (Gem.default_path - [Gem.user_dir]).join(':')";
const OFFICIAL: &str = "https://github.com/heroku/heroku-buildpack-ruby";

pub(super) struct Toolchain {
    /// Such as `3.1.2`.
    pub(super) version: String,
    /// Such as `3.1.0`: gems are in `vendor/bundle/ruby/` of this name.
    pub(super) abi: String,
    pub(super) bundler: String,
    /// Where the stack's own gems are, Bundler among them; as in `GEM_PATH`.
    pub(super) gems: String,
}

/// The stack's Ruby if it is what the lock file asks for; `None` when not, which the user has been told.
pub(super) fn choose(build: &BuiltinBuild<'_>, lock: &Lock) -> Option<Toolchain> {
    let asked = says(build, "ruby", &["-e", ASK]);
    let mut asked = asked.as_deref().unwrap_or_default().lines();
    let (Some(version), Some(abi), Some(gems)) = (asked.next(), asked.next(), asked.next()) else {
        return refuse(
            "There is no Ruby on this stack. On a Debian or Ubuntu it is installed with: apt-get install ruby-full ruby-bundler",
        );
    };
    let bundler = says(build, "bundle", &["--version"]);
    let Some(bundler) = bundler.as_deref().and_then(|said| said.trim().rsplit(' ').next()) else {
        return refuse(
            "There is no Bundler on this stack. On a Debian or Ubuntu it is installed with: apt-get install ruby-bundler",
        );
    };
    if let Some(wanted) = &lock.ruby {
        if !fits(wanted, version) {
            return refuse(&not_to_be_had(wanted, version));
        }
        if wanted.version != version {
            screen::warning(&format!(
                "Gemfile.lock asks for Ruby {}, and the stack has Ruby {version}: that one is used.",
                wanted.version
            ));
        }
    }
    screen::step(&format!("Using Ruby version: ruby-{version} (the stack's own)"));
    let [version, abi, bundler, gems] = [version, abi, bundler, gems].map(str::to_owned);
    Some(Toolchain { version, abi, bundler, gems })
}

fn refuse(problem: &str) -> Option<Toolchain> {
    screen::warning(problem);
    None
}

/// What a program says, without a word of the app's: its config vars could have it load the app's own code.
fn says(build: &BuiltinBuild<'_>, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = build.build.session.plain(program);
    command.args(arguments);
    let captured = session::capture(command).ok().filter(|captured| captured.status.success())?;
    String::from_utf8(captured.stdout).ok()
}

/// Versions with the same first two numbers load the same gems. What the Gemfile itself says of the rest, Bundler sees to.
fn fits(wanted: &Ruby, version: &str) -> bool {
    wanted.engine == "ruby" && major_and_minor(&wanted.version) == major_and_minor(version)
}

fn not_to_be_had(wanted: &Ruby, version: &str) -> String {
    let Ruby { engine, version: asked } = wanted;
    let asked: String = format!("{engine}-{asked}").chars().take(60).collect();
    format!(
        "Gemfile.lock asks for {asked}, and this stack has ruby-{version}.\n\n\
         To use that one, write ruby \"{version}\" in your Gemfile and run:\n\n\
         $ bundle update --ruby\n$ git add Gemfile.lock\n$ git commit -m \"update ruby version\"\n\n\
         Or name Heroku's own buildpack, on a stack that it knows and where its Ruby can be fetched:\n\n\
         $ heroku buildpacks:set {OFFICIAL}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_numbers_have_to_be_the_stacks() {
        let ruby = |engine: &str, version: &str| Ruby { engine: engine.into(), version: version.into() };
        assert!(fits(&ruby("ruby", "3.1.4"), "3.1.2") && fits(&ruby("ruby", "3.1.2"), "3.1.2"));
        for (engine, version) in [("ruby", "3.4.1"), ("ruby", "2.1.2"), ("jruby", "3.1.2"), ("ruby", "many")]
        {
            assert!(!fits(&ruby(engine, version), "3.1.2"), "{engine} {version}");
        }
    }
}
