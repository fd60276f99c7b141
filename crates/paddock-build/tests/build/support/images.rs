//! Builds of images on a farm, and a look into what they made.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use paddock_build::image::{
    BaseImage, BaseImageError, BaseImages, BuiltImage, BuiltProcess, DoneStep, ImageOutcome, ImagePorts,
    StepCache, StepKey,
};
use paddock_build::{BuildFailure, BuildLog, FailureKind, Source, SourceArchive};
use paddock_core::artefact::ProgramUser;
use paddock_core::image::{ImageCommand, ImageConfig};
use paddock_core::stack::StackVersion;
use paddock_core::{ContainerId, Tenant};
use paddock_images::convert::{LayerLimits, LeftOut, convert_tree};
use paddock_runtime::{ContainerSpec, ContainerState, Disk, Layer, Limits, Network, Root, Runtime, Stdio};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::build::{App, BuildFarm, COMMIT_DATE, tar, write_tree};

/// What steps came to, for as long as a test.
#[derive(Debug, Default)]
pub struct Steps(Mutex<HashMap<StepKey, DoneStep>>);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl StepCache for Steps {
    async fn get(&self, key: &StepKey) -> Result<Option<DoneStep>, BoxError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: &StepKey, step: &DoneStep) -> Result<(), BoxError> {
        self.0.lock().unwrap().insert(key.clone(), step.clone());
        Ok(())
    }
}

/// `busybox`, a static one with links for its programs; `host`, the stack.
struct Bases {
    busybox: BaseImage,
    stack: StackVersion,
}

#[async_trait]
impl BaseImages for Bases {
    async fn resolve(&self, reference: &str, log: &BuildLog) -> Result<BaseImage, BaseImageError> {
        let _ = log.send(format!("resolving {reference}\n").into()).await;
        match reference {
            "busybox" => Ok(self.busybox.clone()),
            "host" => Ok(BaseImage { base: Some(self.stack.clone()), ..BaseImage::default() }),
            other => Err(BaseImageError::Refused(format!("there is no image {other} that this app may use"))),
        }
    }
}

/// How a build of images ended.
pub struct BuiltImages {
    pub result: Result<ImageOutcome, BuildFailure>,
    pub log: String,
}

impl BuiltImages {
    pub fn outcome(&self) -> &ImageOutcome {
        match &self.result {
            Ok(outcome) => outcome,
            Err(failure) => panic!("{failure} ({:?})\n{}", failure.source, self.log),
        }
    }

    pub fn process(&self, name: &str) -> &BuiltProcess {
        &self.outcome().processes[&name.parse().unwrap()]
    }

    pub fn web(&self) -> &BuiltImage {
        &self.process("web").image
    }

    pub fn says(&self, text: &str) -> &Self {
        assert!(self.log.contains(text), "{text:?} is not in\n{}", self.log);
        self
    }

    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.log.contains(text), "{text:?} is in\n{}", self.log);
        self
    }

    /// It failed for this reason, and says so at its end.
    pub fn failed(&self, kind: FailureKind, problem: &str) -> &Self {
        match &self.result {
            Err(failure) if failure.kind == kind => {}
            other => panic!("{other:?} instead of {kind:?}\n{}", self.log),
        }
        self.says(problem);
        assert!(self.log.ends_with("\n !     Push failed\n"), "{}", self.log);
        self
    }
}

impl BuildFarm {
    /// Builds a tree of files; names ending in `*` are executable.
    pub async fn build_images(&self, app: &App, steps: &Steps, files: &[(&str, &str)]) -> BuiltImages {
        let tree = TempDir::new().unwrap();
        write_tree(tree.path(), files);
        self.build_image_folder(app, steps, tree.path()).await
    }

    /// The same for a Dockerfile alone.
    pub async fn dockerfile(&self, app: &App, text: &str) -> BuiltImages {
        self.build_images(app, &Steps::default(), &[("Dockerfile", text)]).await
    }

