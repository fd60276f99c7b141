//! A database: made, brought to its plan, emptied, dropped.

use super::names::Identifier;
use super::roles::{self, Kind, Roles};
use super::session::Session;
use super::{Postgres, fittings, sessions};
use crate::{Credential, Placement, Plan, Refusal, Resource, ServerAccess, StepError};

const IS_THERE: &str = "SELECT datname::text FROM pg_database WHERE datname = $1";

/// Connections of a database beyond its plan, for transfers.
pub(super) const FOR_TRANSFERS: u32 = 2;

/// In databases of everybody there is nothing for a tenant.
const READY: &str = "\
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
REVOKE ALL ON DATABASE template1 FROM PUBLIC;
ALTER DATABASE template1 WITH ALLOW_CONNECTIONS false;
";

/// Whether those who log in to a database are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    /// It is about to be filled: only who is admitted for that is let in.
    Closed,
}

impl Postgres {
    pub(super) async fn ready_server(&self, server: &ServerAccess) -> Result<(), StepError> {
        let mut session = Session::server(server).await?;
        session.run("close the server's own databases", READY.to_owned()).await?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn provision_database(
        &self,
        server: &ServerAccess,
        resource: &Resource,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        make(&mut session, server, resource, Door::Open).await?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn deprovision_database(
        &self,
        server: &ServerAccess,
        resource: &Resource,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        let roles = Roles::of(&mut session, database).await?;
        let mut close = String::new();
        for role in roles.all() {
            close += &format!("ALTER ROLE {} NOLOGIN;\n", role?);
        }
        session.run("let nobody log in any more", close).await?;
        drop_database(&mut session, database).await?;
        drop_roles(&mut session, server, database, &roles).await?;
        session.close().await;
        Ok(())
    }

    /// Whether [`Postgres::reset`] makes extensions of these names.
    ///
    /// # Errors
    /// One of them is not to be had: a sentence for the user.
    pub fn check_extensions(&self, names: &[String]) -> Result<(), Refusal> {
        names.iter().try_for_each(|name| super::extension::statements(name).map(drop))
    }

    /// Empties a database: `pg:reset`. What is made in it anew are the extensions of these names, `hstore` or
    /// `schema.hstore`.
    ///
    /// # Errors
    /// The server is away, or an extension cannot be made.
    pub async fn reset(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        extensions: &[String],
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let extensions = Extensions::of(extensions)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        drop_database(&mut session, database).await?;
        make(&mut session, server, resource, Door::Open).await?;
        extensions.make(server, resource).await?;
        session.close().await;
        Ok(())
    }

    /// Makes a database anew to be filled, with its further credentials, and extensions as [`Postgres::reset`] makes them: nobody
    /// gets in but who is admitted ([`Postgres::admit`]), until it is provisioned.
    ///
    /// # Errors
    /// The server is away, or an extension cannot be made.
    pub async fn empty_to_fill(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        others: &[Credential],
        extensions: &[String],
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let extensions = Extensions::of(extensions)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        drop_database(&mut session, database).await?;
        make(&mut session, server, resource, Door::Closed).await?;
        extensions.make(server, resource).await?;
        let roles = Roles::of(&mut session, database).await?;
        let mut sql = String::new();
        for credential in others {
            sql += &roles::credential(&roles, database, resource.plan, credential)?;
        }
        session.run("make the credentials of a database", sql).await?;
        session.close().await;
        Ok(())
    }
}

/// Statements for extensions that a database is to have.
struct Extensions(Vec<String>);

impl Extensions {
    fn of(names: &[String]) -> Result<Self, StepError> {
        let statements =
            names.iter().map(|name| super::extension::statements(name)).collect::<Result<_, _>>();
        statements.map(Self).map_err(|refusal| StepError::new("make extensions", refusal))
    }

    async fn make(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let owner = Identifier::new(&resource.credential.role)?;
        let mut inside = Session::database(server, Identifier::new(&resource.database)?).await?;
        // As the tenant, who may not make all of them.
        let sql = format!("SET LOCAL ROLE {owner};\n{}", self.0.concat());
        inside.run("make extensions", sql).await?;
        inside.close().await;
        Ok(())
    }
}

/// Makes what is missing of a database and its roles, and brings the rest to what it must be.
pub(super) async fn make(
    session: &mut Session,
    server: &ServerAccess,
    resource: &Resource,
    door: Door,
) -> Result<(), StepError> {
    let database = Identifier::new(&resource.database)?;
    let owner = Identifier::new(&resource.credential.role)?;
    let plan = resource.plan;
    let roles = Roles::of(session, database).await?;
    let mut sql = roles::credential(&roles, database, plan, &resource.credential)?;
    if plan.placement == Placement::Own {
        sql += &format!(
            "GRANT pg_monitor, pg_read_all_settings, pg_read_all_stats, pg_signal_backend TO {owner};\n"
        );
    }
    session.run("make the roles of a database", sql).await?;

    if session.texts("look for a database", IS_THERE, &[database.bare()]).await?.is_empty() {
        let owned_by = match plan.placement {
            // Its owner could raise its limits, and forbid the platform to connect.
            Placement::Shared => "postgres".to_owned(),
            Placement::Own => owner.to_string(),
        };
        let create = format!(
            "CREATE DATABASE {database} OWNER {owned_by} TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false"
        );
        session.run("create a database", create).await?;
    }
    let roles = Roles::of(session, database).await?;
    session.run("open a database to its roles", opened(&roles, resource, door)?).await?;

    let mut inside = Session::database(server, database).await?;
    fittings::fit(&mut inside, plan, owner).await?;
    inside.close().await;
    Ok(())
}

/// Nobody was let in before its rights were what they must be.
fn opened(roles: &Roles, resource: &Resource, door: Door) -> Result<String, StepError> {
    let database = Identifier::new(&resource.database)?;
    let mut sql = format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n");
    if door == Door::Closed {
        let owner = Identifier::new(&resource.credential.role)?;
        // Who owns the database has all of it from the beginning.
        sql += &format!(
            "GRANT CREATE, TEMPORARY ON DATABASE {database} TO {owner};\n\
             REVOKE CONNECT ON DATABASE {database} FROM {owner};\n"
        );
    } else if roles.are_restricted() {
        for role in roles.only(Kind::Restricted) {
            sql += &format!("GRANT CONNECT ON DATABASE {database} TO {};\n", role?);
        }
    } else {
        for role in roles.only(Kind::Owner) {
            sql += &format!("GRANT CONNECT ON DATABASE {database} TO {};\n", role?);
        }
        let owner = Identifier::new(&resource.credential.role)?;
        sql += &format!("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {owner};\n");
    }
    sql += &reachable(database, resource.plan);
    Ok(sql)
}

/// Lets as many in as the plan says, whatever its owner has set, who may forbid it to everybody.
pub(super) fn reachable(database: Identifier<'_>, plan: &Plan) -> String {
    format!(
        "ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true IS_TEMPLATE false CONNECTION LIMIT {};\n",
        // Each login has the plan's limit: a database whose connections are all taken can still be backed up.
        plan.connections + FOR_TRANSFERS
    )
}

async fn drop_database(session: &mut Session, database: Identifier<'_>) -> Result<(), StepError> {
    if session.texts("look for a database", IS_THERE, &[database.bare()]).await?.is_empty() {
        return Ok(());
    }
    let close = format!("ALTER DATABASE {database} WITH ALLOW_CONNECTIONS false IS_TEMPLATE false");
    session.run("close a database", close).await?;
    sessions::of_database(session, database).await?;
    session.run("drop a database", format!("DROP DATABASE {database} WITH (FORCE)")).await
}

/// The database is gone; what other tenants gave these roles is elsewhere.
async fn drop_roles(
    session: &mut Session,
    server: &ServerAccess,
    database: Identifier<'_>,
    roles: &Roles,
) -> Result<(), StepError> {
    let Some(list) = roles.list()? else { return Ok(()) };
    for other in roles::elsewhere(session, database).await? {
        let mut there = Session::database(server, Identifier::new(&other)?).await?;
        there.run("give up what roles have elsewhere", format!("DROP OWNED BY {list}")).await?;
        there.close().await;
    }
    session.run("drop the roles of a database", format!("DROP OWNED BY {list}; DROP ROLE {list}")).await
}
