//! A git server on a loopback port, and a client's working copy.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use paddock_build::git::{GitConfig, GitRequest, HookListener, Pusher, Repositories, Service};
use paddock_core::{AccountId, AppId};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// The user that git runs as.
const GIT_UID: u32 = 61_234;

/// Repositories behind a small HTTP server.
pub struct GitServer {
    pub repositories: Repositories,
    pub hooks: HookListener,
    pub app: AppId,
    folder: TempDir,
    port: u16,
}

impl GitServer {
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let repositories = Repositories::open(GitConfig {
            folder: folder.path().join("git"),
            hooks: folder.path().join("git-hooks"),
            program: "git".into(),
            uid: GIT_UID,
            hook_program: super::programs(),
            hook_socket: folder.path().join("hook.sock"),
            repository_bytes_max: 1 << 30,
            archive_bytes_max: 1 << 20,
            confine: Arc::new(|program, _| {
                let mut command = tokio::process::Command::new(program);
                command.uid(GIT_UID).gid(GIT_UID);
                command
            }),
        })
        .unwrap();
        let hooks = repositories.listen().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = AppId::from_uuid(Uuid::now_v7());
        let serving = repositories.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(serving.clone(), app, stream));
            }
        });
        Self { repositories, hooks, app, folder, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/app.git", self.port)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Just enough HTTP for git: one request a connection, bodies by length or chunks.
async fn answer(repositories: Repositories, app: AppId, stream: TcpStream) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: HashMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let protocol = headers.get("git-protocol").cloned();
    let target = lines[0].split(' ').nth(1).unwrap().to_owned();
    let service = Service::from_name(target.rsplit(['/', '=']).next().unwrap()).expect("a service of git");
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: ";
    if let Some(("/app.git/info/refs", _)) = target.split_once('?') {
        let refs = repositories.advertise(app, service, protocol.as_deref()).await.unwrap();
        let head = format!("{head}{}\r\n\r\n", service.advertisement_type());
        write.write_all(&[head.as_bytes(), &refs].concat()).await.unwrap();
        return;
    }
    let body: Box<dyn AsyncRead + Send + Unpin> = match headers.get("content-length") {
        Some(length) => Box::new(read.take(length.parse().unwrap())),
        None => Box::new(std::io::Cursor::new(chunks(read).await)),
    };
    let gzip = headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let pusher = Pusher { account: AccountId::from_uuid(Uuid::nil()), request_id: "request".into() };
    let request = GitRequest { body, gzip, git_protocol: protocol };
    let mut reply = repositories.serve(app, service, request, pusher).await.unwrap();
    let head = format!("{head}{}\r\n\r\n", reply.content_type);
    write.write_all(head.as_bytes()).await.unwrap();
    while let Some(bytes) = reply.body.recv().await {
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn chunks(mut read: impl tokio::io::AsyncBufRead + Unpin) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        let length = u64::from_str_radix(line.trim_end(), 16).unwrap();
        (&mut read).take(length).read_to_end(&mut body).await.unwrap();
        read.read_line(&mut String::new()).await.unwrap();
        if length == 0 {
            return body;
        }
    }
}

/// A client's folder.
pub struct Work {
    folder: TempDir,
}

/// How a git command ended and what it showed.
pub struct End {
    pub success: bool,
    pub screen: String,
}

/// A git command that runs.
pub struct Running(Child);

impl Running {
    pub fn end(self) -> End {
        let output = self.0.wait_with_output().unwrap();
        let screen = [output.stdout, output.stderr].concat();
        End { success: output.status.success(), screen: String::from_utf8_lossy(&screen).into_owned() }
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Work {
    pub fn empty() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn with_commit(files: &[(&str, &str)]) -> Self {
        let work = Self::empty();
        for (name, content) in files {
            let path = work.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &["commit", "-q", "-m", "a subject; $(rm -rf)"],
        ] {
            let end = work.git(arguments);
            assert!(end.success, "{}", end.screen);
        }
        work
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).screen.trim().to_owned()
    }

    /// A pack with everything in it.
    pub fn pack(&self) -> PathBuf {
        let end = self.git(&["repack", "-a", "-d", "-q"]);
        assert!(end.success, "{}", end.screen);
        let mut files =
            std::fs::read_dir(self.path(".git/objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "pack")).expect("a pack")
    }

    pub fn git(&self, arguments: &[&str]) -> End {
        self.start_git(arguments).end()
    }

    pub fn start_git(&self, arguments: &[&str]) -> Running {
        let child = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("no_proxy", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git is installed");
        Running(child)
    }
}
