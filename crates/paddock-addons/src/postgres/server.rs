//! What to run for a data server.

use paddock_runtime::Limits;

use super::{Postgres, conf};
use crate::{File, Placement, Refusal, ServerOrder, ServerPlan};

/// Where the lasting volume is.
const DATA: &str = "/data";
const CONF: &str = "/etc/postgres/postgresql.conf";
const HBA: &str = "/etc/postgres/pg_hba.conf";

/// The start of a server, the same for all: what differs is in the environment. A data folder has its name once it is whole and
/// on the disk, so that a start that was cut off begins anew. The lock is inherited by the server and all its processes: while
/// one of them lives, no other server begins on its files, and what a dead one left of itself can be removed.
const START: &str = r#"set -euo pipefail
umask 077
mkdir -p "$PADDOCK_SECRETS"
printf '%s\n' "$PADDOCK_CERTIFICATE" > "$PADDOCK_SECRETS/server.crt"
printf '%s\n' "$PADDOCK_KEY" > "$PADDOCK_SECRETS/server.key"
exec 9>"$PADDOCK_DATA/lock"
flock -w 60 9 || { echo "Another server still uses these files." >&2; exit 1; }
data="$PADDOCK_DATA/$PADDOCK_VERSION"
if [ ! -d "$data" ]; then
  rm -rf "$data.new"
  printf '%s\n' "$PADDOCK_PASSWORD" > "$PADDOCK_SECRETS/password"
  "$PADDOCK_PROGRAMS/initdb" --no-sync --data-checksums --encoding=UTF8 --locale=C.UTF-8 --username=postgres \
    --auth=scram-sha-256 --pwfile="$PADDOCK_SECRETS/password" --pgdata="$data.new" > /dev/null
  rm -f "$PADDOCK_SECRETS/password"
  "$PADDOCK_PROGRAMS/initdb" --sync-only --pgdata="$data.new" > /dev/null
  mv -T "$data.new" "$data"
  sync "$PADDOCK_DATA"
fi
rm -f "$data/postmaster.pid"
if [ "$PADDOCK_PROCESS_KB" != 0 ]; then ulimit -v "$PADDOCK_PROCESS_KB"; fi
programs="$PADDOCK_PROGRAMS" conf="$PADDOCK_CONF" hba="$PADDOCK_HBA"
unset PADDOCK_PASSWORD PADDOCK_KEY PADDOCK_CERTIFICATE PADDOCK_SECRETS PADDOCK_DATA PADDOCK_VERSION PADDOCK_PROGRAMS \
  PADDOCK_PROCESS_KB PADDOCK_CONF PADDOCK_HBA
exec "$programs/postgres" -D "$data" -c config_file="$conf" -c hba_file="$hba"
"#;

impl Postgres {
    pub(super) fn server_plan(&self, order: &ServerOrder) -> Result<ServerPlan, Refusal> {
        let programs = order.version.parse().ok().and_then(|major: u16| self.programs.get(&major));
        let programs = programs.ok_or_else(|| {
            Refusal::new(format!("PostgreSQL {} is not installed on this server.", order.version))
        })?;
        let process_kb = match order.placement() {
            Placement::Shared => conf::process_bytes(order.memory_bytes) / 1024,
            Placement::Own => 0,
        };
        let env = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", DATA),
            ("PADDOCK_PROGRAMS", programs),
            ("PADDOCK_VERSION", &order.version),
            ("PADDOCK_DATA", DATA),
            ("PADDOCK_SECRETS", conf::SECRETS),
            ("PADDOCK_CONF", CONF),
            ("PADDOCK_HBA", HBA),
            ("PADDOCK_PROCESS_KB", &process_kb.to_string()),
            ("PADDOCK_PASSWORD", order.password.reveal()),
            ("PADDOCK_CERTIFICATE", &order.certificate.chain),
            ("PADDOCK_KEY", order.certificate.key.reveal()),
        ];
        Ok(ServerPlan {
            command: ["bash", "-c", START].map(str::to_owned).to_vec(),
            files: [
                File { path: CONF.to_owned(), text: conf::text(order) },
                File { path: HBA.to_owned(), text: conf::hba(order.platform) },
            ]
            .into_iter()
            .chain(statements_for_tenants(programs, &order.version))
            .collect(),
            env: env.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec(),
            limits: limits(order),
            data: DATA,
            port: conf::PORT,
        })
    }
}

