//! Moving the data of a database: dumps, checks of dumps, restores. Each is a program that runs in a container, as somebody who is
//! there for that alone.
//!
//! Who reads may read everything of the database, whichever credential owns it, and counts for no connection of the plan's. Who
//! writes acts as the owner: a dump is whatever somebody put into it, and must be able to do no more than its owner may.

use paddock_runtime::Limits;

use super::names::Identifier;
use super::roles::{self, Kind, Roles};
use super::session::Session;
use super::{Postgres, database, sessions};
use crate::{Credential, File, Login, Refusal, Resource, ServerAccess, StepError};

/// The folder that a program writes to.
pub const OUT: &str = "/out";
/// The folder that a program reads from.
pub const IN: &str = "/in";
/// The name of a dump in its folder.
pub const DUMP: &str = "dump";
/// The name of a dump's list beside it.
pub const LIST: &str = "list";
/// The name of the list of its rights beside that.
pub const RIGHTS: &str = "rights";
const AUTHORITY: &str = "/etc/postgres/authority.pem";

/// A dump is done when it can be listed.
const DUMPS: &str = r#"set -euo pipefail
"$PADDOCK_PROGRAMS/pg_dump" --format=custom --no-owner --no-publications --no-subscriptions \
  --exclude-schema=_heroku --lock-wait-timeout=600000 --no-password --file=/out/dump "$@"
"$PADDOCK_PROGRAMS/pg_restore" --list --file=/out/list /out/dump
"#;

/// Settings of a database's own that its dump would fail by, set by the connection, which counts for more: whom one acts as, and
/// what is loaded from the server's folder of plugins.
const DUMPS_WITH: &[u8] = b"-c role=none -c local_preload_libraries=";

/// All of a dump is read: one that was cut off has a whole list, and not all of its data.
const CHECKS: &str = r#"set -euo pipefail
"$PADDOCK_PROGRAMS/pg_restore" --list --file=/out/list /in/dump
"$PADDOCK_PROGRAMS/pg_restore" --file=/dev/null /in/dump
"#;

/// Statements that give things to an owner, from the entries that a dump has of them. Nothing of these is taken apart: what is here
/// is spelled as a dump spells it, and compared. What belongs to a table goes with it.
const OWNED: &str = "\
WITH known AS (SELECT unnest(string_to_array($2, E'\\n')) AS entry), here AS (
SELECT 1 AS turn, 'SCHEMA - ' || nspname AS entry, format('SCHEMA %I', nspname) AS name FROM pg_namespace
UNION ALL SELECT 2, kind || ' ' || nspname || ' ' || relname, format('%s %s', kind, oid::regclass) FROM (
  SELECT c.oid, n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' WHEN 'v' THEN 'VIEW'
    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' END AS kind
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 'S' OR NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))) relations
UNION ALL SELECT 3, CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' WHEN 'a' THEN 'AGGREGATE ' ELSE 'FUNCTION ' END
    || n.nspname || ' ' || p.proname || '(' || coalesce((SELECT string_agg(format_type(a.type, NULL), ', ' ORDER BY a.place)
      FROM unnest(p.proargtypes) WITH ORDINALITY a (type, place)), '') || ')', format('ROUTINE %s', p.oid::regprocedure)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
UNION ALL SELECT 3, CASE t.typtype WHEN 'd' THEN 'DOMAIN ' ELSE 'TYPE ' END || n.nspname || ' ' || t.typname,
    format('TYPE %s', t.oid::regtype) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.typtype IN ('d', 'e', 'r') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
UNION ALL SELECT 3, 'BLOB - ' || oid, format('LARGE OBJECT %s', oid) FROM pg_largeobject_metadata
) SELECT format('ALTER %s OWNER TO %I', here.name, r.rolname) FROM here
JOIN pg_roles r ON r.rolname = $1 JOIN known ON known.entry = here.entry || ' ' || r.rolname
GROUP BY turn, here.name, r.rolname ORDER BY turn, here.name";

