//! What an app or the operator sets for pip, in the words of uv, which installs in its place.

use std::process::Command;

use super::super::BuiltinBuild;
use crate::runner::screen;

/// How a setting of pip's is said to uv.
enum Said {
    /// A variable with the same value.
    Variable(&'static str),
    /// A variable whose parts stand between commas rather than white space.
    Commas(&'static str),
    /// A variable with this value, if pip's is true.
    Fixed(&'static str, &'static str),
    /// An option for each of the parts, which stand between commas.
    Each(&'static str),
    /// An option, if pip's variable is true.
    Switch(&'static str),
}

/// Addresses may hold passwords: they are variables, never arguments.
static SETTINGS: [(&str, Said); 16] = [
    ("PIP_INDEX_URL", Said::Variable("UV_INDEX_URL")),
    ("PIP_EXTRA_INDEX_URL", Said::Variable("UV_EXTRA_INDEX_URL")),
    ("PIP_FIND_LINKS", Said::Commas("UV_FIND_LINKS")),
    ("PIP_NO_INDEX", Said::Switch("--no-index")),
    ("PIP_TRUSTED_HOST", Said::Variable("UV_INSECURE_HOST")),
    ("PIP_NO_BINARY", Said::Each("--no-binary")),
    ("PIP_ONLY_BINARY", Said::Each("--only-binary")),
    ("PIP_CONSTRAINT", Said::Variable("UV_CONSTRAINT")),
    ("PIP_BUILD_CONSTRAINT", Said::Variable("UV_BUILD_CONSTRAINT")),
    ("PIP_PRE", Said::Fixed("UV_PRERELEASE", "allow")),
    ("PIP_NO_DEPS", Said::Switch("--no-deps")),
    ("PIP_REQUIRE_HASHES", Said::Switch("--require-hashes")),
    ("PIP_PROXY", Said::Variable("ALL_PROXY")),
    ("PIP_TIMEOUT", Said::Variable("UV_HTTP_TIMEOUT")),
    ("PIP_DEFAULT_TIMEOUT", Said::Variable("UV_HTTP_TIMEOUT")),
    ("PIP_RETRIES", Said::Variable("UV_HTTP_RETRIES")),
];

/// Settings that change nothing of what is installed.
const WITHOUT_EFFECT: [&str; 19] = [
    "PIP_BREAK_SYSTEM_PACKAGES",
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_EXISTS_ACTION",
    "PIP_LOG",
    "PIP_NO_CACHE_DIR",
    "PIP_NO_COLOR",
    "PIP_NO_INPUT",
    "PIP_NO_WARN_SCRIPT_LOCATION",
    "PIP_PREFER_BINARY",
    "PIP_PROGRESS_BAR",
    "PIP_QUIET",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_ROOT_USER_ACTION",
    "PIP_SRC",
    "PIP_USE_PEP517",
    "PIP_VERBOSE",
    "PIP_WORKERS",
];

/// What is set for pip, by name.
pub(super) struct PipSettings {
    found: Vec<(&'static str, &'static Said, String)>,
    /// Names of what the app sets and uv has no word for.
    unknown: Vec<String>,
}

impl PipSettings {
    /// What the app sets and, where it does not, the operator.
    pub(super) fn of(build: &BuiltinBuild<'_>) -> Self {
        let config = build.build.config_vars;
        let site = &build.build.plan.site_env;
        Self::find(|name| config.get(name).or_else(|| site.get(name)).map(String::as_str), config.keys())
    }

    pub(super) fn of_operator(build: &BuiltinBuild<'_>) -> Self {
        let site = &build.build.plan.site_env;
        Self::find(|name| site.get(name).map(String::as_str), std::iter::empty())
    }

    fn find<'a>(value: impl Fn(&str) -> Option<&'a str>, names: impl Iterator<Item = &'a String>) -> Self {
        let found = SETTINGS.iter().filter_map(|(name, said)| {
            let value = value(name)?.trim();
            (!value.is_empty()).then(|| (*name, said, value.to_owned()))
        });
        let is_known =
            |name: &str| SETTINGS.iter().any(|(known, _)| *known == name) || WITHOUT_EFFECT.contains(&name);
        let unknown = names.filter(|name| name.starts_with("PIP_") && !is_known(name)).cloned();
        Self { found: found.collect(), unknown: unknown.collect() }
    }

    /// Says which there are, and never what they are.
    pub(super) fn say(&self) {
        let names: Vec<_> = self.found.iter().map(|(name, _, _)| *name).collect();
        if !names.is_empty() {
            screen::detail(&format!("with {}", names.join(", ")));
        }
        if !self.unknown.is_empty() {
            screen::warning(&format!(
                "uv installs the packages, and has nothing that {} could be passed on as.",
                self.unknown.join(", ")
            ));
        }
    }

    /// Passes them on. What the app says to uv itself counts more.
    pub(super) fn apply(&self, build: &BuiltinBuild<'_>, uv: &mut Command) {
        // pip looks at all indexes and takes the best version there is.
        if build.config_var("UV_INDEX_STRATEGY").is_none() {
            uv.env("UV_INDEX_STRATEGY", "unsafe-best-match");
        }
        let is_said = |name: &str| {
            let names: &[&str] =
                if name == "UV_INDEX_URL" { &["UV_INDEX_URL", "UV_DEFAULT_INDEX"] } else { &[name] };
            names.iter().any(|name| build.config_var(name).is_some())
        };
        for (_, said, value) in &self.found {
            match said {
                Said::Variable(name) | Said::Commas(name) | Said::Fixed(name, _) if is_said(name) => {}
                Said::Variable(name @ "UV_INDEX_URL") => {
                    // Of two that say the same, uv takes none.
                    uv.env_remove("UV_DEFAULT_INDEX").env(name, value);
                }
                Said::Variable(name) => {
                    uv.env(name, value);
                }
                Said::Commas(name) => {
                    uv.env(name, value.split_whitespace().collect::<Vec<_>>().join(","));
                }
                Said::Fixed(name, fixed) if is_true(value) => {
                    uv.env(name, fixed);
                }
                Said::Each(option) => {
                    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                    uv.args(parts.map(|part| format!("{option}={part}")));
                }
                Said::Switch(option) if is_true(value) => {
                    uv.arg(option);
                }
                Said::Fixed(..) | Said::Switch(_) => {}
            }
        }
    }

    /// What the installed packages depend on, for the key of the cache.
    pub(super) fn key(&self) -> String {
        self.found.iter().map(|(name, _, value)| format!("{name}={value}\n")).collect()
    }
}

/// What pip takes for true.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "y" | "yes" | "t" | "true" | "on")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_uv_has_no_word_for_is_named() {
        let set =
            [("PIP_EXTRA_INDEX_URL", "https://u:p@h/ b"), ("PIP_USER", "1"), ("PIP_QUIET", "1"), ("A", "b")];
        let set: BTreeMap<String, String> =
            set.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let settings = PipSettings::find(|name| set.get(name).map(String::as_str), set.keys());
        assert_eq!(settings.unknown, ["PIP_USER"]);
        assert_eq!(settings.key(), "PIP_EXTRA_INDEX_URL=https://u:p@h/ b\n");
        assert!(is_true("On") && is_true("1") && !is_true("0") && !is_true("false"));
    }
}
