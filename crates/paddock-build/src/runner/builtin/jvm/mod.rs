//! What all languages of the Java machine share: its JDK, what a dyno's environment is, what is kept of downloads.
//! Names, rules and messages: Heroku's buildpack `heroku/jvm`, which its Java buildpacks have in them.

mod jdk;
mod profile;
mod properties;
mod store;
mod version;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) use self::jdk::Jdk;
pub(super) use self::properties::{head, system_property};
pub(super) use self::store::Store;
use super::BuiltinBuild;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// Config vars that are for the app's own Java, not for what builds it.
const OF_DYNOS: [&str; 2] = ["JAVA_OPTS", "JAVA_TOOL_OPTIONS"];

/// Chooses the JDK and leaves what dynos and later buildpacks need of it. `None` when there is none that fits, which the
/// user has been told.
pub(super) fn prepare(build: &BuiltinBuild<'_>) -> Result<Option<Jdk>, Stop> {
    let Some(jdk) = jdk::choose(build)? else { return Ok(None) };
    if !jdk.is_provided {
        for (name, text) in profile::SCRIPTS {
            build.profile(name, text)?;
        }
    }
    build.export(&jdk.export())?;
    Ok(Some(jdk))
}

impl Jdk {
    /// What later buildpacks source.
    pub(super) fn export(&self) -> String {
        format!("export JAVA_HOME={}\nexport PATH=\"$JAVA_HOME/bin:$PATH\"\n", self.root.display())
    }

    /// A program in BUILD_DIR with this Java.
    pub(super) fn program(&self, build: &BuiltinBuild<'_>, program: &Path) -> Command {
        let mut command = build.program(&program.display().to_string());
        for name in OF_DYNOS {
            command.env_remove(name);
        }
        command.env("JAVA_HOME", &self.root).env("PATH", build.path(&[self.root.join("bin")]));
        command
    }

    /// A program of the stack's or of an earlier buildpack's.
    pub(super) fn find(&self, build: &BuiltinBuild<'_>, name: &str) -> Option<PathBuf> {
        let mut print = self.program(build, Path::new("/usr/bin/printenv"));
        print.arg("PATH");
        let said = session::capture(print).ok().filter(|captured| captured.status.success())?;
        let path = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        path.split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(name))
            .find(|path| {
                fs::metadata(path)
                    .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
            })
    }
}

/// Makes a script that comes with an app runnable; `false` when it cannot be, which the user has been told.
pub(super) fn make_runnable(build: &BuiltinBuild<'_>, name: &str) -> Result<bool, Stop> {
    let path = build.build_dir().join(name);
    if head(&path).is_some_and(|text| is_of_windows(&text)) {
        screen::warning(&format!(
            "Error: {name} has the line ends of Windows, with which no shell here runs it.\n\n\
             Have git keep it as it has to be, and push again:\n\
             $ echo '{name} text eol=lf' >> .gitattributes\n\
             $ git add --renormalize .\n\
             $ git commit -am 'Line ends of {name}'"
        ));
        return Ok(false);
    }
    let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode());
    mode.and_then(|mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o111)))
        .map_err(Stop::io(format!("could not make {name} executable")))?;
    Ok(true)
}

/// Whether the first line, which names the shell, ends as lines of Windows do.
fn is_of_windows(text: &str) -> bool {
    text.split('\n').next().is_some_and(|line| line.ends_with('\r'))
}

/// A path for a command of a process type, which a shell reads.
pub(super) fn quoted(path: &str) -> String {
    let is_plain = path.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-+/@%,=".contains(&c));
    if is_plain && !path.is_empty() { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_is_one_word_for_a_shell() {
        assert_eq!(quoted("target/shop-1.0.jar"), "target/shop-1.0.jar");
        assert_eq!(quoted("target/a b$(id).jar"), "'target/a b$(id).jar'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
