//! A builder on the real runtime, in an instance of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use paddock_build::image::BaseImage;
use paddock_build::{
    BuildFailure, BuildOutcome, BuildRequest, Builder, BuilderConfig, FailureKind, ProgramLibraries, Source,
    SourceArchive,
};
use paddock_core::buildpack::{BuildpackRef, BuildpackUrls};
use paddock_core::config::ConfigVars;
use paddock_core::stack::{Stack, StackBase, StackVersion};
use paddock_core::{AppId, BuildId, Tenant};
use paddock_images::{HostStack, Layers};
use paddock_runtime::{Limits, Runtime};
use paddock_runtime_linux::{IdRanges, LinuxConfig, LinuxRuntime, LocalImages};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Everything that builds need.
pub struct BuildFarm {
    pub folder: TempDir,
    pub runtime: Arc<LinuxRuntime>,
    pub builder: Builder,
    pub layers: Layers,
    pub stack: StackVersion,
    /// Made when it is first needed.
    pub busybox: OnceLock<BaseImage>,
    names: AbortHandle,
}

/// An app that is built.
pub struct App {
    pub id: AppId,
    pub config_vars: ConfigVars,
    pub buildpacks: Vec<String>,
    pub time_limit: Duration,
    pub disk_bytes: Option<u64>,
    pub memory_bytes: u64,
    pub pids: u32,
    /// The build is cancelled when it has said this.
    pub cancel_after: Option<&'static str>,
}

/// The date of every file of a source from git, in seconds.
pub const COMMIT_DATE: u64 = 1_600_000_000;

/// Something in a slug.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub path: String,
    /// Kind, mode and bytes, or what a link leads to.
    pub content: String,
    /// In seconds.
    pub date: u64,
}

/// How a build ended.
pub struct Built {
    pub result: Result<BuildOutcome, BuildFailure>,
    pub log: String,
}

impl App {
    pub fn new() -> Self {
        Self {
            id: AppId::from_uuid(Uuid::now_v7()),
            config_vars: ConfigVars::new(),
            buildpacks: Vec::new(),
            time_limit: Duration::from_secs(300),
            disk_bytes: Some(10 << 30),
            memory_bytes: 2560 << 20,
            pids: 4096,
            cancel_after: None,
        }
    }

    pub fn with_buildpacks(buildpacks: &[&str]) -> Self {
        Self { buildpacks: buildpacks.iter().map(|text| (*text).to_owned()).collect(), ..Self::new() }
    }
}

/// Runs a test with a farm, and takes the farm down whatever becomes of the test.
pub async fn with_farm<F: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(Arc<BuildFarm>) -> F + Send + 'static,
) {
    let farm = Arc::new(BuildFarm::open().await);
    let ended = tokio::spawn(test(Arc::clone(&farm))).await;
    farm.wait_for_clean_up().await;
    // Its socket goes before its address does: the next farm may get the same one.
    farm.names.abort();
    while !farm.names.is_finished() {
        tokio::task::yield_now().await;
    }
    farm.runtime.destroy_instance().await.expect("the instance can be taken down");
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic.into_panic());
    }
}

