//! The environment of Ruby programs, in the build and in dynos. Names and values: Heroku's Ruby buildpack.

use super::lock::Lock;
use super::toolchain::Toolchain;

/// Bundler's settings: they have to be the same in the build and in dynos.
pub(super) fn bundler(toolchain: &Toolchain, without: &str) -> [(&'static str, String); 6] {
    [
        ("BUNDLE_WITHOUT", without.to_owned()),
        ("BUNDLE_PATH", "vendor/bundle".to_owned()),
        ("BUNDLE_BIN", "vendor/bundle/bin".to_owned()),
        ("BUNDLE_DEPLOYMENT", "1".to_owned()),
        // Else it would fetch the Bundler that the lock file was written by, at the start of each dyno too.
        ("BUNDLER_VERSION", toolchain.bundler.clone()),
        ("BUNDLE_DISABLE_VERSION_CHECK", "true".to_owned()),
    ]
}

/// What an app has unless it says otherwise.
pub(super) fn defaults(lock: &Lock, secret_key_base: &str) -> Vec<(&'static str, String)> {
    let mut defaults = vec![
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PUMA_PERSISTENT_TIMEOUT", "95".to_owned()),
        ("MALLOC_ARENA_MAX", "2".to_owned()),
    ];
    if lock.has("rack") {
        defaults.push(("RACK_ENV", "production".to_owned()));
    }
    if lock.has("railties") {
        defaults.push(("RAILS_ENV", "production".to_owned()));
    }
    if lock.has_from("railties", 4, 1) {
        defaults.push(("SECRET_KEY_BASE", secret_key_base.to_owned()));
    }
    if lock.has_from("railties", 4, 2) {
        defaults.push(("RAILS_SERVE_STATIC_FILES", "enabled".to_owned()));
    }
    if lock.has_from("railties", 5, 0) {
        defaults.push(("RAILS_LOG_TO_STDOUT", "enabled".to_owned()));
    }
    defaults
}

/// Where programs of gems are, below the app's folder.
pub(super) fn bin_folders(abi: &str) -> [String; 3] {
    ["bin".to_owned(), "vendor/bundle/bin".to_owned(), format!("vendor/bundle/ruby/{abi}/bin")]
}

/// Where gems are looked for: the app's, then the stack's own.
pub(super) fn gem_path(root: &str, toolchain: &Toolchain) -> String {
    format!("{root}/vendor/bundle/ruby/{}:{}", toolchain.abi, toolchain.gems)
}

/// Sourced by every dyno, with `root` as the app's folder; by later buildpacks with that of the build.
pub(super) fn script(
    root: &str,
    toolchain: &Toolchain,
    without: &str,
    defaults: &[(&'static str, String)],
) -> String {
    let mut script = String::new();
    let folders = bin_folders(&toolchain.abi).map(|folder| format!("{root}/{folder}")).join(":");
    script.push_str(&format!("export PATH=\"{folders}:$PATH\"\n"));
    script.push_str(&format!("export GEM_PATH=\"{}\"\n", gem_path(root, toolchain)));
    let bundler = bundler(toolchain, without);
    for (name, value) in bundler.iter().chain(defaults) {
        script.push_str(&format!("export {name}=\"${{{name}:-{value}}}\"\n"));
    }
    script.push_str("export DISABLE_SPRING=1\n");
    script
}
