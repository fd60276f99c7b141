//! What a release runs, whatever it was made from: a slug is one kind.

use std::collections::BTreeMap;

use crate::digest::LayerDigest;
use crate::image::{Image, ProcessImage};
use crate::stack::{StackBase, StackVersion};

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

/// Where a dyno finds the platform's own program, if its app was built to run that.
pub const PLATFORM_PROGRAM: &str = "/paddock/paddockd";

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
    /// Whose an image's files of root are, and who its programs run as where the image has no user of its own for them. A number
    /// that images have no user with.
    pub const IMAGE: Self = Self { uid: 31_000, gid: 31_000 };
    /// Root of the container, of which the host knows nothing.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// How the root file system of a process looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtefactKind {
    /// A stack's, with `/app` and `/tmp` for the processes to write.
    Slug,
    /// An image's own.
    Image,
}

/// What the processes of a release are made of, but for their command lines, which are the formation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Read-only layers, the uppermost first.
    pub layers: Vec<LayerDigest>,
    /// What the layers lie on; `None` where they are a whole root file system by themselves.
    pub base: Option<StackVersion>,
    /// Whose root file system it is.
    pub kind: ArtefactKind,
    /// The words of every command before a line that is read by a shell.
    pub before_line: Vec<String>,
    /// Program and arguments of the process type itself, where that is no such line.
    pub words: Option<Vec<String>>,
    /// Variables that it brings; config vars win over them.
    pub env: BTreeMap<String, String>,
    /// Where processes begin, an absolute path.
    pub working_dir: String,
    /// What processes have as HOME, an absolute path, whatever a config var says; `None` for what their user has in an image.
    pub home: Option<String>,
    /// Who they run as, if the image has no other for them.
    pub user: ProgramUser,
    /// Who an image would have them run as.
    pub image_user: String,
}

impl Artefact {
    /// A slug: the layer with `./app`, on the stack that it was built for.
    #[must_use]
    pub fn of_slug(layer: LayerDigest, stack: StackBase) -> Self {
        let (below, base) = match stack {
            StackBase::Host(version) => (Vec::new(), Some(version)),
            StackBase::Layers(layers) => (layers, None),
        };
        Self {
            layers: [vec![layer], below].concat(),
            base,
            kind: ArtefactKind::Slug,
            words: None,
            before_line: ["bash", "-c", BOOT_OF_A_SLUG, "bash"].map(str::to_owned).into(),
            env: [("PATH".to_owned(), PATH_OF_A_SLUG.to_owned())].into(),
            working_dir: HOME_OF_A_SLUG.to_owned(),
            home: Some(HOME_OF_A_SLUG.to_owned()),
            user: ProgramUser::DYNO,
            image_user: String::new(),
        }
    }

    /// What a process type runs of an image.
    #[must_use]
    pub fn of_image(process: &ProcessImage) -> Self {
        let Image { layers, base, config, .. } = &process.image;
        let working_dir = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
        let mut env = config.env.clone();
        env.entry("PATH".to_owned()).or_insert_with(|| PATH_OF_A_SLUG.to_owned());
        Self {
            layers: layers.clone(),
            base: base.clone(),
            kind: ArtefactKind::Image,
            before_line: config.before_line(),
            words: Some(process.words()),
            home: None,
            env,
            working_dir: working_dir.to_owned(),
            user: ProgramUser::IMAGE,
            image_user: config.user.clone(),
        }
    }

    /// Program and arguments of the process type, whose line is `line` where it has one.
    #[must_use]
    pub fn own_command(&self, line: &str) -> Vec<String> {
        self.words.clone().unwrap_or_else(|| self.command(line))
    }

    /// Program and arguments of a process whose Procfile line, or `run` command, is `line`. The line is one argument.
    #[must_use]
    pub fn command(&self, line: &str) -> Vec<String> {
        self.before_line.iter().cloned().chain([line.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::BlobDigest;
    use crate::image::{ImageCommand, ImageConfig};
    use crate::stack::Stack;

    #[test]
    fn the_tenants_line_is_one_argument() {
        let stack = StackVersion { stack: Stack::HOST, version: "1".to_owned() };
        let slug = Artefact::of_slug(LayerDigest::of_sha256([7; 32]), StackBase::Host(stack));
        let command = slug.command("echo $PORT && rm -rf \"$HOME\"");
        assert_eq!(command.len(), 5);
        assert_eq!(command[4], "echo $PORT && rm -rf \"$HOME\"");
    }

    #[test]
    fn an_image_has_its_own_words_for_who_runs_and_where_that_is_at_home() {
        let config = ImageConfig { user: "www:5".to_owned(), ..ImageConfig::default() };
        let image = Image { id: BlobDigest::of_sha256([1; 32]), layers: Vec::new(), base: None, config };
        let artefact = Artefact::of_image(&ProcessImage { image, command: ImageCommand::OfImage });
        assert_eq!((artefact.user, artefact.image_user.as_str()), (ProgramUser::IMAGE, "www:5"));
        assert_eq!((artefact.home, artefact.working_dir.as_str()), (None, "/"));
    }

    #[test]
    fn a_slug_is_laid_upon_the_layers_of_its_stack_or_upon_the_host() {
        let [app, upper, lower] = [7, 8, 9].map(|byte| LayerDigest::of_sha256([byte; 32]));
        let below = StackBase::Layers(vec![upper.clone(), lower.clone()]);
        let on_layers = Artefact::of_slug(app.clone(), below);
        assert_eq!((on_layers.layers, on_layers.base), (vec![app.clone(), upper, lower], None));
        let version = StackVersion { stack: Stack::HOST, version: "1".to_owned() };
        let on_host = Artefact::of_slug(app.clone(), StackBase::Host(version.clone()));
        assert_eq!((on_host.layers, on_host.base), (vec![app], Some(version)));
        assert_eq!(on_host.kind, on_layers.kind);
    }
}
