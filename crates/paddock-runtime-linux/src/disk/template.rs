//! Empty file systems to copy, one for each size.

use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{BLOCK_BYTES, BYTES_MIN, UNUSED_END_BYTES};
use crate::host_process::Confinement;
use paddock_files::Beside;

/// Part of a template's name: changes with how they are made, so that none of another version is copied.
const VERSION: u32 = 1;

/// What is chosen and why: no journal (nothing is to be recovered), no reserved blocks (nobody is privileged), checksums
/// of groups so that their tables need not be written (a copy stays small), all tables at the start. Named in full: the
/// machine's own defaults do not matter.
const FEATURES: &str = "none,extent,filetype,dir_index,ext_attr,sparse_super,large_file,huge_file,flex_bg,\
                        extra_isize,uninit_bg";
const EXTENDED: &str = "nodiscard,lazy_itable_init=1,packed_meta_blocks=1,root_owner=0:0";
/// One inode for this many bytes.
const BYTES_PER_INODE: &str = "16384";

/// The folder of templates and how to make one.
#[derive(Debug)]
pub(crate) struct Templates {
    folder: PathBuf,
    /// mkfs runs like this.
    confinement: Confinement,
    /// Where it is looked up.
    path: &'static str,
    making: tokio::sync::Mutex<()>,
}

impl Templates {
    /// Uses this folder.
    pub(crate) fn open(folder: PathBuf, confinement: Confinement, path: &'static str) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, confinement, path, making: tokio::sync::Mutex::default() })
    }

    /// The template of this many bytes, made now if there is none.
    pub(crate) async fn of(&self, bytes: u64) -> io::Result<PathBuf> {
        let bytes = bytes / BLOCK_BYTES * BLOCK_BYTES;
        if bytes < BYTES_MIN {
            let reason = format!("a disk of {bytes} bytes is too small: it has at least {BYTES_MIN}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let _making = self.making.lock().await;
        let template = self.folder.join(format!("ext4-{VERSION}-{bytes}"));
        if !template.exists() {
            self.make(&template, bytes).await?;
        }
        Ok(template)
    }

    /// The template appears whole under its name.
    async fn make(&self, template: &Path, bytes: u64) -> io::Result<()> {
        let fresh = Beside::write(template, [])?;
        let file = fresh.file();
        #[expect(clippy::disallowed_methods, reason = "it has not its name yet")]
        file.set_len(bytes)?;
        // mkfs is no root and may not pass the folders above: it gets the open file, and the file for that while.
        fchown(file, Some(self.confinement.uid), Some(self.confinement.uid))?;
        let made = self.run_mkfs(file.try_clone()?, bytes).await;
        fchown(file, Some(0), Some(0))?;
        made?;
        #[expect(clippy::disallowed_methods, reason = "one that is missing is made again")]
        fresh.with_mode(0o400)?.synced()?.replace()
    }

    async fn run_mkfs(&self, file: File, bytes: u64) -> io::Result<()> {
        let blocks = (bytes - UNUSED_END_BYTES) / BLOCK_BYTES;
        let mut command = self.confinement.command("mkfs.ext4");
        command
            .args(["-q", "-F", "-O", FEATURES, "-E", EXTENDED, "-m", "0", "-I", "256"])
            .args(["-b", &BLOCK_BYTES.to_string(), "-i", BYTES_PER_INODE])
            .arg("/proc/self/fd/0")
            .arg(blocks.to_string())
            .env_clear()
            .env("PATH", self.path)
            .env("MKE2FS_CONFIG", "/dev/null")
            .current_dir("/")
            .stdin(Stdio::from(file))
            .kill_on_drop(true);
        let output = command.output().await;
        let confinement = self.confinement.clone();
        let ended = tokio::task::spawn_blocking(move || confinement.end()).await.map_err(io::Error::other)?;
        let output = output?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("mkfs.ext4 ended with {}: {said}", output.status)));
        }
        ended
    }
}
