//! What is in every database from the beginning: the schema `_heroku`, and the extension that tells of statements.
//!
//! Nothing in `_heroku` calls anything outside it and `pg_catalog`: a tenant may drop `public` with all that is in it, and make
//! functions of the same names. So the function that resets statistics, which runs as the superuser, is bound to the library
//! itself. Its extension lies in `public`: of an extension in `_heroku` the dumps would tell.

use super::names::Identifier;
use super::session::Session;
use crate::{Placement, Plan, StepError};

/// `pg:outliers --reset` of essential plans calls the second one: it resets what the caller's roles did, here.
const SCHEMA: &str = "\
CREATE SCHEMA IF NOT EXISTS _heroku;
GRANT USAGE ON SCHEMA _heroku TO PUBLIC;
CREATE OR REPLACE FUNCTION _heroku.reset_statements(oid, oid, bigint) RETURNS void
  LANGUAGE c STRICT PARALLEL SAFE AS '$libdir/pg_stat_statements', 'pg_stat_statements_reset_1_7';
REVOKE ALL ON FUNCTION _heroku.reset_statements(oid, oid, bigint) FROM PUBLIC;
CREATE OR REPLACE FUNCTION _heroku.pg_stat_statements_reset() RETURNS void
  LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT _heroku.reset_statements(role.oid, here.oid, 0) FROM pg_roles role, pg_database here
  WHERE here.datname = current_database() AND pg_has_role(session_user, role.oid, 'MEMBER')
$$;
";

/// Only where there is a `public`, and none is there: a tenant may have dropped either.
const EXTENSION_MISSING: &str = "SELECT nspname::text FROM pg_namespace WHERE nspname = 'public' \
    AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')";
const EXTENSION: &str = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public";

/// In a shared server the database is the platform's; that of a tenant is what is in it.
const OWN_PUBLIC: &str = "SELECT format('ALTER SCHEMA public OWNER TO %I', rolname) FROM pg_roles, pg_namespace \
    WHERE rolname = $1 AND nspname = 'public' AND nspowner <> pg_roles.oid";

/// The extension's own function, which resets everything of the server: the tenant's own on a server of his.
const GRANT_RESET: &str = "SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I', p.oid::regprocedure, r.rolname) \
    FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e' \
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_stat_statements', pg_roles r \
    WHERE p.proname = 'pg_stat_statements_reset' AND r.rolname = $1";

/// Puts into a database what is missing.
pub(super) async fn fit(session: &mut Session, plan: &Plan, owner: Identifier<'_>) -> Result<(), StepError> {
    session.run("make the schema _heroku", SCHEMA.to_owned()).await?;
    if plan.placement == Placement::Shared {
        let own = session.texts("look at the schema public", OWN_PUBLIC, &[owner.bare()]).await?;
        session.run("give the schema public to its tenant", own.join(";")).await?;
    }
    let missing = session.texts("look for extensions", EXTENSION_MISSING, &[]).await?;
    if !missing.is_empty() {
        // What a tenant has put in its place stays there. It is the tenant's own where it may be (`server.rs`), else the platform's.
        for sql in [format!("SET LOCAL ROLE {owner};\n{EXTENSION}"), EXTENSION.to_owned()] {
            session.try_run("make the extension pg_stat_statements", sql).await?;
        }
    }
    if plan.placement == Placement::Own {
        let grants = session.texts("look for functions", GRANT_RESET, &[owner.bare()]).await?;
        session.run("allow statistics to be reset", grants.join(";")).await?;
    }
    Ok(())
}
