//! Where things lie in a data directory.

use std::path::PathBuf;

/// A data directory and the places in it.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The data directory, as given or canonical.
    pub(crate) data: PathBuf,
}

impl Paths {
    /// The places in `data`.
    pub(crate) fn new(data: PathBuf) -> Self {
        Self { data: std::fs::canonicalize(&data).unwrap_or(data) }
    }

    /// Held while a server runs.
    pub(crate) fn serve_lock(&self) -> PathBuf {
        self.data.join("serve.lock")
    }

    /// The key that secrets are sealed with, unless the operator keeps it elsewhere.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.data.join("keys/master")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.data.join("run")
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.run().join("admin.sock")
    }

    /// Where the router forwards requests for the platform.
    pub(crate) fn serve_socket(&self) -> PathBuf {
        self.run().join("serve.sock")
    }

    /// Where the router forwards rendezvous connections.
    pub(crate) fn rendezvous_socket(&self) -> PathBuf {
        self.run().join("rendezvous.sock")
    }

    /// Where the router takes its orders.
    pub(crate) fn router_socket(&self) -> PathBuf {
        self.run().join("router.sock")
    }

    /// Where git hooks report.
    pub(crate) fn git_hook_socket(&self) -> PathBuf {
        self.run().join("git-hook.sock")
    }

    pub(crate) fn router(&self) -> PathBuf {
        self.data.join("router")
    }

    /// What clients sent of images.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.data.join("ca")
    }

    /// The certificate authority of the proxy form.
    pub(crate) fn proxy_form(&self) -> PathBuf {
        self.ca().join("proxy-form")
    }

    /// Password of the first account.
    pub(crate) fn admin_password(&self) -> PathBuf {
        self.data.join("admin-password")
    }

    /// Token that `paddockd env` prints.
    pub(crate) fn cli_token(&self) -> PathBuf {
        self.data.join("cli-token")
    }

    /// Folder of the tokens that `paddockd env --account` prints, by account.
    pub(crate) fn cli_tokens(&self) -> PathBuf {
        self.data.join("cli-tokens")
    }
}
