//! A database over its plan: its roles cannot log in, and one more may read and delete.
//!
//! Nothing is taken from the owner, who would give it back to himself: nobody acts as the owner. What he may have prepared runs
//! as somebody else or with his rights, so it is set aside, with a note of how it was: rights of everybody to write or create,
//! functions that run as their owner, rules of deletions, and the making of large objects, which is everybody's in PostgreSQL.

use super::names::Identifier;
use super::roles::{self, Kind, Roles};
use super::session::Session;
use super::{Postgres, database, fittings, sessions};
use crate::{Login, Resource, ServerAccess, StepError};

/// Statement by statement what is set aside, each with the one that brings it back; one transaction. The note is the comment
/// of a schema that is not the tenant's: a table of ours would be among his in every report, and his database never empty.
const SET_ASIDE: &str = "
DO $do$ DECLARE asides text[]; undos text[]; aside text; BEGIN
WITH writing AS (
  SELECT c.oid, c.oid::regclass::text AS name, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
  WHERE a.grantee = 0 AND a.privilege_type IN ('INSERT', 'UPDATE', 'TRIGGER', 'REFERENCES') AND c.relkind IN ('r', 'v', 'f', 'p', 'm')
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
), columns AS (
  SELECT c.oid::regclass::text AS name, a.privilege_type, string_agg(quote_ident(t.attname), ', ') AS columns
  FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
  WHERE a.grantee = 0 AND a.privilege_type IN ('INSERT', 'UPDATE', 'REFERENCES') AND NOT t.attisdropped
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  GROUP BY c.oid, a.privilege_type
), schemas AS (
  SELECT n.oid::regnamespace::text AS name FROM pg_namespace n, aclexplode(n.nspacl) a
  WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'
), definers AS (
  SELECT p.oid::regprocedure::text AS name FROM pg_proc p
  WHERE p.prosecdef AND p.proowner <> 10 AND p.prokind IN ('f', 'p')
), rules AS (
  SELECT quote_ident(r.rulename) AS rule, c.oid::regclass::text AS name, r.ev_enabled FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  WHERE r.ev_type = '4' AND r.ev_enabled <> 'D' AND c.relowner <> 10 AND c.relkind IN ('r', 'p')
), objects AS (
  SELECT p.oid::regprocedure::text AS name FROM pg_proc p
  WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lowrite', 'lo_truncate', 'lo_truncate64')
  AND has_function_privilege('public', p.oid, 'EXECUTE')
)
SELECT array_agg(prepared.aside), array_agg(prepared.undo) INTO asides, undos FROM (
SELECT format('REVOKE %s ON TABLE %s FROM PUBLIC', privilege_type, name) AS aside,
  format('GRANT %s ON TABLE %s TO PUBLIC', privilege_type, name) AS undo FROM writing
UNION ALL SELECT format('REVOKE %s (%s) ON TABLE %s FROM PUBLIC', privilege_type, columns, name),
  format('GRANT %s (%s) ON TABLE %s TO PUBLIC', privilege_type, columns, name) FROM columns
UNION ALL SELECT format('REVOKE CREATE ON SCHEMA %s FROM PUBLIC', name), format('GRANT CREATE ON SCHEMA %s TO PUBLIC', name) FROM schemas
UNION ALL SELECT format('ALTER ROUTINE %s SECURITY INVOKER', name), format('ALTER ROUTINE %s SECURITY DEFINER', name) FROM definers
UNION ALL SELECT format('ALTER TABLE %s DISABLE RULE %s', name, rule),
  format('ALTER TABLE %s ENABLE %s RULE %s', name, CASE ev_enabled WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' ELSE '' END, rule) FROM rules
UNION ALL SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name), format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', name) FROM objects
) prepared;
IF undos IS NOT NULL THEN
  EXECUTE format('COMMENT ON SCHEMA _heroku IS %L',
    coalesce(obj_description('_heroku'::regnamespace, 'pg_namespace'), '[]')::jsonb || to_jsonb(undos));
END IF;
FOREACH aside IN ARRAY coalesce(asides, '{}') LOOP EXECUTE aside; END LOOP;
END $do$";

/// What is gone meanwhile is not brought back.
const BRING_BACK: &str = "
DO $do$ DECLARE undo text; BEGIN
FOR undo IN SELECT jsonb_array_elements_text(coalesce(obj_description('_heroku'::regnamespace, 'pg_namespace'), '[]')::jsonb) LOOP
  BEGIN EXECUTE undo; EXCEPTION WHEN OTHERS THEN NULL; END;
