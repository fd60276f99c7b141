//! Private modules: `GO_GIT_CRED__HTTPS__GITHUB__COM=user:password` is for git repositories of that host.

use std::process::Command;

use super::super::BuiltinBuild;

/// How such a variable begins.
const PREFIX: &str = "GO_GIT_CRED__";

/// Has git ask with the credentials. They are in its environment alone, never in a file or a list of arguments.
pub(super) fn apply(build: &BuiltinBuild<'_>, command: &mut Command) {
    let rules = build.build.config_vars.iter().filter_map(|(name, value)| rule(name, value));
    let mut count = 0;
    for (with_credentials, address) in rules {
        command
            .env(format!("GIT_CONFIG_KEY_{count}"), format!("url.{with_credentials}.insteadOf"))
            .env(format!("GIT_CONFIG_VALUE_{count}"), address);
        count += 1;
    }
    if count > 0 {
        command.env("GIT_CONFIG_COUNT", count.to_string());
    }
}

/// The address with credentials, and that which it stands for.
fn rule(name: &str, value: &str) -> Option<(String, String)> {
    let (scheme, host) = name.strip_prefix(PREFIX)?.split_once("__")?;
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase().replace("__", "."));
    let value = value.trim();
    // A token alone is both.
    let (user, password) = value.split_once(':').unwrap_or((value, value));
    let is_host = !host.is_empty()
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
    if user.is_empty() || !is_host || !matches!(scheme.as_str(), "http" | "https") {
        return None;
    }
    let written = |text: &str| {
        text.bytes().fold(String::new(), |written, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                written + &char::from(byte).to_string()
            }
            _ => format!("{written}%{byte:02X}"),
        })
    };
    Some((
        format!("{scheme}://{}:{}@{host}/", written(user), written(password)),
        format!("{scheme}://{host}/"),
    ))
}

#[cfg(test)]
mod tests {
    use super::rule;

    #[test]
    fn a_variable_is_for_the_host_in_its_name() {
        let rule = |name: &str, value: &str| rule(name, value).map(|(with, _)| with);
        assert_eq!(
            rule("GO_GIT_CRED__HTTPS__GITHUB__COM", "me:p@ss").as_deref(),
            Some("https://me:p%40ss@github.com/")
        );
        assert_eq!(
            rule("GO_GIT_CRED__HTTPS__GIT-LAB__X__ORG", "t0k\n").as_deref(),
            Some("https://t0k:t0k@git-lab.x.org/")
        );
        for (name, value) in [
            ("GO_GIT_CRED__SSH__A__B", "x"),
            ("GO_GIT_CRED__HTTPS__", "x"),
            ("GO_GIT_CRED__HTTPS__A", ""),
            ("GOFLAGS", "x"),
        ] {
            assert_eq!(rule(name, value), None, "{name}");
        }
    }
}