/// What somebody who moves data does with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads all of it.
    Reads,
    /// Fills it.
    Writes,
}

/// Whether a dump has the rights that were given to others than the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// It has: the roles of this database will be there where it is put back.
    Kept,
    /// It may be put back into any database, of other roles.
    LeftOut,
}

/// A program for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Program and arguments; no secret.
    pub command: Vec<String>,
    /// The whole environment, with secrets.
    pub env: Vec<(String, Vec<u8>)>,
    /// Files to be read inside; no secret.
    pub files: Vec<File>,
    /// Limits of its container.
    pub limits: Limits,
}

/// What a line of `pg_restore` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint {
    /// Something is missing now that the dump has.
    Loss,
    /// Something was let go that is not data.
    Harmless,
}

/// Whether a line of `pg_restore` is about something that it could not do.
#[must_use]
pub fn complaint(line: &str) -> Option<Complaint> {
    let said = line.strip_prefix("pg_restore: error: ")?;
    // What a row brings about is data.
    let is_harmless = said.strip_prefix("could not execute query: ERROR:  ").is_some_and(|why| {
        why.starts_with("must be owner of extension ")
            // Settings that a newer PostgreSQL has.
            || why.starts_with("unrecognized configuration parameter ")
            // Policies for credentials of the dump's database.
            || (why.starts_with("role \"") && why.ends_with("\" does not exist"))
    });
    Some(if is_harmless { Complaint::Harmless } else { Complaint::Loss })
}

impl Postgres {
    /// Lets somebody in who moves data, always in the same way. Their password is the one of `login` from now on. Who owns the
    /// database may have closed it to everybody: it is open again as its plan says, as after each start of the server.
    ///
    /// # Errors
    /// The server is away.
    pub async fn admit(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
        mode: Mode,
    ) -> Result<(), StepError> {
        let name = Identifier::new(&resource.database)?;
        let owner = Identifier::new(&resource.credential.role)?;
        let user = Identifier::new(&login.user)?;
        let mut session = Session::server(server).await?;
        session.alone_with(name).await?;
        let roles = Roles::of(&mut session, name).await?;
        let mut sql = database::reachable(name, resource.plan);
        if !roles.has(user) {
            sql += &roles::create(user, Kind::Transfer, name);
        }
        sql += &format!("GRANT {owner} TO {user};\n");
        // Large objects of other credentials are read by who may act as these, and rights to their things given.
        for other in roles.only(Kind::Owner) {
            sql += &format!("GRANT {} TO {user};\n", other?);
        }
        // And those that somebody made as who he logs in as.
        for login in roles.only(Kind::Login).filter(|_| mode == Mode::Reads) {
            sql += &format!("GRANT {} TO {user};\n", login?);
        }
        sql += &match mode {
            Mode::Reads => format!("GRANT pg_read_all_data TO {user};\nALTER ROLE {user} BYPASSRLS;\n"),
            Mode::Writes => format!("ALTER ROLE {user} SET role = '{}';\n", owner.bare()),
        };
        sql += &format!(
            "GRANT CONNECT ON DATABASE {name} TO {user};\n\
             ALTER ROLE {user} LOGIN CONNECTION LIMIT {} PASSWORD '{}';\n",
            database::FOR_TRANSFERS,
            roles::verifier(login)
        );
        session.run("let somebody in who moves data", sql).await?;
        session.close().await;
        Ok(())
    }

    /// Takes down whoever moved data under this name. Nothing is left of them, and what they made is the owner's.
    ///
    /// # Errors
    /// The server is away.
    pub async fn dismiss(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        user: &str,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let owner = Identifier::new(&resource.credential.role)?;
        let user = Identifier::new(user)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        if Roles::of(&mut session, database).await?.has(user) {
            session.run("refuse a login", format!("ALTER ROLE {user} NOLOGIN")).await?;
            sessions::last_of_users(&mut session, &[user]).await?;
            let mut inside = Session::database(server, database).await?;
            let give = format!("REASSIGN OWNED BY {user} TO {owner}; DROP OWNED BY {user}; DROP ROLE {user}");
            inside.run("take down who moved data", give).await?;
            inside.close().await;
        }
        session.close().await;
        Ok(())
    }

