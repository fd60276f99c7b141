//! What apps find of their languages: they have this machine's `/usr`, without `/usr/local`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Finding;

/// A language that is built without a buildpack of the app's own.
struct Language {
    name: &'static str,
    /// Of these each says its version, or is there.
    parts: &'static [Part],
    remedy: &'static str,
}

struct Part {
    name: &'static str,
    /// Below `/usr`.
    file: &'static str,
    /// What a program is asked for its version with; nothing for one that is only looked at.
    asks: &'static [&'static str],
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "Python apps",
        parts: &[
            Part { name: "Python", file: "bin/python3", asks: &["--version"] },
            Part { name: "pip", file: "bin/python3", asks: &["-B", "-m", "pip", "--version"] },
        ],
        remedy: "Only if apps in Python are to be built: apt-get install python3 python3-pip",
    },
    Language {
        name: "Node.js apps",
        parts: &[
            Part { name: "Node.js", file: "bin/node", asks: &["--version"] },
            Part { name: "npm", file: "bin/npm", asks: &[] },
        ],
        remedy: "Only if apps in Node.js are to be built: apt-get install nodejs npm",
    },
];

pub(super) fn check() -> Vec<Finding> {
    LANGUAGES.iter().map(|language| language.look(Path::new("/usr"))).collect()
}

impl Language {
    fn look(&self, usr: &Path) -> Finding {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for part in self.parts {
            match part.version(usr) {
                Some(version) => there.push(format!("{} {version}", part.name).trim_end().to_owned()),
                None => missing.push(part.missing(usr)),
            }
        }
        if missing.is_empty() {
            return Finding::ok(self.name, format!("ready: {}", there.join(", ")));
        }
        Finding::note(self.name, format!("not ready: {}", missing.join(", ")), self.remedy)
    }
}

impl Part {
    /// Its version, empty where it is not asked for; nothing where it is not there or does not run.
    fn version(&self, usr: &Path) -> Option<String> {
        let program = usr.join(self.file);
        if self.asks.is_empty() {
            return program.is_file().then(String::new);
        }
        #[expect(clippy::disallowed_methods, reason = "the doctor looks at this machine")]
        let mut command = Command::new(program);
        command
            .args(self.asks)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = said
            .split_whitespace()
            .find(|word| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()));
        Some(number.unwrap_or_default().trim_start_matches('v').to_owned())
    }

    fn missing(&self, usr: &Path) -> String {
        let name = Path::new(self.file).file_name().unwrap_or_default();
        let elsewhere: PathBuf = usr.join("local/bin").join(name);
        if elsewhere.exists() && !usr.join(self.file).exists() {
            return format!("no {} (apps do not see {})", self.name, elsewhere.display());
        }
        format!("no {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Verdict;
    use super::*;

    fn program(usr: &Path, file: &str, script: &str) {
        let path = usr.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_language_is_ready_or_it_is_said_what_to_install() {
        let usr = tempfile::tempdir().unwrap();
        let [python, node] = &LANGUAGES;
        for (language, package) in [(python, "python3-pip"), (node, "nodejs npm")] {
            let bare = language.look(usr.path());
            assert!(bare.verdict == Verdict::Note && bare.remedy.contains(package), "{bare:?}");
        }
        program(usr.path(), "local/bin/node", "");
        assert!(node.look(usr.path()).detail.contains("apps do not see"));
        program(usr.path(), "bin/node", "echo v18.20.4");
        assert_eq!(node.look(usr.path()).detail, "not ready: no npm");
        program(usr.path(), "bin/npm", "");
        let ready = node.look(usr.path());
        assert_eq!((ready.verdict, ready.detail.as_str()), (Verdict::Ok, "ready: Node.js 18.20.4, npm"));

        program(usr.path(), "bin/python3", "[ $1 = --version ] && echo Python 3.11.2");
        assert_eq!(python.look(usr.path()).detail, "not ready: no pip");
        program(
            usr.path(),
            "bin/python3",
            "[ $1 = --version ] && echo Python 3.11.2 || echo pip 23.0.1 from /usr/lib",
        );
        assert_eq!(python.look(usr.path()).detail, "ready: Python 3.11.2, pip 23.0.1");
    }
}
