//! What a release runs, whatever it was made from: a slug is one kind.

use std::collections::BTreeMap;

use crate::layer::LayerDigest;
use crate::stack::StackVersion;

/// Read by the dyno's own bash inside its container. The tenant's line arrives as one argument and is never part of
/// this text. A script of `.profile.d` that fails does not stop the boot. `docs/contract/buildpacks.md`, section 11.
const BOOT_OF_A_SLUG: &str = r#"
cd /app
for script in /app/.profile.d/*.sh; do
  if [ -r "$script" ]; then . "$script"; fi
done
if [ -r /app/.profile ]; then . /app/.profile; fi
exec bash -c "$1"
"#;

const PATH_OF_A_SLUG: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the files of a slug are, which is the home of its processes.
const HOME_OF_A_SLUG: &str = "/app";

/// User and group of a program, as they are numbered inside its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramUser {
    /// The user. 0 in a step of a build that makes an image's layer, and nowhere else.
    pub uid: u32,
    /// Its only group.
    pub gid: u32,
}

impl ProgramUser {
    /// The user `dyno`, which slugs belong to and builds run as.
    pub const DYNO: Self = Self { uid: 1000, gid: 1000 };
    /// Root of the container, of which the host knows nothing.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// What the processes of a release are made of, but for their command lines, which are the formation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Read-only layers, the uppermost first.
    pub layers: Vec<LayerDigest>,
    /// What the layers lie on; `None` where they are a whole root file system by themselves.
    pub base: Option<StackVersion>,
    /// The words of every command before the process's own line.
    pub entrypoint: Vec<String>,
    /// Variables that it brings; config vars win over them.
    pub env: BTreeMap<String, String>,
    /// Where processes begin, an absolute path.
    pub working_dir: String,
    /// What processes have as HOME, an absolute path.
    pub home: String,
    /// Who they run as.
    pub user: ProgramUser,
}

impl Artefact {
    /// A slug: the layer with `./app`, on the stack that it was built for.
    #[must_use]
    pub fn of_slug(layer: LayerDigest, stack: StackVersion) -> Self {
        Self {
            layers: vec![layer],
            base: Some(stack),
            entrypoint: ["bash", "-c", BOOT_OF_A_SLUG, "bash"].map(str::to_owned).into(),
            env: [("PATH".to_owned(), PATH_OF_A_SLUG.to_owned())].into(),
            working_dir: HOME_OF_A_SLUG.to_owned(),
            home: HOME_OF_A_SLUG.to_owned(),
            user: ProgramUser::DYNO,
        }
    }

    /// Program and arguments of a process whose Procfile line, or `run` command, is `line`. The line is one argument.
    #[must_use]
    pub fn command(&self, line: &str) -> Vec<String> {
        self.entrypoint.iter().cloned().chain([line.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Stack;

    #[test]
    fn the_tenants_line_is_one_argument() {
        let stack = StackVersion { stack: Stack::Host, version: "1".to_owned() };
        let slug = Artefact::of_slug(LayerDigest::of_sha256([7; 32]), stack);
        let command = slug.command("echo $PORT && rm -rf \"$HOME\"");
        assert_eq!(command.len(), 5);
        assert_eq!(command[4], "echo $PORT && rm -rf \"$HOME\"");
    }
}
