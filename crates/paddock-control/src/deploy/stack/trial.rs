//! A stack is tried before it is added: a container that lies on it says what it is, and what it lacks.
//!
//! Nothing of an image is read here but what that container says of it: where its links lead, and whether its programs run
//! on this machine, is found where it matters.

use std::time::Duration;

use paddock_core::artefact::ProgramUser;
use paddock_core::{BuildId, ContainerId, LayerDigest, Tenant, durable};
use paddock_runtime::{
    ContainerSpec, ContainerState, Disk, Exit, Layer, Limits, Mount, MountSource, Network, Root,
    RuntimeError, Stdio,
};
use uuid::Uuid;

use crate::Result;
use crate::deploy::Deploy;
use crate::kernel::error::Error;
use crate::kernel::label;

/// What the first word of every dyno and of every build is.
const BASH: &str = "/bin/bash";
/// What builds need of a stack besides, and every release phase of its own.
const SHELL: &str = "/bin/sh";
const OF_BUILDS: [&str; 6] = ["cp", "curl", "git", "gzip", "tar", "timeout"];
/// Where builds see the platform's own program.
const PROGRAM: &str = "/build/paddockd";
/// The longest that it may take.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How long a container has to be seen as ended when its output has.
const END_TIME: Duration = Duration::from_secs(30);
/// Most bytes that it may say.
const SAID_BYTES_MAX: usize = 1024 * 1024;
const LIMITS: Limits = Limits { memory_bytes: 512 << 20, cpu_millicores: 100_000, cpu_weight: 100, pids: 64 };

