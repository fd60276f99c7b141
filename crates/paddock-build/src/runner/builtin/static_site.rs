//! The buildpack of static sites: it checks `static.json` and leaves the program that serves the site, which is the
//! platform's own and no part of the slug. Names: Heroku's static buildpack.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use paddock_core::artefact::PLATFORM_PROGRAM;
use paddock_static::{CONFIGURATION, DEFAULT_ROOT};

use super::{BuiltinBuild, PLAIN, Row};
use crate::runner::screen;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// The command of the site, which Procfiles name as well.
pub(in crate::runner) const BOOT: &str = "bin/boot";

pub(super) const ROW: Row = Row {
    detect: |app| [CONFIGURATION, "index.html"].iter().any(|name| app.join(name).is_file()),
    looks_for: "Could not find 'static.json'! Please ensure it exists and is checked into Git.",
    compile,
    default_process_types: |_| BTreeMap::from([("web".to_owned(), BOOT.to_owned())]),
    ..PLAIN
};

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let site = match paddock_static::read(build.build_dir(), |name| build.config_var(name).map(str::to_owned))
    {
        Ok(site) => site,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    if !build.build_dir().join(CONFIGURATION).is_file() {
        screen::detail(&format!("There is no {CONFIGURATION}: every setting has its default"));
    }
    if site.root_name == "." {
        screen::step("Serving the whole app: every file that is not hidden can be read by everyone");
        screen::detail(&format!(
            "To serve a folder of it, write {CONFIGURATION}, e.g. {{\"root\": \"dist\"}}, or name the folder {DEFAULT_ROOT}"
        ));
    } else {
        screen::step(&format!("Serving the folder {}", site.root_name));
    }
    if !site.has_index() {
        screen::warning("There is no index.html in it: / answers 404, if no route leads elsewhere.");
    }
    for name in &site.ignored {
        screen::warning(&format!("{CONFIGURATION} has {name:?}, which means nothing here."));
    }
    if build.build_dir().join("bin").is_file() {
        screen::warning(
            "File bin exists and is not a directory: rename it, for the site's program is bin/boot.",
        );
        return Ok(false);
    }
    let boot = build.build_dir().join(BOOT);
    let write = || {
        fs::create_dir_all(build.build_dir().join("bin"))?;
        remove_any(&boot)?;
        fs::write(&boot, format!("#!/bin/sh\nexec {PLATFORM_PROGRAM} static-server /app\n"))?;
        fs::set_permissions(&boot, PermissionsExt::from_mode(0o755))
    };
    write().map_err(Stop::io("could not write bin/boot"))?;
    Ok(true)
}