/// What Debian says of the extension that tells of statements, but for one word: whoever may create in a database may create it.
/// So it is the tenant's, who can comment on it, as dumps do, drop it and make it again. None where programs are elsewhere.
fn statements_for_tenants(programs: &str, version: &str) -> Option<File> {
    let folder = programs.strip_prefix("/usr/lib/postgresql/")?;
    let latest = match version {
        "15" => "1.10",
        "17" => "1.11",
        _ => return None,
    };
    let name = conf::STATEMENTS;
    (folder == format!("{version}/bin")).then(|| File {
        path: format!("/usr/share/postgresql/{version}/extension/{name}.control"),
        text: format!(
            "comment = 'track planning and execution statistics of all SQL statements executed'\n\
             default_version = '{latest}'\nmodule_pathname = '$libdir/{name}'\nrelocatable = true\ntrusted = true\n"
        ),
    })
}

fn limits(order: &ServerOrder) -> Limits {
    let cpu_millicores =
        order.plan.map_or(order.machine_millicores, |plan| plan.cpu_millicores.min(order.machine_millicores));
    Limits {
        memory_bytes: order.memory_bytes,
        cpu_millicores,
        // Weighed like so many dynos: a server that waits makes all wait.
        cpu_weight: 400,
        pids: conf::connections(order) + 100,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plans::INFO;
    use super::*;
    use crate::{Certificate, Secret};

    fn order(plan: Option<&str>) -> ServerOrder {
        ServerOrder {
            version: "15".to_owned(),
            plan: plan.map(|name| INFO.plan(Some(name)).unwrap()),
            memory_bytes: 1 << 30,
            machine_millicores: 1500,
            platform: "10.1.2.3".parse().unwrap(),
            password: Secret::new("sesame"),
            certificate: Certificate { chain: "CHAIN".to_owned(), key: Secret::new("KEY") },
        }
    }

    fn plan(name: Option<&str>) -> ServerPlan {
        Postgres::new([(15, "/fifteen".to_owned())]).server_plan(&order(name)).unwrap()
    }

    #[test]
    fn secrets_are_in_the_environment_alone() {
        for plan in [plan(None), plan(Some("standard-0"))] {
            let open = format!("{:?} {:?}", plan.command, plan.files);
            assert!(!open.contains("sesame") && !open.contains("KEY\n") && !open.contains("CHAIN"), "{open}");
            assert!(plan.env.contains(&("PADDOCK_PASSWORD".to_owned(), b"sesame".to_vec())));
        }
    }

    #[test]
    fn a_server_of_its_own_has_what_its_plan_says_and_the_machine_has() {
        assert_eq!(plan(Some("standard-0")).limits.cpu_millicores, 1500);
        assert_eq!(plan(Some("standard-0")).limits.memory_bytes, 1 << 30);
        let mut big = order(Some("standard-0"));
        big.machine_millicores = 64_000;
        assert_eq!(limits(&big).cpu_millicores, 2000);
    }

    /// Where this machine has it: our words are Debian's, and one more.
    #[test]
    fn the_extension_of_statements_is_debians() {
        let theirs = "/usr/share/postgresql/15/extension/pg_stat_statements.control";
        let ours = statements_for_tenants("/usr/lib/postgresql/15/bin", "15").unwrap();
        assert_eq!(ours.path, theirs);
        let Ok(theirs) = std::fs::read_to_string(theirs) else { return };
        let theirs: Vec<_> = theirs.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(ours.text.lines().collect::<Vec<_>>(), [&theirs[..], &["trusted = true"]].concat());
        assert!(statements_for_tenants("/opt/postgres/bin", "15").is_none());
    }

    #[test]
    fn a_version_that_is_not_here_is_refused() {
        let postgres = Postgres::new([(17, "/seventeen".to_owned())]);
        assert!(postgres.server_plan(&order(None)).is_err());
    }
}
