//! The stack's own PHP: its version, its extensions, the servers beside it, and what an app asks of them.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::BuiltinBuild;
use super::super::semver::Version;
use super::constraint;
use super::project::{Project, Requirement};
use crate::runner::{screen, session};

/// Says the version, then an extension a line.
const ASK: &str = "echo PHP_VERSION, \"\\n\", implode(\"\\n\", get_loaded_extensions());";
/// How many missing things are named of one kind.
const NAMED_MAX: usize = 20;

#[derive(Debug)]
pub(super) struct Platform {
    pub(super) version: Version,
    /// As Composer names them, without `ext-`.
    extensions: BTreeSet<String>,
}

/// A web server that a command of the app starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Apache,
    Nginx,
}

/// Looks at the stack; nothing when it has no PHP, which the user has been told.
pub(super) fn look(build: &BuiltinBuild<'_>) -> Option<Platform> {
    let mut php = build.build.session.plain("php");
    php.args(["-d", "display_errors=stderr", "-r", ASK]);
    let said = match session::capture(php) {
        Ok(said) if said.status.success() => said.stdout,
        _ => {
            screen::warning(
                "This stack has no PHP: its operator has to install it, with  apt-get install php-cli php-fpm composer",
            );
            return None;
        }
    };
    let platform = parse(&String::from_utf8_lossy(&said));
    if platform.is_none() {
        screen::warning("The stack's php does not say its version: look at  php -v  on the machine.");
    }
    platform
}

fn parse(said: &str) -> Option<Platform> {
    let mut lines = said.lines();
    // `8.2.36-1+deb12u1` of some packages.
    let version = lines.next()?.split(['-', '+']).next().and_then(Version::parse)?;
    let extensions = lines.map(|name| name.trim().to_ascii_lowercase().replace(' ', "-")).collect();
    Some(Platform { version, extensions })
}

impl Platform {
    /// What the app asks for and the stack does not have, for the user.
    pub(super) fn problem(&self, project: &Project) -> Option<String> {
        self.wrong_version(&project.php(), &project.lock_file).or_else(|| self.without_extensions(project))
    }

    fn wrong_version(&self, asked: &[Requirement], lock_file: &str) -> Option<String> {
        let unmet = |one: &&Requirement| constraint::satisfies(self.version, &one.constraint) == Some(false);
        let unmet: Vec<_> = asked.iter().filter(unmet).collect();
        if unmet.is_empty() {
            return None;
        }
        let mut text =
            format!("Your app does not run on PHP {}, the one that this stack has:\n", self.version);
        for one in unmet.iter().take(NAMED_MAX) {
            text += &format!("> {} requires php {}\n", shown(&one.by), shown(&one.constraint));
        }
        let Version(major, minor, _) = self.version;
        text += &format!(
            "\nEither have the app allow it: composer require \"php:^{major}.{minor}\", composer update, commit {lock_file} and push\n\
             again; or have the operator install another PHP, or take a stack that has it: heroku stack"
        );
        Some(text)
    }

    fn without_extensions(&self, project: &Project) -> Option<String> {
        let asked = project.extensions();
        let missing: Vec<_> = asked
            .iter()
            .filter(|(name, _)| !self.extensions.contains(name.trim_start_matches("ext-")))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let mut text =
            format!("The PHP {} of this stack lacks extensions that your app requires:\n", self.version);
        let mut packages = BTreeSet::new();
        for (name, by) in missing.iter().take(NAMED_MAX) {
            let by = by.first().map(|one| shown(&one.by)).unwrap_or_default();
            text += &format!("> {} (required by {by})\n", shown(name));
            packages.extend(debian_package(name.trim_start_matches("ext-")));
        }
        text += "\nThe operator of this server installs them on the machine whose stack this is";
        if !packages.is_empty() {
            let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
            text += &format!(":\n  apt-get install {packages}");
        }
        Some(text)
    }

    /// What a server of the app's needs and the stack lacks: the command that brings it.
    pub(super) fn missing_for(&self, server: Server, path: &str) -> Option<String> {
        let is_there = |name: &str| path.split(':').any(|folder| Path::new(folder).join(name).is_file());
        let Version(major, minor, _) = self.version;
        let mut packages = Vec::new();
        if !is_there(&format!("php-fpm{major}.{minor}")) && !is_there("php-fpm") {
            packages.push(format!("php{major}.{minor}-fpm"));
        }
        match server {
            Server::Apache if !is_there("apache2") => packages.push("apache2".to_owned()),
            Server::Nginx if !is_there("nginx") => packages.push("nginx".to_owned()),
            _ => {}
        }
        let command = server.command();
        let packages = packages.join(" ");
        (!packages.is_empty()).then(|| {
            format!(
                "This stack lacks what {command} runs. The operator of this server installs it on the machine whose stack this is:\n  \
                 apt-get install {packages}"
            )
        })
    }
}

impl Server {
    pub(super) const ALL: [Self; 2] = [Self::Apache, Self::Nginx];

    /// The program that Heroku's documentation has in Procfiles.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Apache => "heroku-php-apache2",
            Self::Nginx => "heroku-php-nginx",
        }
    }
}

/// A word of others' for one line of ours.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// The Debian package of an extension; nothing for a name that is none.
fn debian_package(extension: &str) -> Option<String> {
    let package = match extension {
        "dom" | "simplexml" | "xml" | "xmlreader" | "xmlwriter" | "xsl" => "xml",
        "mysqli" | "mysqlnd" | "pdo_mysql" => "mysql",
        "pgsql" | "pdo_pgsql" => "pgsql",
        "sqlite3" | "pdo_sqlite" => "sqlite3",
        "odbc" | "pdo_odbc" => "odbc",
        "zend-opcache" => "opcache",
        "calendar" | "ctype" | "exif" | "ffi" | "fileinfo" | "ftp" | "gettext" | "iconv" | "pdo" | "phar"
        | "posix" | "shmop" | "sockets" | "sysvmsg" | "sysvsem" | "sysvshm" | "tokenizer" => "common",
        other => other,
    };
    let is_name = !package.is_empty()
        && package.len() < 40
        && package.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| format!("php-{}", package.replace('_', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_php_says_is_read() {
        let platform = parse("8.2.36-1+deb12\nCore\nZend OPcache\nPDO\n").unwrap();
        assert_eq!(platform.version, Version(8, 2, 36));
        assert!(["core", "zend-opcache", "pdo"].iter().all(|name| platform.extensions.contains(*name)));
        assert!(parse("").is_none() && parse("Warning: x").is_none());
    }

    #[test]
    fn packages_are_named_for_what_is_missing() {
        for (extension, package) in [
            ("pdo_mysql", Some("php-mysql")),
            ("gd", Some("php-gd")),
            ("xmlreader", Some("php-xml")),
            ("x; rm -rf", None),
            ("", None),
        ] {
            assert_eq!(debian_package(extension).as_deref(), package, "{extension}");
        }
        let platform = parse("8.2.1\nCore").unwrap();
        let lacks = |server| platform.missing_for(server, "/nonexistent").unwrap();
        assert!(lacks(Server::Apache).ends_with("apt-get install php8.2-fpm apache2"));
        assert!(lacks(Server::Nginx).contains("heroku-php-nginx runs."));
    }
}