/// Read by the bash of the stack. What is looked for are arguments; nothing else than bash itself is needed, and each line
/// begins with what it is about.
const LOOK: &str = r#"
for wanted in "$@"; do
  case "$wanted" in
    /build/*) said=$("$wanted" --version 2>&1) || echo "program ${said%%$'\n'*}" ;;
    /*) [ -x "$wanted" ] || echo "lacks $wanted" ;;
    *) type -P "$wanted" >/dev/null || echo "lacks $wanted" ;;
  esac
done
for name in passwd group; do
  [ -r "/etc/$name" ] || continue
  while IFS= read -r line || [ -n "$line" ]; do echo "$name $line"; done < "/etc/$name"
done
if [ -r /etc/os-release ]; then
  while IFS= read -r line || [ -n "$line" ]; do
    case "$line" in PRETTY_NAME=*) echo "system ${line#PRETTY_NAME=}" ;; esac
  done < /etc/os-release
fi
echo whole
"#;

/// What is to lie on the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Dynos,
    /// Builds, and dynos where there is no other image for them.
    Builds,
}

impl Purpose {
    fn wanted(self) -> Vec<&'static str> {
        match self {
            Self::Dynos => vec![SHELL],
            Self::Builds => [SHELL].into_iter().chain(OF_BUILDS).chain([PROGRAM]).collect(),
        }
    }

    /// Of a stack.
    fn image(self) -> &'static str {
        match self {
            Self::Dynos => "the image for dynos",
            Self::Builds => "the image for builds",
        }
    }
}

/// What a container said of what it lies on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    lacks: Vec<String>,
    /// The words of the platform's own program, where it does not run.
    program: Option<String>,
    /// What the system calls itself.
    pub(super) system: String,
    /// `/etc/passwd` and `/etc/group`.
    pub(super) passwd: String,
    pub(super) group: String,
    is_whole: bool,
}

impl Found {
    /// Reads the lines of [`LOOK`].
    fn read(said: &[u8]) -> Self {
        let mut found = Self::default();
        for line in String::from_utf8_lossy(said).lines() {
            let (about, rest) = line.split_once(' ').unwrap_or((line, ""));
            match about {
                "lacks" => found.lacks.push(rest.to_owned()),
                "program" => found.program = Some(rest.to_owned()),
                "system" => found.system = in_short(rest.trim_matches(['"', '\''])),
                "passwd" => found.passwd.extend([rest, "\n"]),
                "group" => found.group.extend([rest, "\n"]),
                "whole" => found.is_whole = true,
                _ => {}
            }
        }
        found
    }

    /// A sentence, where it is of no use.
    fn problem(&self, purpose: Purpose, exit: Exit) -> Option<String> {
        let image = purpose.image();
        if !self.lacks.is_empty() {
            let lacking = self.lacks.join(", ");
            return Some(match purpose {
                Purpose::Dynos => format!("In {image}, {lacking} is missing."),
                Purpose::Builds => format!(
                    "In {image}, this is missing: {lacking}. Install it there, or give builds an image of their own."
                ),
            });
        }
        if let Some(words) = &self.program {
            return Some(format!(
                "In {image}, the program of this server that runs builds does not start: {}. It was made for a newer C \
                 library than that image has.",
                in_short(words)
            ));
        }
        (!self.is_whole).then(|| match exit.out_of_memory {
            true => format!("In {image}, {BASH} ran out of memory."),
            false => {
                format!("In {image}, {BASH} ended with status {} before it had looked around.", exit.status)
            }
        })
    }
}

/// What others wrote, for a list and for a sentence.
fn in_short(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

impl Deploy {
    /// What layers are good for.
    ///
    /// # Errors
    /// `invalid_params` with a sentence on what they lack.
    pub(super) async fn try_layers(
        &self,
        tenant: Tenant,
        layers: &[LayerDigest],
        purpose: Purpose,
    ) -> Result<Found> {
        // What a kill leaves of it is found as what is left of a conversion.
        let id = BuildId::from_uuid(Uuid::now_v7());
        let _kept = self.running_containers.begin(id);
        let spec = spec(id, tenant, layers, purpose);
        let looked = self.look_around(&spec).await;
        let removed = durable!("stack.trial_removed", self.runtime.remove(spec.id).await);
        removed.map_err(|error| Error::internal("remove the container in which a stack was tried", error))?;
        let (found, exit) = match looked {
            Err(RuntimeError::Program { reason, .. }) => {
                let reason = in_short(&reason);
                let image = purpose.image();
                return Err(Error::invalid(format!("In {image}, {BASH} cannot be started: {reason}.")));
            }
            looked => looked.map_err(|error| Error::internal("try a stack", error))?,
        };
        match found.problem(purpose, exit) {
            Some(problem) => Err(Error::invalid(problem)),
            None => Ok(found),
        }
    }

    async fn look_around(&self, spec: &ContainerSpec) -> std::result::Result<(Found, Exit), RuntimeError> {
        durable!("stack.trial_started", self.runtime.start(spec.clone()).await)?;
        let mut output = self.runtime.output(spec.id, 0).await?;
        let mut said = Vec::new();
        while let Some(piece) = output.recv().await {
            if said.len() < SAID_BYTES_MAX {
                said.extend_from_slice(&piece.bytes);
                said.extend_from_slice(if piece.ends_line { b"\n" } else { b"" });
            }
        }
        let mut changes = self.kernel.wakes.output.listen();
        let ended = tokio::time::timeout(END_TIME, async {
            loop {
                let all = self.runtime.observe().await?;
                match all.iter().find(|one| one.id == spec.id).map(|one| one.state) {
                    Some(ContainerState::Exited { exit, .. }) => return Ok(exit),
                    Some(ContainerState::Running) => changes.heard(Duration::from_millis(50)).await,
                    _ => return Err(RuntimeError::host("try a stack", "what watched over it is gone")),
                }
            }
        });
        let exit =
            ended.await.unwrap_or_else(|_| Err(RuntimeError::host("try a stack", "it does not end")))?;
        Ok((Found::read(&said), exit))
    }
}

fn spec(id: BuildId, tenant: Tenant, layers: &[LayerDigest], purpose: Purpose) -> ContainerSpec {
    let program = Mount { target: PROGRAM.to_owned(), source: MountSource::Program };
    let words = [BASH, "-c", LOOK, "bash"].into_iter().chain(purpose.wanted());
    ContainerSpec {
        id: ContainerId::from_uuid(id.uuid()),
        labels: label::of_trial(id),
        hostname: "trial-1".to_owned(),
        tenant,
        root: Root::Stack,
        layers: layers.iter().cloned().map(Layer::Stored).collect(),
        mounts: if purpose == Purpose::Builds { vec![program] } else { Vec::new() },
        command: words.map(str::to_owned).collect(),
        user: ProgramUser::DYNO,
        image_user: String::new(),
        env: vec![(
            "PATH".to_owned(),
            b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_vec(),
        )],
        working_dir: "/".to_owned(),
        limits: LIMITS,
        disk: Disk::Limited(64 << 20),
        network: Network::None,
        stdio: Stdio::Output,
        time_limit: Some(TIME_MAX),
        leftover_grace: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Exit = Exit { status: 0, out_of_memory: false, killed_after_grace: false };

    #[test]
    fn what_a_container_says_is_read_line_by_line() {
        let said = b"passwd root:x:0:0:root:/root:/bin/bash\npasswd a b:x:7:7::/:\ngroup root:x:0:\n\
            system \"Debian GNU/Linux 12 (bookworm)\"\nnoise\nwhole\n";
        let found = Found::read(said);
        assert_eq!(found.passwd, "root:x:0:0:root:/root:/bin/bash\na b:x:7:7::/:\n");
        assert_eq!(
            (found.group.as_str(), found.system.as_str()),
            ("root:x:0:\n", "Debian GNU/Linux 12 (bookworm)")
        );
        assert_eq!(found.problem(Purpose::Builds, WELL), None);
    }

    #[test]
    fn what_is_missing_is_a_sentence() {
        let problem = |said: &str, purpose| Found::read(said.as_bytes()).problem(purpose, WELL).unwrap();
        let lacking = problem("lacks git\nlacks curl\nwhole\n", Purpose::Builds);
        assert!(
            lacking.starts_with("In the image for builds, this is missing: git, curl. Install"),
            "{lacking}"
        );
        let shell = problem("lacks /bin/sh\nwhole\n", Purpose::Dynos);
        assert_eq!(shell, "In the image for dynos, /bin/sh is missing.");
        let old = problem("program x: version `GLIBC_2.38' not found\nwhole\n", Purpose::Builds);
        assert!(old.contains("GLIBC_2.38") && old.contains("C library"), "{old}");
        let cut = problem("passwd root:x:0:0::/:\n", Purpose::Dynos);
        assert_eq!(cut, "In the image for dynos, /bin/bash ended with status 0 before it had looked around.");
    }
}