    /// Gives a further credential what it owned: what of its database has one of these entries in the list of a dump. What
    /// is not known by these, or is not there, stays the default one's, and so does what the server refuses: why.
    ///
    /// # Errors
    /// The server is away.
    pub async fn give_to(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        credential: &Credential,
        entries: &[&str],
    ) -> Result<Vec<StepError>, StepError> {
        let database = Identifier::new(&resource.database)?;
        let owner = Identifier::new(&credential.role)?;
        let mut inside = Session::database(server, database).await?;
        let known = entries.join("\n");
        let gifts = inside.texts("look for what a credential owned", OWNED, &[owner.bare(), &known]).await?;
        let refused = inside.run_each("give a credential what it owned", gifts).await?;
        inside.close().await;
        Ok(refused)
    }

    /// What dumps a database into [`OUT`], with its list.
    ///
    /// # Errors
    /// Its version is not here.
    pub fn dump(
        &self,
        version: &str,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
        rights: Rights,
    ) -> Result<Errand, Refusal> {
        let programs = version.parse().ok().and_then(|major: u16| self.programs.get(&major));
        let programs = programs
            .ok_or_else(|| Refusal::new(format!("PostgreSQL {version} is not installed on this server.")))?;
        let mut errand = script(DUMPS, programs);
        if rights == Rights::LeftOut {
            errand.command.extend(["pg_dump", "--no-acl"].map(str::to_owned));
        }
        connect(&mut errand, server, resource, login);
        errand.env.push(("PGOPTIONS".to_owned(), DUMPS_WITH.to_vec()));
        Ok(errand)
    }

    /// What reads the whole of a dump in [`IN`] and lists it in [`OUT`]. It connects to nothing.
    ///
    /// # Errors
    /// There is no PostgreSQL here.
    pub fn check_dump(&self) -> Result<Errand, Refusal> {
        Ok(script(CHECKS, self.newest_programs()?))
    }

    /// What puts the dump in [`IN`] back, as far as the list beside it says, without rights.
    ///
    /// # Errors
    /// There is no PostgreSQL here.
    pub fn restore(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
    ) -> Result<Errand, Refusal> {
        let mut errand = self.put_back(server, resource, login, LIST)?;
        errand.command.insert(1, "--no-acl".to_owned());
        Ok(errand)
    }

    /// What gives rights again that others than the owner had, as far as the dump in [`IN`] has them, when all else is there
    /// and belongs to whom it did ([`Postgres::give_to`]).
    ///
    /// # Errors
    /// There is no PostgreSQL here.
    pub fn restore_rights(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
    ) -> Result<Errand, Refusal> {
        let mut errand = self.put_back(server, resource, login, RIGHTS)?;
        // As whoever owns what they are about.
        errand.env.push(("PGOPTIONS".to_owned(), b"-c role=none".to_vec()));
        Ok(errand)
    }

    fn put_back(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
        list: &str,
    ) -> Result<Errand, Refusal> {
        let programs = self.newest_programs()?;
        let mut errand = script("", programs);
        errand.command = [
            &format!("{programs}/pg_restore"),
            "--no-owner",
            "--no-publications",
            "--no-subscriptions",
            "--no-security-labels",
            "--no-tablespaces",
            "--no-password",
            &format!("--use-list={IN}/{list}"),
            &format!("--dbname={}", resource.database),
            &format!("{IN}/{DUMP}"),
        ]
        .map(str::to_owned)
        .to_vec();
        connect(&mut errand, server, resource, login);
        Ok(errand)
    }