/// Only one farm at a time looks for a free network.
static OPENING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl BuildFarm {
    async fn open() -> Self {
        let _one_at_a_time = OPENING.lock().await;
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        std::fs::create_dir_all(path("buildpacks")).unwrap();
        std::fs::create_dir_all(path("stacks")).unwrap();
        let entropy = Uuid::new_v4().as_u128();
        let instance = (0..6).map(|n| char::from(b'a' + ((entropy >> (n * 8)) % 26) as u8)).collect();
        let layers = Layers::open(path("layers")).unwrap();
        let host_stack =
            HostStack::ensure(Path::new("/"), &path("stacks")).expect("a host stack can be made");
        let stack = StackVersion { stack: Stack::HOST, version: host_stack.version.clone() };
        let config = BuilderConfig {
            folder: path("builds"),
            caches: path("caches"),
            archives: path("archives"),
            site_env: site_env(),
            buildpack_urls: BuildpackUrls::Insecure,
            buildpack_folder: Some(path("buildpacks")),
            host_stack: stack.clone(),
            libraries: ProgramLibraries::of_this_process().unwrap(),
            slug_bytes_max: 64 << 20,
        };
        // Far from the ranges of others: one for each farm.
        let id_ranges = IdRanges { first: 0x4000 + ((entropy >> 64) as u32 & 0x0fff), count: 1 };
        let runtime = LinuxRuntime::open(LinuxConfig {
            run_dir: path("run/containers"),
            lasting_volumes: path("volumes"),
            addresses: path("addresses.json"),
            instance,
            program: super::programs(),
            router_ports: Vec::new(),
            allow_egress: registries(),
            id_ranges,
            images: Some(LocalImages { layers: layers.clone(), host_stack }),
            shares: config.shares(),
            helper_uid: 65_539,
            disk_interval: paddock_runtime_linux::DISK_INTERVAL,
        })
        .await
        .expect("the runtime works: these tests need root");
        let network = runtime.reconcile_network().await;
        let names = answer_names(runtime.bridge_address()).await;
        let (Ok(()), Ok(names)) = (&network, &names) else {
            runtime.destroy_instance().await.expect("the instance can be taken down");
            panic!("the network cannot be set up: {network:?} {names:?}");
        };
        let names = names.abort_handle();
        let builder = Builder::new(config, runtime.clone(), Arc::new(layers.clone()));
        Self { folder, runtime, builder, layers, stack, busybox: OnceLock::new(), names }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until the files of all builds are deleted.
    async fn wait_for_clean_up(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while std::fs::read_dir(self.path("builds")).is_ok_and(|entries| entries.count() > 0) {
            assert!(tokio::time::Instant::now() < deadline, "the files of builds are deleted");
            look.tick().await;
        }
    }

    /// Builds a tree of files; names ending in `*` are executable.
    pub async fn build(&self, app: &App, files: &[(&str, &str)]) -> Built {
        let tree = TempDir::new().unwrap();
        write_tree(tree.path(), files);
        self.build_folder(app, tree.path()).await
    }

    pub async fn build_folder(&self, app: &App, tree: &Path) -> Built {
        let file = self.path(&format!("source-{}.tar", Uuid::new_v4()));
        tar(tree, &file, &[&format!("--mtime=@{COMMIT_DATE}")]);
        self.build_source(
            app,
            Source { file, archive: SourceArchive::Git { submodules: Vec::new() }, version: "abc".into() },
        )
        .await
    }

    pub fn request(&self, app: &App, source: Source) -> BuildRequest {
        let buildpacks = app.buildpacks.iter().map(|text| BuildpackRef::parse(text, BuildpackUrls::Insecure));
        BuildRequest {
            build: BuildId::from_uuid(Uuid::now_v7()),
            app: app.id,
            tenant: Tenant(0),
            source,
            buildpacks: buildpacks.collect::<Result<_, _>>().unwrap(),
            prepared: BTreeMap::new(),
            config_vars: app.config_vars.clone(),
            stack: self.stack.clone(),
            base: StackBase::Host(self.stack.clone()),
            request_id: "00000000-0000-4000-8000-000000000000".into(),
            limits: Limits {
                memory_bytes: app.memory_bytes,
                cpu_millicores: 100_000,
                cpu_weight: 50,
                pids: app.pids,
            },
            disk_bytes: app.disk_bytes,
            time_limit: app.time_limit,
        }
    }

    pub async fn build_source(&self, app: &App, source: Source) -> Built {
        let request = self.request(app, source);
        let build = request.build;
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
        let result = self.builder.build(request, log, cancel).await;
        assert!(!self.path("builds").join(build.to_string()).exists(), "a build leaves nothing behind");
        Built { result, log: reading.await.unwrap() }
    }

    /// Unpacks a slug and returns the folder.
    pub fn unpack(&self, built: &Built) -> TempDir {
        let folder = TempDir::new().unwrap();
        let layer = self.layers.path_of(&built.outcome().layer);
        let status = Command::new("fsck.erofs")
            .arg(format!("--extract={}", folder.path().display()))
            .arg("--overwrite")
            .arg(layer)
            .stdout(std::process::Stdio::null())
            .status()
            .expect("fsck.erofs is installed (erofs-utils)");
        assert!(status.success());
        folder
    }

    /// The names of all files of a slug, in order.
    pub fn slug_files(&self, built: &Built) -> Vec<String> {
        let folder = self.unpack(built);
        let found = Command::new("find")
            .args([".", "!", "-type", "d", "-printf", "%P\n"])
            .current_dir(folder.path())
            .output();
        let mut files: Vec<String> =
            String::from_utf8(found.unwrap().stdout).unwrap().lines().map(Into::into).collect();
        files.sort();
        files
    }

    /// Everything in a slug but its root, in order of path.
    pub fn slug_entries(&self, built: &Built) -> Vec<Entry> {
        let folder = self.unpack(built);
        // Mode, and what a link leads to: a file's content comes from its bytes.
        let found = Command::new("find")
            .args([".", "-mindepth", "1", "-printf", "%P\\t%y%m %l\\t%Ts\\n"])
            .current_dir(folder.path())
            .output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        let mut entries: Vec<_> = found
            .lines()
            .map(|line| {
                let [path, kind, date] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
                let is_file = kind.starts_with('f');
                let bytes = if is_file { std::fs::read(folder.path().join(path)).unwrap() } else { vec![] };
                let content = format!("{kind} {:?}", Sha256::digest(bytes));
                Entry { path: path.to_owned(), content, date: date.parse().unwrap() }
            })
            .collect();
        entries.sort();
        entries
    }

    /// Makes a git repository of a buildpack in the folder that builds see, and returns its URL.
    pub fn buildpack(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.path("buildpacks").join(name);
        write_tree(&folder, files);
        for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "x"]] {
            let status = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-C"])
                .arg(&folder)
                .args(arguments)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .status()
                .unwrap();
            assert!(status.success());
        }
        make_readable(&folder);
        format!("file://{}", folder.display())
    }
}

