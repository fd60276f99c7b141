//! Credentials: roles that own, and the logins that act as them, which come and go.
//!
//! A rotation is control's: it adds a second login, hands its password out, waits until nobody uses the first one, and
//! revokes that.

use super::names::Identifier;
use super::roles::{self, Kind, Roles};
use super::session::Session;
use super::{Postgres, sessions};
use crate::{Credential, Random, Resource, ServerAccess, StepError};

/// The logins of a credential, and no other role that was let into it.
const LOGINS: &str = "SELECT member.rolname::text FROM pg_auth_members m JOIN pg_roles role ON role.oid = m.roleid \
    JOIN pg_roles member ON member.oid = m.member \
    WHERE role.rolname = $1 AND shobj_description(member.oid, 'pg_authid') LIKE '% login'";
const ROLE_IS_THERE: &str = "SELECT rolname::text FROM pg_roles WHERE rolname = $1";

impl Postgres {
    /// Names and secrets for a further credential of this name. They are kept before the first step. Its role has the name too, so
    /// that `GRANT … TO name` means it, as on Heroku; where no role can have it, it has one that is made up.
    pub fn new_credential(&self, name: &str, random: &mut Random<'_>) -> Credential {
        let role = Identifier::new(name)
            .map_or_else(|_| super::names::word('g', random), |name| name.bare().to_owned());
        Credential { role, logins: vec![super::names::login(random)] }
    }

    /// Makes a further credential, which may connect and nothing else; or, for any credential, the logins that are missing.
    /// Logins that are there and not named stay.
    ///
    /// # Errors
    /// The server is away.
    pub async fn put_credential(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        credential: &Credential,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let owner = Identifier::new(&credential.role)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        let roles = Roles::of(&mut session, database).await?;
        let mut sql = roles::credential(&roles, database, resource.plan, credential)?;
        if !roles.are_restricted() {
            sql += &format!("GRANT CONNECT ON DATABASE {database} TO {owner};\n");
        }
        session.run("make a credential", sql).await?;
        session.close().await;
        Ok(())
    }

    /// Takes a login away: from now on its password is refused, its sessions end, and what it made for itself is its
    /// credential's.
    ///
    /// # Errors
    /// The server is away.
    pub async fn revoke_login(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        credential: &Credential,
        user: &str,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let owner = Identifier::new(&credential.role)?;
        let user = Identifier::new(user)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        remove(&mut session, server, database, user, owner).await?;
        session.close().await;
        Ok(())
    }

    /// Removes a further credential; what it owned is the default one's.
    ///
    /// # Errors
    /// The server is away.
    pub async fn destroy_credential(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        credential: &Credential,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let heir = Identifier::new(&resource.credential.role)?;
        let owner = Identifier::new(&credential.role)?;
        if owner == heir {
            return Err(StepError::new("destroy a credential", "it is the default one"));
        }
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        for user in session.texts("look for logins", LOGINS, &[owner.bare()]).await? {
            remove(&mut session, server, database, Identifier::new(&user)?, heir).await?;
        }
        remove(&mut session, server, database, owner, heir).await?;
        session.close().await;
        Ok(())
    }

    /// Gives everything that other credentials own to the default one, and makes it their master.
    ///
    /// # Errors
    /// The server is away.
    pub async fn repair_default(&self, server: &ServerAccess, resource: &Resource) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let heir = Identifier::new(&resource.credential.role)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        let roles = Roles::of(&mut session, database).await?;
        let others: Vec<Identifier<'_>> = roles
            .only(Kind::Owner)
            .chain(roles.only(Kind::Login))
            .filter(|role| role.as_ref().map_or(true, |role| *role != heir))
            .collect::<Result<_, _>>()?;
        if !others.is_empty() {
            let list = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let mut inside = Session::database(server, database).await?;
            inside
                .run("give objects to the default credential", format!("REASSIGN OWNED BY {list} TO {heir}"))
                .await?;
            inside.close().await;
        }
        let mut grants = String::new();
        for owner in roles.only(Kind::Owner) {
            let owner = owner?;
            if owner != heir {
                grants += &format!("GRANT {owner} TO {heir} WITH ADMIN OPTION;\n");
            }
        }
        session.run("make the default credential a master of the others", grants).await?;
        session.close().await;
        Ok(())
    }
}

/// Removes a role; what it owned is the heir's.
async fn remove(
    session: &mut Session,
    server: &ServerAccess,
    database: Identifier<'_>,
    role: Identifier<'_>,
    heir: Identifier<'_>,
) -> Result<(), StepError> {
    if session.texts("look for a role", ROLE_IS_THERE, &[role.bare()]).await?.is_empty() {
        return Ok(());
    }
    session.run("refuse a login", format!("ALTER ROLE {role} NOLOGIN PASSWORD NULL")).await?;
    sessions::last_of_users(session, &[role]).await?;
    for elsewhere in roles::elsewhere_of_role(session, role).await? {
        let mut there = Session::database(server, Identifier::new(&elsewhere)?).await?;
        let mut sql = format!("DROP OWNED BY {role};\n");
        if elsewhere == database.bare() {
            sql.insert_str(0, &format!("REASSIGN OWNED BY {role} TO {heir};\n"));
        }
        there.run("give what a role owned to its heir", sql).await?;
        there.close().await;
    }
    session.run("drop a role", format!("DROP OWNED BY {role}; DROP ROLE {role}")).await
}