    pub async fn build_image_folder(&self, app: &App, steps: &Steps, tree: &Path) -> BuiltImages {
        let file = self.path(&format!("source-{}.tar", Uuid::new_v4()));
        tar(tree, &file, &[&format!("--mtime=@{COMMIT_DATE}")]);
        let archive = SourceArchive::Git { submodules: Vec::new() };
        let request = self.request(app, Source { file, archive, version: "0123abc".into() });
        let busybox = self.busybox.get_or_init(|| self.make_busybox()).clone();
        let bases = Bases { busybox, stack: self.stack.clone() };
        let (log, mut pieces) = mpsc::channel::<bytes::Bytes>(64);
        let cancel = CancellationToken::new();
        let (cancelling, cancel_after) = (cancel.clone(), app.cancel_after);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend_from_slice(&piece);
                if cancel_after.is_some_and(|text| String::from_utf8_lossy(&all).contains(text)) {
                    cancelling.cancel();
                }
            }
            String::from_utf8_lossy(&all).into_owned()
        });
        let build = request.build;
        let ports = ImagePorts { bases: &bases, steps };
        let result = self.builder.build_images(request, ports, log, cancel).await;
        assert!(!self.path("builds").join(build.to_string()).exists(), "a build leaves nothing behind");
        let running = self.runtime.observe().await.unwrap();
        assert!(running.is_empty(), "nor a container: {running:?}");
        BuiltImages { result, log: reading.await.unwrap() }
    }

    /// A root with a static busybox.
    fn make_busybox(&self) -> BaseImage {
        let tree = TempDir::new_in(self.folder.path()).unwrap();
        let root = tree.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).unwrap();
        write_tree(
            root,
            &[
                ("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"),
                ("etc/group", "root:x:0:\napp:x:1000:\n"),
            ],
        );
        for folder in ["bin", "root", "usr/bin"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let program = ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        std::fs::copy(program.expect("busybox-static is installed"), root.join("bin/busybox")).unwrap();
        let listed = Command::new(root.join("bin/busybox")).arg("--list").output().unwrap().stdout;
        for name in String::from_utf8(listed).unwrap().lines() {
            let _ = symlink("busybox", root.join("bin").join(name));
        }
        let file = self.path(&format!("busybox-{}.erofs", Uuid::new_v4()));
        let output = File::options().read(true).write(true).create_new(true).open(&file).unwrap();
        convert_tree(root, &LeftOut::default(), output, &LayerLimits::IMAGE).unwrap();
        let layer = self.layers.add_erofs(&file).unwrap();
        let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let command = vec!["sh".to_owned()];
        let config = ImageConfig { env, command, ..ImageConfig::default() };
        BaseImage { layers: vec![layer], base: None, config }
    }

    /// What a program prints in an image, as a dyno runs it.
    pub async fn run_in(&self, image: &BuiltImage, words: &[&str]) -> String {
        self.run_as(image, &image.config.user, words).await
    }

    async fn run_as(&self, image: &BuiltImage, user: &str, words: &[&str]) -> String {
        let id = ContainerId::from_uuid(Uuid::now_v7());
        let stored = image.layers.iter().cloned().map(Layer::Stored);
        let env = image.config.env.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        let spec = ContainerSpec {
            id,
            labels: BTreeMap::new(),
            hostname: "web-1".into(),
            tenant: Tenant(0),
            root: Root::Image,
            layers: stored.chain(image.base.clone().map(Layer::Stack)).collect(),
            mounts: Vec::new(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            user: ProgramUser::IMAGE,
            image_user: user.to_owned(),
            env: env.collect(),
            working_dir: if image.config.working_dir.is_empty() {
                "/".into()
            } else {
                image.config.working_dir.clone()
            },
            limits: Limits { memory_bytes: 256 << 20, cpu_millicores: 100_000, cpu_weight: 100, pids: 256 },
            disk: Disk::Unlimited,
            network: Network::None,
            stdio: Stdio::Output,
            time_limit: Some(Duration::from_secs(60)),
            leftover_grace: Duration::ZERO,
        };
        self.runtime.start(spec).await.unwrap();
        let mut output = self.runtime.output(id, 0).await.unwrap();
        let mut printed = String::new();
        while let Some(piece) = output.recv().await {
            printed.push_str(&String::from_utf8_lossy(&piece.bytes));
            printed.push_str(if piece.ends_line { "\n" } else { "" });
        }
        let ended = self.runtime.observe().await.unwrap();
        let ended = ended.into_iter().find(|container| container.id == id).map(|container| container.state);
        self.runtime.remove(id).await.unwrap();
        assert!(
            matches!(ended, Some(ContainerState::Exited { exit, .. }) if exit.status == 0),
            "{ended:?}: {printed}"
        );
        printed
    }

    /// The files of an image: each line has mode, owner, path and what a link leads to; of the paths that are named.
    pub async fn files_of(&self, image: &BuiltImage, paths: &[&str]) -> Vec<String> {
        let mut words = vec!["/bin/busybox", "stat", "-c", "%a %u:%g %N"];
        words.extend(paths);
        // As another than root, to whom root's files are shown as such.
        let printed = self.run_as(image, "1000", &words).await;
        printed.lines().map(|line| line.replace('\'', "")).collect()
    }
}

pub fn line(text: &str) -> ImageCommand {
    ImageCommand::Line(text.to_owned())
}