    /// The newest programs that are here: they read what all others wrote.
    fn newest_programs(&self) -> Result<&str, Refusal> {
        let newest = self.programs.last_key_value().map(|(_, programs)| programs.as_str());
        newest.ok_or_else(|| Refusal::new("PostgreSQL is not installed on this server."))
    }
}

fn script(script: &str, programs: &str) -> Errand {
    let env = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("HOME", "/tmp"),
        ("PADDOCK_PROGRAMS", programs),
    ];
    Errand {
        command: ["bash", "-c", script].map(str::to_owned).to_vec(),
        env: env.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec(),
        files: Vec::new(),
        // A quarter of the weight of a dyno: apps come first.
        limits: Limits { memory_bytes: 512 << 20, cpu_millicores: 1000, cpu_weight: 25, pids: 32 },
    }
}

fn connect(errand: &mut Errand, server: &ServerAccess, resource: &Resource, login: &Login) {
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let env = [
        ("PGHOST", host.as_str()),
        ("PGPORT", &port),
        ("PGUSER", &login.user),
        ("PGPASSWORD", login.password.reveal()),
        ("PGDATABASE", &resource.database),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", AUTHORITY),
        ("PGCONNECT_TIMEOUT", "15"),
        ("PGAPPNAME", "Paddock"),
    ];
    errand.env.extend(env.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    errand.files.push(File { path: AUTHORITY.to_owned(), text: server.authority.clone() });
}

#[cfg(test)]
mod tests {
    use super::super::plans::INFO;
    use super::*;
    use crate::Secret;

    #[test]
    fn only_what_is_no_loss_is_harmless() {
        for (line, expected) in [
            (
                "pg_restore: error: could not execute query: ERROR:  must be owner of extension plpgsql",
                Some(Complaint::Harmless),
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"",
                Some(Complaint::Harmless),
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  role \"capi_anon\" does not exist",
                Some(Complaint::Harmless),
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  type \"citext\" does not exist",
                Some(Complaint::Loss),
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  extension \"postgis\" is not available",
                Some(Complaint::Loss),
            ),
            (
                "pg_restore: error: COPY failed for table \"t\": ERROR:  role \"x\" does not exist",
                Some(Complaint::Loss),
            ),
            ("pg_restore: error: could not read from input file: end of file", Some(Complaint::Loss)),
            ("pg_restore: warning: errors ignored on restore: 1", None),
            ("Command was: COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';", None),
        ] {
            assert_eq!(complaint(line), expected, "{line}");
        }
    }

    #[test]
    fn passwords_are_in_the_environment_alone() {
        let postgres = Postgres::new([(15, "/fifteen".to_owned()), (17, "/seventeen".to_owned())]);
        let server = ServerAccess {
            address: "10.1.2.3:5432".parse().unwrap(),
            password: Secret::new("of-the-superuser"),
            authority: "AUTHORITY".to_owned(),
        };
        let login = Login { user: "t123".to_owned(), password: Secret::new("sesame") };
        let credential = Credential { role: "g1".to_owned(), logins: Vec::new() };
        let resource = Resource { plan: INFO.plan(None).unwrap(), database: "d1".to_owned(), credential };
        let dump = postgres.dump("15", &server, &resource, &login, Rights::LeftOut).unwrap();
        let restore = postgres.restore(&server, &resource, &login).unwrap();
        for errand in [&dump, &restore] {
            let open = format!("{:?} {:?}", errand.command, errand.files);
            assert!(!open.contains("sesame") && !open.contains("of-the-superuser"), "{open}");
            assert!(errand.env.contains(&("PGPASSWORD".to_owned(), b"sesame".to_vec())));
        }
        assert!(
            dump.env.contains(&("PADDOCK_PROGRAMS".to_owned(), b"/fifteen".to_vec())),
            "its own version's"
        );
        assert_eq!(restore.command[0], "/seventeen/pg_restore");
        assert!(postgres.dump("16", &server, &resource, &login, Rights::Kept).is_err());
        assert!(Postgres::new([]).check_dump().is_err());
    }
}
