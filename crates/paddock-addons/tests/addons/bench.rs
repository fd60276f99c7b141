//! A data server as its plan says, but for paths, port and the wait for the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use paddock_addons::postgres::Postgres;
use paddock_addons::{
    Certificate, Plan, Resource, Secret, ServerAccess, ServerOrder, ServerPlan, Service as _,
};
use paddock_testkit::port::Port;
use paddock_testkit::{place, postgres, process};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
const FOLDER: &str = "paddock-test-data-";
const PASSWORD: &str = "p0123456789abcdef";

pub(crate) struct Server {
    pub(crate) service: Postgres,
    pub(crate) access: ServerAccess,
    pub(crate) order: ServerOrder,
    folder: PathBuf,
    child: Option<Child>,
    _port: Port,
}

/// A plan by its name.
pub(crate) fn plan(name: &str) -> &'static Plan {
    service("/nowhere").info().plan(Some(name)).unwrap()
}

fn service(programs: &str) -> Postgres {
    Postgres::new([(15, programs.to_owned())])
}

/// Looks again and again; whether it came in time.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while Instant::now() < deadline {
        look.tick().await;
        if condition().await {
            return true;
        }
    }
    false
}

/// The end of a UUID is random.
pub(crate) fn random(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = Uuid::new_v4().into_bytes()[15];
    }
}

/// What a server shows, and who signed it.
pub(crate) fn certificate() -> (Certificate, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    (Certificate { chain, key: Secret::new(key.serialize_pem()) }, authority)
}

impl Server {
    /// A shared server, ready for databases. `None` where PostgreSQL is missing and that is known.
    pub(crate) async fn shared() -> Option<Self> {
        Self::begin(None).await
    }

    /// A server for one database of this plan.
    pub(crate) async fn own(name: &str) -> Option<Self> {
        Self::begin(Some(plan(name))).await
    }

    async fn begin(plan: Option<&'static Plan>) -> Option<Self> {
        let mut server = Self::prepare(plan)?;
        server.start().await;
        server.service.ready(&server.access).await.unwrap();
        Some(server)
    }

    /// One that does not run yet.
    pub(crate) fn prepare(plan: Option<&'static Plan>) -> Option<Self> {
        Self::prepare_on(None, plan)
    }

    /// A shared server on a disk of so many megabytes. `None` also where nobody may mount one.
    pub(crate) async fn on_a_disk_of(megabytes: u32) -> Option<Self> {
        postgres::user()?;
        let mut server = Self::prepare_on(Some(megabytes), None)?;
        server.start().await;
        server.service.ready(&server.access).await.unwrap();
        Some(server)
    }

    fn prepare_on(disk: Option<u32>, plan: Option<&'static Plan>) -> Option<Self> {
        let programs = postgres::programs()?;
        remove_leftovers();
        let name = format!("{FOLDER}{}-{}", std::process::id(), Uuid::new_v4().simple());
        let folder = place::in_memory().join(name);
        for part in ["", "data"] {
            let path = folder.join(part);
            std::fs::DirBuilder::new().mode(0o755).create(&path).unwrap();
            if let (Some(megabytes), "data") = (disk, part) {
                let size = format!("size={megabytes}m,mode=755");
                let mount =
                    Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status();
                assert!(mount.unwrap().success());
            }
            if let Some((uid, gid)) = postgres::user() {
                chown(&path, Some(uid), Some(gid)).unwrap();
            }
        }
        let (certificate, authority) = certificate();
        let port = Port::take();
        let address = (Ipv4Addr::LOCALHOST, port.number()).into();
        let order = ServerOrder {
            version: "15".to_owned(),
            plan,
            memory_bytes: 256 << 20,
            machine_millicores: 2000,
            platform: Ipv4Addr::LOCALHOST.into(),
            password: Secret::new(PASSWORD),
            certificate,
        };
        let access = ServerAccess { address, password: Secret::new(PASSWORD), authority };
        let service = service(programs.to_str().unwrap());
        Some(Self { service, access, order, folder, child: None, _port: port })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.access.address
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Begins it, without waiting.
    pub(crate) fn launch(&mut self) {
        let plan = self.service.server(&self.order).unwrap();
        self.child = Some(self.command(&plan).spawn().unwrap());
    }

    /// Begins it and waits until it answers.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.wait().await;
    }

    /// Waits until what was begun answers.
    pub(crate) async fn wait(&mut self) {
        let mut last = None;
        let answers = until(async || {
            last = self.service.ready(&self.access).await.err();
            assert!(last.is_none() || !self.has_ended(), "it ended: {last:?}");
            last.is_none()
        })
        .await;
        assert!(answers, "{last:?}");
    }

    /// Whether what was begun has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The plan's program with the plan's environment, where it may write.
    fn command(&self, plan: &ServerPlan) -> Command {
        let mut command = Command::new("setpriv");
        if let Some((uid, gid)) = postgres::user() {
            command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
        }
        // What a killed run leaves behind ends by itself.
        command.args(["--pdeathsig", "QUIT"]).args(&plan.command).env_clear();
        for (name, value) in &plan.env {
            command.env(name, self.moved(std::str::from_utf8(value).unwrap()));
        }
        for file in &plan.files {
            let path = PathBuf::from(self.moved(&file.path));
            // What takes the place of a file of this machine's does so in a container alone.
            if !path.starts_with(&self.folder) {
                continue;
            }
            let text = self.moved(&file.text).replace("'*'", "'127.0.0.1'");
            let port = format!("port = {}\n", self.address().port());
            let text = text.replace("port = 5432\n", &port);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, if text.contains("port = ") { text + "fsync = off\n" } else { text })
                .unwrap();
        }
        let log = std::fs::File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).current_dir("/");
        command
    }

    fn moved(&self, text: &str) -> String {
        let folder = self.folder.to_str().unwrap();
        let text = if text == "/data" { format!("{folder}/data") } else { text.to_owned() };
        text.replace("/dev/shm/postgres", &format!("{folder}/data/secrets"))
            .replace("/etc/postgres", &format!("{folder}/conf"))
    }

    /// A database of a plan, made.
    pub(crate) async fn make(&self, name: &str) -> Resource {
        let resource = self.service.name(plan(name), &mut random);
        self.service.provision(&self.access, &resource).await.unwrap();
        resource
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // At once: nobody looks at its files any more.
            let process = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process(process, rustix::process::Signal::QUIT);
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        remove(&self.folder);
    }
}

/// Folders of tests that were killed: their servers ended with them.
fn remove_leftovers() {
    for entry in std::fs::read_dir(place::in_memory()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.split('-').next()?.parse().ok());
        if process.is_some_and(|process| process::began(process).is_err()) {
            remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) {
    // A disk of its own, where it has one.
    let _ = rustix::mount::unmount(folder.join("data"), rustix::mount::UnmountFlags::DETACH);
    // Processes that end meanwhile may still write.
    for _ in 0..3 {
        if std::fs::remove_dir_all(folder).is_ok() {
            return;
        }
    }
}
