//! The app's own `settings.xml`, where Maven looks for it: taken there for the build alone, because it may hold
//! passwords and what is built is given to dynos.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use crate::runner::screen;
use crate::runner::stop::Stop;

/// Where Maven looks for it, in what it takes for the user's home: BUILD_DIR.
const PLACE: &str = ".m2/settings.xml";
const DOWNLOAD_SECONDS: u32 = 10;

/// A file that was put there, and goes when the build ends.
#[derive(Debug)]
pub(super) struct Settings {
    placed: Option<PathBuf>,
}

/// Puts it there. `None` when it cannot be had, which the user has been told.
pub(super) fn install(build: &BuiltinBuild<'_>) -> Result<Option<Settings>, Stop> {
    let place = build.build_dir().join(PLACE);
    let set = |name: &str| build.config_var(name).map(str::trim).filter(|value| !value.is_empty());
    let (path, url) = (set("MAVEN_SETTINGS_PATH"), set("MAVEN_SETTINGS_URL"));
    let at_root = build.build_dir().join("settings.xml").is_file();
    if place.is_file() {
        warn_of_existing(path.is_some(), url.is_some(), at_root);
        return Ok(Some(Settings { placed: None }));
    }
    let source = match (path, url) {
        (Some(path), _) => {
            screen::step(&format!("Using settings.xml from {path}"));
            Some(build.build_dir().join(path))
        }
        (None, Some(url)) => {
            screen::step(&format!("Using settings.xml from {}", without_secrets(url)));
            let file = build.build.home.join("maven-settings.xml");
            if let Err(error) = build.download(url, &file, "=https,http", DOWNLOAD_SECONDS) {
                refuse_download(url, &error.to_string());
                return Ok(None);
            }
            Some(file)
        }
        (None, None) if at_root => {
            screen::step("Using settings.xml from project directory");
            Some(build.build_dir().join("settings.xml"))
        }
        (None, None) => None,
    };
    let Some(source) = source else { return Ok(Some(Settings { placed: None })) };
    if !source.is_file() {
        screen::warning(&format!(
            "Error: MAVEN_SETTINGS_PATH names {}, which is no file of the app.",
            path.unwrap_or_default()
        ));
        return Ok(None);
    }
    fs::create_dir_all(place.parent().expect("it lies in a folder"))
        .and_then(|()| symlink(&source, &place))
        .map_err(Stop::io("could not place settings.xml"))?;
    Ok(Some(Settings { placed: Some(place) }))
}

impl Settings {
    pub(super) fn remove(self) -> Result<(), Stop> {
        let Some(place) = self.placed else { return Ok(()) };
        fs::remove_file(&place).map_err(Stop::io("could not remove settings.xml"))?;
        // A folder with something of the app's in it stays.
        let _ = place.parent().map(fs::remove_dir);
        Ok(())
    }
}

fn warn_of_existing(path: bool, url: bool, at_root: bool) {
    let other = match (path, url, at_root) {
        (true, _, _) => "the MAVEN_SETTINGS_PATH environment variable is set",
        (_, true, _) => "the MAVEN_SETTINGS_URL environment variable is set",
        (_, _, true) => "a settings.xml file was also found in the project directory",
        _ => return,
    };
    screen::warning(&format!(
        "Warning: Using existing settings.xml file.\n\n\
         A settings.xml file already exists at {PLACE}.\nHowever, {other},\n\
         which would normally be used as the settings.xml configuration. The\nexisting file will be used."
    ));
}

fn refuse_download(url: &str, error: &str) {
    screen::warning(&format!(
        "Error: Unable to download Maven settings.xml.\n\n\
         An error occurred while downloading the Maven settings file from:\n{}\n{}\n\n\
         Check that the URL in your MAVEN_SETTINGS_URL environment\nvariable is correct and publicly accessible. If the settings file\n\
         is not needed, you can remove the MAVEN_SETTINGS_URL environment variable\nto use default Maven settings.",
        without_secrets(url),
        error.replace(url, "…")
    ));
}

/// An address without what may be a password in it.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let start = rest[..host].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[start..])
        }
        None => Path::new(url).display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("https://a:b@h.example/s.xml?token=x", "https://h.example/s.xml"),
            ("https://h/a@b.xml", "https://h/a@b.xml"),
            ("https://u:p@w@h", "https://h"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }
}