END LOOP;
END $do$;
COMMENT ON SCHEMA _heroku IS NULL;
";

/// What is left to whoever may read and delete, in each schema of the tenant's.
const REMAINS: &str = "SELECT format('GRANT USAGE ON SCHEMA %1$s TO %2$I; \
    GRANT SELECT, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %1$s TO %2$I', n.oid::regnamespace, r.rolname) \
    FROM pg_namespace n, pg_roles r WHERE r.rolname = $1 AND n.nspname NOT LIKE 'pg\\_%' \
    AND n.nspname NOT IN ('information_schema', '_heroku')";

impl Postgres {
    /// Leaves reading and deleting: the sessions of all end, their passwords are refused, and `login` alone is let in, once at a
    /// time.
    ///
    /// # Errors
    /// The server is away.
    pub async fn restrict(
        &self,
        server: &ServerAccess,
        resource: &Resource,
        login: &Login,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let reader = Identifier::new(&login.user)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        let roles = Roles::of(&mut session, database).await?;
        session.run("refuse the logins of a database", shut(&roles, database)?).await?;
        let owners = roles.only(Kind::Owner).chain(roles.only(Kind::Login));
        sessions::last_of_users(&mut session, &owners.collect::<Result<Vec<_>, _>>()?).await?;
        if !roles.has(reader) {
            // Now, when nobody is left who could give it anything.
            session.run("make a reader", roles::create(reader, Kind::Restricted, database)).await?;
            sessions::last_of_database(&mut session, database).await?;
        }

        let mut inside = Session::database(server, database).await?;
        fittings::fit(&mut inside, resource.plan, Identifier::new(&resource.credential.role)?).await?;
        inside.run("set aside what is prepared", SET_ASIDE.to_owned()).await?;
        let remains = inside.texts("look for schemas", REMAINS, &[reader.bare()]).await?;
        inside.run("let somebody read and delete", remains.join(";\n")).await?;
        inside.close().await;

        let open = format!(
            "GRANT CONNECT ON DATABASE {database} TO {reader};\n\
             ALTER ROLE {reader} LOGIN BYPASSRLS CONNECTION LIMIT 1 PASSWORD '{}'",
            roles::verifier(login)
        );
        session.run("let somebody read and delete", open).await?;
        session.close().await;
        Ok(())
    }

    /// Lets everybody in again who was before, with the rights of before. The reader is gone.
    ///
    /// # Errors
    /// The server is away.
    pub async fn lift_restriction(
        &self,
        server: &ServerAccess,
        resource: &Resource,
    ) -> Result<(), StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut session = Session::server(server).await?;
        session.alone_with(database).await?;
        let roles = Roles::of(&mut session, database).await?;
        let mut logins = String::new();
        for role in roles.only(Kind::Owner).chain(roles.only(Kind::Login)) {
            logins += &format!("ALTER ROLE {} LOGIN;\n", role?);
        }
        let readers: Vec<Identifier<'_>> = roles.only(Kind::Restricted).collect::<Result<_, _>>()?;
        let shut: String = readers.iter().map(|reader| format!("ALTER ROLE {reader} NOLOGIN;\n")).collect();
        session.run("refuse a login", shut).await?;
        sessions::last_of_users(&mut session, &readers).await?;
        let mut inside = Session::database(server, database).await?;
        let mut back = BRING_BACK.to_owned();
        for reader in &readers {
            back += &format!("DROP OWNED BY {reader};\n");
        }
        inside.run("bring back what was set aside", back).await?;
        inside.close().await;
        for reader in readers {
            logins += &format!("DROP OWNED BY {reader}; DROP ROLE {reader};\n");
        }
        // All of them or none: a database without a reader is one that is not restricted.
        session.run("let the logins of a database in", logins).await?;
        database::make(&mut session, server, resource, database::Door::Open).await?;
        session.close().await;
        Ok(())
    }
}

fn shut(roles: &Roles, database: Identifier<'_>) -> Result<String, StepError> {
    let mut sql = String::new();
    for role in roles.only(Kind::Owner).chain(roles.only(Kind::Login)) {
        let role = role?;
        sql += &format!("ALTER ROLE {role} NOLOGIN;\nREVOKE ALL ON DATABASE {database} FROM {role};\n");
    }
    Ok(sql)
}
