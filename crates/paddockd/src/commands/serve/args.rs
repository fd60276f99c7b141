//! The command line of `paddockd serve`; all problems with it are reported together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use paddock_core::build::BuildDisk;
use paddock_core::buildpack::BuildpackUrls;
use paddock_core::dyno::DynoDisk;
use paddock_ipc::routes::Network;

use crate::backups::BackupsArgs;
use crate::database::DatabaseArgs;
use crate::egress::Egress;
use crate::log_format::LogFormat;
use crate::settings::Settings;

/// Arguments of `paddockd serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Folder that holds everything this server keeps: database, slugs, repositories, logs, keys
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Address and port for the platform and every app
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5080")]
    pub(crate) listen: SocketAddr,
    /// Answer the proxy form also on addresses other than loopback, for the official CLI on other machines
    #[arg(long)]
    pub(crate) proxy_form: bool,
    /// Network (or address) of a proxy in front of this server, such as nginx, whose X-Forwarded-For, -Proto and -Port apps
    /// are given; of all others they are replaced. May be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<String>,
    /// Domain of the platform: an app answers at NAME.DOMAIN
    #[arg(long, value_name = "NAME", default_value = "paddock.localhost")]
    pub(crate) domain: String,
    /// E-mail of the first account, made on an empty data folder [default: admin@DOMAIN]
    #[arg(long, value_name = "EMAIL")]
    pub(crate) admin_email: Option<String>,
    /// How the server's own log is written to standard error; RUST_LOG says what of it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// File with the key that secrets are sealed with, kept off this disk; made at the first start [default: DIR/keys/master]
    #[arg(long, value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// IPv4 network outside the usual ones that dynos, builds and the fetching of sources may reach, or ADDRESS:PORT for one
    /// TCP port that dynos and builds may reach, also of this machine; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow_egress: Vec<String>,
    /// Most builds at a time, of different apps
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) concurrent_builds: usize,
    /// Most that a build may write to its disk, its slug and what it keeps for the next build included, such as 500M or 4G;
    /// "none": as much as the machine has
    #[arg(long, value_name = "BYTES", default_value = "10G", value_parser = build_disk)]
    pub(crate) build_disk: BuildDisk,
    /// Most that layers of images and of Dockerfiles' steps take that nothing runs and that are kept to be used again, such as
    /// 500M or 10G
    #[arg(long, value_name = "BYTES", default_value = "10G", value_parser = disk_bytes)]
    pub(crate) layer_cache: u64,
    /// Most that the container registry of an app may hold, such as 500M or 20G
    #[arg(long, value_name = "BYTES", default_value = "20G", value_parser = disk_bytes)]
    pub(crate) registry_quota: u64,
    /// Most that a dyno may write to its disk, such as 500M or 4G; "size": by its size, 2G for Eco, Basic and
    /// Standard-1X, 4G for Standard-2X, 8G for Performance-M, 16G for Performance-L; "none": as much as the machine has
    #[arg(long, value_name = "BYTES", default_value = "size", value_parser = dyno_disk)]
    pub(crate) dyno_disk: DynoDisk,
    /// How long the web dynos of the release before go on after new ones are up: if those end within that time, the old ones
    /// serve on
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(crate) dyno_trial: u64,
    /// How much of the memory that their plans name database servers get, from 0.1 to 1
    #[arg(long, value_name = "SCALE", default_value = "1", value_parser = memory_scale)]
    pub(crate) data_memory_scale: u8,
    #[command(flatten)]
    pub(crate) backups: BackupsArgs,
    /// How long a database may hold more than its plan before only reading and deleting is left
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(..=3650))]
    pub(crate) data_storage_grace: u64,
    /// For how many hours a build takes the buildpacks of the one before without looking for newer ones
    #[arg(long, value_name = "HOURS", default_value = "0", value_parser = clap::value_parser!(u64).range(..=8760))]
    pub(crate) buildpack_age: u64,
    /// Accept buildpack URLs that are not https (closed networks, tests)
    #[arg(long)]
    pub(crate) allow_insecure_buildpack_urls: bool,
    /// Folder that builds may read, at the same path, for file:// buildpack URLs
    #[arg(long, value_name = "DIR", requires = "allow_insecure_buildpack_urls")]
    pub(crate) buildpack_folder: Option<PathBuf>,
}

/// Problems with the settings, all of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct Problems(Vec<String>);

