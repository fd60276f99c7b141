//! ADD of an address: fetched inside, where the rules of the tenants' network hold.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use paddock_core::hex;
use sha2::{Digest, Sha256};

use super::sources::Result;
use super::task::{BUNDLED_FILE, Fetch};

/// The largest file that is fetched, in bytes, and the longest time for it, in seconds.
const BYTES_MAX: &str = "1073741824";
const SECONDS_MAX: &str = "300";
/// What a file is called whose address has no name.
const UNNAMED: &str = "__unnamed__";

/// Fetches each address into a folder of its own in the bundle.
pub(super) fn fetch(bundle: &Path, fetch: &Fetch) -> Result<()> {
    for (number, url) in fetch.urls.iter().enumerate() {
        let folder = bundle.join(format!("{BUNDLED_FILE}{number}"));
        fs::create_dir(&folder).map_err(super::put::failed(&folder))?;
        let file = folder.join(name_of(url));
        curl(url, &file, fetch).map_err(|why| format!("{url} could not be fetched: {why}"))?;
        // As Docker has it.
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).map_err(super::put::failed(&file))?;
        if let Some(wanted) = &fetch.checksum {
            let found = checksum(&file).map_err(|error| format!("{url} cannot be read: {error}"))?;
            if !wanted.eq_ignore_ascii_case(&found) {
                return Err(format!("{url} is {found}, and --checksum says {wanted}"));
            }
        }
    }
    Ok(())
}

fn curl(url: &str, file: &Path, fetch: &Fetch) -> Result<()> {
    let mut curl = Command::new("/usr/bin/curl");
    curl.env_clear().envs(&fetch.env).env("PATH", "/usr/bin:/bin").env("HOME", "/");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--max-redirs",
        "5",
        "--globoff",
        "--remote-time",
    ])
    .args(["--max-time", SECONDS_MAX, "--connect-timeout", "30", "--max-filesize", BYTES_MAX])
    .args(["--proto", "=https,http", "--proto-redir", "=https,http"])
    .arg("--output")
    .arg(file)
    .args(["--url", url]);
    let ended = curl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let ended = ended.map_err(|error| format!("curl cannot be run: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("curl failed");
    Err(last.trim().trim_start_matches("curl: ").to_owned())
}

/// The last name of its path.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default();
    let is_name = !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains('\0');
    if is_name { name.to_owned() } else { UNNAMED.to_owned() }
}

fn checksum(file: &Path) -> io::Result<String> {
    let (mut digest, mut file) = (Sha256::new(), fs::File::open(file)?);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(format!("sha256:{}", hex(&digest.finalize()))),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_what_their_address_ends_with() {
        for (url, name) in [
            ("https://example.com/a/b.tgz", "b.tgz"),
            ("https://example.com/a/b.tgz?x=/y#/z", "b.tgz"),
            ("http://example.com/", UNNAMED),
            ("http://example.com", UNNAMED),
            ("http://example.com/..", UNNAMED),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
    }
}