impl Built {
    /// What a successful build made.
    pub fn outcome(&self) -> &BuildOutcome {
        match &self.result {
            Ok(outcome) => outcome,
            Err(failure) => panic!("{failure} ({:?})\n{}", failure.source, self.log),
        }
    }

    pub fn says(&self, text: &str) -> &Self {
        assert!(self.log.contains(text), "{text:?} is not in\n{}", self.log);
        self
    }

    pub fn failed(&self, kind: FailureKind) -> &Self {
        match &self.result {
            Err(failure) if failure.kind == kind => self,
            other => panic!("{other:?} instead of {kind:?}\n{}", self.log),
        }
    }

    pub fn ends_with(&self, text: &str) -> &Self {
        assert!(self.log.ends_with(text), "{text:?} is not the end of\n{}", self.log);
        self
    }

    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.log.contains(text), "{text:?} is in\n{}", self.log);
        self
    }
}

pub fn write_tree(root: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(root).unwrap();
    for (name, content) in files {
        let path = root.join(name.trim_end_matches('*'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

pub fn tar(folder: &Path, file: &Path, options: &[&str]) {
    let status = Command::new("tar")
        .args(["--create", "--sort=name", "--owner=0", "--group=0"])
        .args(options)
        .arg("--file")
        .arg(file)
        .arg("-C")
        .arg(folder)
        .arg(".")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Forwards the containers' questions of names to the machine's own resolver, as the router does.
async fn answer_names(bridge: IpAddr) -> std::io::Result<JoinHandle<()>> {
    let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let resolver =
        resolver.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse::<IpAddr>().ok());
    let Some(resolver) = resolver else { return Ok(tokio::spawn(async {})) };
    let socket =
        Arc::new(UdpSocket::bind((bridge, 53)).await.expect("nobody else answers on a bridge of ours"));
    Ok(tokio::spawn(async move {
        let mut question = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let (question, socket) = (question[..length].to_vec(), Arc::clone(&socket));
            tokio::spawn(async move {
                let upstream = UdpSocket::bind(("0.0.0.0", 0)).await?;
                upstream.send_to(&question, (resolver, 53)).await?;
                let mut answer = [0; 4096];
                let length = upstream.recv(&mut answer).await?;
                socket.send_to(&answer[..length], from).await
            });
        }
    }))
}

/// The hosts of the package registries, as this machine's own clients name them.
#[derive(Debug, Clone)]
pub struct PackageHosts {
    /// Python's index, an address.
    pub python_index: String,
    /// The host that Python's packages come from.
    pub python_files: String,
    /// npm's registry, an address.
    pub npm: String,
}

/// Asks pip and npm.
pub fn package_hosts() -> PackageHosts {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("pip and npm are installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let ask = "from pip._internal.models.index import PyPI as i; print(i.simple_url, i.file_storage_domain)";
    let python = said("/usr/bin/python3", &["-c", ask]);
    let (index, files) = python.split_once(' ').expect("pip knows its index");
    PackageHosts {
        python_index: index.trim_end_matches('/').to_owned(),
        python_files: files.to_owned(),
        npm: said("npm", &["config", "get", "registry"]),
    }
}

/// Where the package registries are, in case that is a range that containers do not reach by themselves.
fn registries() -> Vec<String> {
    let hosts = package_hosts();
    let host = |address: &str| address.split('/').nth(2).unwrap_or_default().to_owned();
    let crates = ["index.crates.io", "static.crates.io"].map(str::to_owned);
    let names =
        [vec![host(&hosts.python_index), hosts.python_files, host(&hosts.npm)], crates.into()].concat();
    let found = names.iter().filter_map(|name| (name.as_str(), 443).to_socket_addrs().ok()).flatten();
    let mut networks: Vec<String> =
        found.filter(SocketAddr::is_ipv4).map(|address| format!("{}/32", address.ip())).collect();
    networks.sort();
    networks.dedup();
    networks
}

fn make_readable(folder: &Path) {
    let status = Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status().unwrap();
    assert!(status.success());
}

/// What this machine needs to reach package registries: its certificate variables.
fn site_env() -> BTreeMap<String, String> {
    let names = [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "PIP_INDEX_URL",
        "UV_INDEX_URL",
        "NPM_CONFIG_REGISTRY",
        "CARGO_HTTP_CAINFO",
    ];
    let own = names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    // The tests' Rust is this machine's, whether rustup could be reached or not.
    own.chain([("RUSTUP_UPDATE_ROOT".to_owned(), "https://127.0.0.1:1".to_owned())]).collect()
}