impl ServeArgs {
    /// What they and the environment say, if nothing is wrong with it.
    pub(crate) fn check(self, env: impl Fn(&str) -> Option<String>) -> Result<Settings, Problems> {
        let mut problems = Problems(Vec::new());
        let database = problems.note(self.database.url(&env)).flatten();
        let backups = problems.note(self.backups.read(&env)).flatten();
        if !is_domain(&self.domain) {
            problems.add(format!("--domain {:?} is not a domain name, such as paddock.example", self.domain));
        }
        if self.admin_email.as_deref().is_some_and(|email| !email.contains('@')) {
            problems.add("--admin-email is not an e-mail address");
        }
        if self.concurrent_builds == 0 {
            problems.add("--concurrent-builds must be at least 1");
        }
        let mut trusted_proxies: Vec<Network> = Vec::new();
        for text in &self.trusted_proxy {
            trusted_proxies.extend(problems.note(text.parse::<Network>().map_err(|_| {
                format!("--trusted-proxy {text:?} is no network or address, such as 10.0.0.2 or 10.0.0.0/24")
            })));
        }
        let mut allow_egress: Vec<Egress> = Vec::new();
        for entry in &self.allow_egress {
            allow_egress.extend(problems.note(entry.parse::<Egress>()));
        }
        if !problems.0.is_empty() {
            return Err(problems);
        }
        Ok(Settings {
            data: self.data,
            database,
            listen: self.listen,
            proxy_form: self.proxy_form,
            trusted_proxies,
            admin_email: self.admin_email.unwrap_or_else(|| format!("admin@{}", self.domain)),
            domain: self.domain,
            master_key_file: self.master_key_file,
            allow_egress,
            concurrent_builds: self.concurrent_builds,
            build_disk: self.build_disk,
            layer_cache_bytes: self.layer_cache,
            registry_bytes: self.registry_quota,
            dyno_disk: self.dyno_disk,
            dyno_trial: Duration::from_secs(self.dyno_trial),
            data_memory_percent: self.data_memory_scale,
            backups,
            data_storage_grace: Duration::from_secs(self.data_storage_grace * 24 * 60 * 60),
            buildpack_age: Duration::from_secs(self.buildpack_age * 60 * 60),
            buildpack_urls: if self.allow_insecure_buildpack_urls {
                BuildpackUrls::Insecure
            } else {
                BuildpackUrls::HttpsOnly
            },
            buildpack_folder: self.buildpack_folder,
        })
    }
}

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    /// What is right of something; what is wrong is added.
    fn note<T>(&mut self, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.add(problem)).ok()
    }
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 200 && name.split('.').all(label)
}

/// A scale, in hundredths.
fn memory_scale(text: &str) -> Result<u8, String> {
    let wrong = || format!("{text:?} is no scale from 0.1 to 1, such as 0.25");
    let scale: f64 = text.parse().map_err(|_| wrong())?;
    let hundredths = (10..=100).find(|hundredths| f64::from(*hundredths) == (scale * 100.0).round());
    hundredths.filter(|_| (0.1..=1.0).contains(&scale)).ok_or_else(wrong)
}

fn build_disk(text: &str) -> Result<BuildDisk, String> {
    match text {
        "none" => Ok(BuildDisk::Unlimited),
        bytes => disk_bytes(bytes).map(BuildDisk::Limited),
    }
}

fn dyno_disk(text: &str) -> Result<DynoDisk, String> {
    match text {
        "size" => Ok(DynoDisk::BySize),
        "none" => Ok(DynoDisk::Unlimited),
        bytes => disk_bytes(bytes).map(DynoDisk::Same),
    }
}

/// Bytes of a disk in megabytes or gigabytes.
fn disk_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((end, 'M' | 'm')) => (&text[..end], 20),
        Some((end, 'G' | 'g')) => (&text[..end], 30),
        _ => (text, 64),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1_u64.checked_shl(shift)?));
    let range = (16 << 20)..=(1 << 44);
    bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        "say a number of megabytes or gigabytes, such as 500M or 4G; 16M is the least".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn check(arguments: &[&str]) -> Result<Settings, String> {
        let line = ["paddockd", "--data", "x"].into_iter().chain(arguments.iter().copied());
        Line::try_parse_from(line).unwrap().args.check(|_| None).map_err(|problems| problems.to_string())
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let said = check(&[
            "--domain",
            "A.b",
            "--admin-email",
            "x",
            "--concurrent-builds",
            "0",
            "--trusted-proxy",
            "y",
            "--allow-egress",
            "z",
            "--database-url",
            "mysql://x",
        ])
        .unwrap_err();
        assert_eq!(said.lines().count(), 6, "{said}");
    }

    #[test]
    fn settings_are_what_was_meant() {
        let settings =
            check(&["--domain", "a.example", "--trusted-proxy", "10.0.0.2", "--dyno-trial", "7"]).unwrap();
        assert_eq!(settings.admin_email, "admin@a.example");
        assert_eq!(settings.trusted_proxies, ["10.0.0.2".parse().unwrap()]);
        assert_eq!(settings.dyno_trial, Duration::from_secs(7));
        assert_eq!(settings.data_memory_percent, 100);
        assert_eq!(settings.buildpack_urls, BuildpackUrls::HttpsOnly);
        assert!(settings.database.is_none());
    }

    #[test]
    fn domains_are_checked() {
        assert!(is_domain("paddock.localhost") && is_domain("a") && !is_domain("A.b") && !is_domain("a..b"));
    }

    #[test]
    fn scales_of_memory_are_read() {
        assert_eq!(["1", "0.1", "0.25", ".5"].map(memory_scale), [Ok(100), Ok(10), Ok(25), Ok(50)]);
        for wrong in ["0", "0.05", "1.1", "-1", "half", "", "NaN", "1e9"] {
            assert!(memory_scale(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn disks_are_read() {
        assert_eq!(dyno_disk("size"), Ok(DynoDisk::BySize));
        assert_eq!(dyno_disk("none"), Ok(DynoDisk::Unlimited));
        assert_eq!(dyno_disk("500M"), Ok(DynoDisk::Same(500 << 20)));
        assert_eq!(dyno_disk("4g"), Ok(DynoDisk::Same(4 << 30)));
        assert_eq!(build_disk("none"), Ok(BuildDisk::Unlimited));
        assert_eq!(build_disk("10G"), Ok(BuildDisk::Limited(10 << 30)));
        assert!(build_disk("size").is_err(), "builds have no sizes");
        for bad in ["", "4", "G", "1M", "-1G", "99999999999G", "4GB", "4\u{e4}"] {
            assert!(dyno_disk(bad).is_err(), "{bad}");
        }
    }
}
