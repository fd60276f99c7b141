//! What a dyno's environment is at its start, beside what the app sets: scripts of `.profile.d`.
//! Names and rules: those that Heroku's buildpacks for the same language leave.

/// The name of the script about memory and workers. Two languages of one app share it, and the last one's counts.
pub(super) const CONCURRENCY_NAME: &str = "WEB_CONCURRENCY.sh";

/// Sourced by every dyno of a Node.js app.
pub(super) const NODE: &str = r#"export PATH="$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV="${NODE_ENV:-production}"
"#;

/// Sourced by every dyno of an app of pnpm 11 and newer, which would install anew in a folder of another name than that
/// of the build.
pub(super) const PNPM: &str = r#"export pnpm_config_verify_deps_before_run="${pnpm_config_verify_deps_before_run:-warn}"
"#;

/// Sourced by every dyno of a Python app.
pub(super) const PYTHON: &str = r#"export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export PIP_DISABLE_PIP_VERSION_CHECK=1
export LIBRARY_PATH="$HOME/.heroku/python/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
export LD_LIBRARY_PATH="$HOME/.heroku/python/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LANG="${LANG:-C.UTF-8}"
export PYTHONPATH="${PYTHONPATH:-$HOME}"
"#;

/// The name of [`GUNICORN`].
pub(super) const GUNICORN_NAME: &str = "python.gunicorn.sh";
/// For gunicorn and uvicorn: only the router reaches a dyno, so its word on the client's scheme and address is believed.
pub(super) const GUNICORN: &str = r#"export FORWARDED_ALLOW_IPS='*'
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
"#;

/// Read at every start, because the dyno's size may have changed since the build. Without a limit that can be read it
/// is the smallest size.
const MEMORY: &str = r#"paddock_memory=512
for paddock_file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  if [ -r "$paddock_file" ]; then
    read -r paddock_bytes < "$paddock_file"
    case "$paddock_bytes" in
      ""|*[!0-9]*|????????????????*) ;;
      *) paddock_memory=$(( paddock_bytes / 1048576 )) ;;
    esac
    break
  fi
done
unset paddock_file paddock_bytes
"#;

/// What the app sets may be no number: then the division fails in a shell of its own.
const NODE_WORKERS: &str = r#"export MEMORY_AVAILABLE="${MEMORY_AVAILABLE-$paddock_memory}"
if [ "$MEMORY_AVAILABLE" -gt 16384 ] 2>/dev/null; then paddock_each=2048; else paddock_each=512; fi
export WEB_MEMORY="${WEB_MEMORY-$paddock_each}"
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  paddock_workers=$( (echo $(( MEMORY_AVAILABLE / WEB_MEMORY ))) 2>/dev/null )
  if [ "${paddock_workers:-0}" -lt 1 ] || [ "$paddock_workers" -gt 200 ]; then paddock_workers=1; fi
  export WEB_CONCURRENCY="$paddock_workers"
  export WEB_CONCURRENCY_SET_BY=heroku/nodejs
fi
unset paddock_memory paddock_each paddock_workers
"#;

const PYTHON_WORKERS: &str = r#"export DYNO_RAM="$paddock_memory"
if [ -z "${WEB_CONCURRENCY+set}" ]; then
  paddock_workers=$(( paddock_memory / 256 ))
  paddock_most=$(( 2 * $(nproc 2>/dev/null || echo 1) + 1 ))
  if [ "$paddock_workers" -gt "$paddock_most" ]; then paddock_workers=$paddock_most; fi
  if [ "$paddock_workers" -lt 1 ]; then paddock_workers=1; fi
  export WEB_CONCURRENCY="$paddock_workers"
  export WEB_CONCURRENCY_SET_BY=heroku/python
fi
unset paddock_memory paddock_workers paddock_most
"#;

/// Memory and workers of a Node.js app.
pub(super) fn node_concurrency() -> String {
    format!("{MEMORY}{NODE_WORKERS}")
}

/// Memory and workers of a Python app.
pub(super) fn python_concurrency() -> String {
    format!("{MEMORY}{PYTHON_WORKERS}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// What a dyno has whose limit is in `file` of its cgroup, with these variables of the app's.
    fn has(script: &str, limit: (&str, &str), config: &[(&str, &str)], names: &[&str]) -> String {
        let cgroup = tempfile::tempdir().unwrap();
        let file = cgroup.path().join(limit.0);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, limit.1).unwrap();
        let script = script.replace("/sys/fs/cgroup", &cgroup.path().display().to_string());
        let shown: String = names.iter().map(|name| format!(" ${{{name}-unset}}")).collect();
        let left = "$(compgen -v paddock_ | tr '\\n' ' ')";
        let output = Command::new("/bin/bash")
            .args(["-c", &format!("{script}echo {shown} {left}")])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(config.iter().copied())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn a_node_dyno_knows_its_memory_and_how_many_workers_fit() {
        let names = ["MEMORY_AVAILABLE", "WEB_MEMORY", "WEB_CONCURRENCY", "WEB_CONCURRENCY_SET_BY"];
        let has = |limit, config: &[_]| has(&node_concurrency(), limit, config, &names);
        let two = ("memory.max", "1073741824\n");
        assert_eq!(has(two, &[]), "1024 512 2 heroku/nodejs");
        assert_eq!(has(("memory/memory.limit_in_bytes", "536870912"), &[]), "512 512 1 heroku/nodejs");
        assert_eq!(has(("memory.max", "max"), &[]), "512 512 1 heroku/nodejs", "no limit");
        assert_eq!(
            has(("memory/memory.limit_in_bytes", "9223372036854771712"), &[]),
            "512 512 1 heroku/nodejs"
        );
        assert_eq!(has(("memory.max", "33822867456"), &[]), "32256 2048 15 heroku/nodejs");
        assert_eq!(has(two, &[("WEB_CONCURRENCY", "7")]), "1024 512 7 unset", "the app's word counts");
        assert_eq!(
            has(two, &[("WEB_MEMORY", "128"), ("MEMORY_AVAILABLE", "300")]),
            "300 128 2 heroku/nodejs"
        );
        for odd in ["0", "many", "1"] {
            assert_eq!(has(two, &[("WEB_MEMORY", odd)]), format!("1024 {odd} 1 heroku/nodejs"), "{odd}");
        }
    }

    #[test]
    fn a_python_dyno_knows_its_memory_and_how_many_workers_fit() {
        let names = ["DYNO_RAM", "WEB_CONCURRENCY", "WEB_CONCURRENCY_SET_BY"];
        let has = |limit, config: &[_]| has(&python_concurrency(), limit, config, &names);
        assert_eq!(has(("memory.max", "536870912"), &[]), "512 2 heroku/python");
        assert_eq!(has(("memory.max", "104857600"), &[]), "100 1 heroku/python");
        assert_eq!(has(("memory.max", "536870912"), &[("WEB_CONCURRENCY", "9")]), "512 9 unset");
        let cores = std::thread::available_parallelism().unwrap().get();
        let most = format!("131072 {} heroku/python", 2 * cores + 1);
        assert_eq!(has(("memory.max", "137438953472"), &[]), most);
    }

    #[test]
    fn a_python_server_believes_the_router() {
        let names = ["FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"];
        let has = |config: &[_]| has(&format!("set -f\n{GUNICORN}"), ("none", ""), config, &names);
        assert_eq!(has(&[]), "* --access-logfile -");
        assert_eq!(has(&[("GUNICORN_CMD_ARGS", "--threads 2")]), "* --threads 2");
    }
}
