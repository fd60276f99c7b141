//! The roles of a database. The server itself knows whose they are, by comments that no tenant can make: so nothing is left over,
//! whatever was cut off.
//!
//! A role that owns cannot be logged in as: it has no connections. `NOLOGIN` would do the same, and `pg_user` would not
//! show it: `pg:outliers` and `pg:calls` look for their own user there.

use super::names::Identifier;
use super::scram;
use super::session::{Session, value};
use crate::{Credential, Login, Placement, Plan, StepError};

const OF_DATABASE: &str = "SELECT rolname::text AS name, split_part(shobj_description(oid, 'pg_authid'), ' ', 2) AS kind \
    FROM pg_roles WHERE split_part(shobj_description(oid, 'pg_authid'), ' ', 1) = $1 ORDER BY oid";

/// Where something of a role is, besides the server itself and its own database: rights that another tenant gave it.
const ELSEWHERE: &str = "SELECT DISTINCT d.datname::text FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid \
    JOIN pg_roles r ON r.oid = s.refobjid WHERE s.refclassid = 'pg_authid'::regclass AND d.datallowconn \
    AND split_part(shobj_description(r.oid, 'pg_authid'), ' ', 1) = $1";

const ELSEWHERE_OF_ROLE: &str = "SELECT DISTINCT d.datname::text FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid \
    JOIN pg_roles r ON r.oid = s.refobjid WHERE s.refclassid = 'pg_authid'::regclass AND d.datallowconn \
    AND r.rolname = $1";

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A credential: it owns.
    Owner,
    /// Somebody logs in as it, and acts as the credential.
    Login,
    /// Who may still read and delete.
    Restricted,
    /// Who moves the data of the database, for as long as that takes.
    Transfer,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Login => "login",
            Self::Restricted => "restricted",
            Self::Transfer => "transfer",
        }
    }
}

/// The roles of a database that are there.
#[derive(Debug, Default)]
pub(super) struct Roles(Vec<(String, Kind)>);

impl Roles {
    pub(super) async fn of(session: &mut Session, database: Identifier<'_>) -> Result<Self, StepError> {
        let rows = session.rows("look for the roles of a database", OF_DATABASE, &[database.bare()]).await?;
        let mut roles = Vec::new();
        for row in &rows {
            let kind: String = value(row, "kind")?;
            let kinds = [Kind::Owner, Kind::Login, Kind::Restricted, Kind::Transfer];
            if let Some(kind) = kinds.into_iter().find(|known| known.as_str() == kind) {
                roles.push((value(row, "name")?, kind));
            }
        }
        Ok(Self(roles))
    }

    pub(super) fn has(&self, name: Identifier<'_>) -> bool {
        self.0.iter().any(|(role, _)| role == name.bare())
    }

    /// Those of one kind.
    pub(super) fn only(&self, kind: Kind) -> impl Iterator<Item = Result<Identifier<'_>, StepError>> {
        self.0.iter().filter(move |(_, each)| *each == kind).map(|(name, _)| Identifier::new(name))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Identifier<'_>, StepError>> {
        self.0.iter().map(|(name, _)| Identifier::new(name))
    }

    pub(super) fn are_restricted(&self) -> bool {
        self.0.iter().any(|(_, kind)| *kind == Kind::Restricted)
    }

    /// For a statement that takes several.
    pub(super) fn list(&self) -> Result<Option<String>, StepError> {
        let names: Vec<String> =
            self.all().map(|name| Ok(name?.to_string())).collect::<Result<_, StepError>>()?;
        Ok((!names.is_empty()).then(|| names.join(", ")))
    }
}

/// Makes a role that is missing, together with the note of whose it is.
pub(super) fn create(name: Identifier<'_>, kind: Kind, database: Identifier<'_>) -> String {
    format!(
        "CREATE ROLE {name} NOLOGIN; COMMENT ON ROLE {name} IS '{} {}';\n",
        database.bare(),
        kind.as_str()
    )
}

/// The statements that make a credential what it must be, with its logins. One that is restricted stays so.
pub(super) fn credential(
    roles: &Roles,
    database: Identifier<'_>,
    plan: &Plan,
    credential: &Credential,
) -> Result<String, StepError> {
    let owner = Identifier::new(&credential.role)?;
    let may_login = if roles.are_restricted() { "NOLOGIN" } else { "LOGIN" };
    let mut sql = String::new();
    if !roles.has(owner) {
        sql += &create(owner, Kind::Owner, database);
    }
    sql += &format!("ALTER ROLE {owner} {may_login} CONNECTION LIMIT 0 PASSWORD NULL;\n");
    for login in &credential.logins {
        let user = Identifier::new(&login.user)?;
        if !roles.has(user) {
            sql += &create(user, Kind::Login, database);
        }
        sql += &format!(
            "GRANT {owner} TO {user};\nALTER ROLE {user} {may_login} CONNECTION LIMIT {} PASSWORD '{}';\n\
             ALTER ROLE {user} SET role = '{}';\n",
            plan.connections,
            verifier(login),
            owner.bare()
        );
        if plan.placement == Placement::Shared {
            sql += &format!("ALTER ROLE {user} SET temp_file_limit = '{}MB';\n", temporary_megabytes(plan));
        }
    }
    Ok(sql)
}

/// What the server keeps of a password: letters, digits and `$:+/=-`.
pub(super) fn verifier(login: &Login) -> String {
    let password = login.password.reveal();
    scram::verifier(password, &scram::salt(&login.user, password))
}

/// For each process of a database in a shared server.
fn temporary_megabytes(plan: &Plan) -> u64 {
    (plan.storage_bytes / 4).min(2 << 30) >> 20
}

/// Databases other than its own where the roles of a database have something.
pub(super) async fn elsewhere(
    session: &mut Session,
    database: Identifier<'_>,
) -> Result<Vec<String>, StepError> {
    session.texts("look for what roles have elsewhere", ELSEWHERE, &[database.bare()]).await
}

/// Databases where one role has something, its own among them.
pub(super) async fn elsewhere_of_role(
    session: &mut Session,
    role: Identifier<'_>,
) -> Result<Vec<String>, StepError> {
    session.texts("look for what a role has", ELSEWHERE_OF_ROLE, &[role.bare()]).await
}
