//! What `pg:diagnose` looks for in a database, and what it makes of it.
//!
//! Names, limits and columns are Heroku's, as far as its public pages and its clients say them. It is the platform that looks: what
//! a tenant's own login sees of sessions depends on his plan. So each question is about the database alone, names what it
//! asks by `pg_catalog`, reads only, and is given up after a moment; what was given up is skipped, and says so.

mod questions;

use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row as _, TypeInfo as _};

use super::Postgres;
use super::names::Identifier;
use super::session::{Session, value};
use crate::{Placement, Resource, ServerAccess, StepError};

use questions::Question;

/// What a statement is given up after. For the whole of it whoever asks has a limit of their own.
const BOUNDS: &str =
    "SET default_transaction_read_only = on; SET statement_timeout = '3s'; SET lock_timeout = '1s'";

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to be done.
    Green,
    /// To be looked at some time.
    Yellow,
    /// To be looked at now.
    Red,
    /// It was not looked at, or not to the end.
    Skipped,
}

impl Verdict {
    /// As the report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
            Self::Skipped => "skipped",
        }
    }
}

/// One value of what was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A name, a statement, a size as people read it.
    Text(String),
    /// A count, an id.
    Integer(i64),
    /// A share.
    Number(f64),
}

/// One check of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// As it is printed: `Long Queries`.
    pub name: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// The columns of `rows`, in the order they are shown in.
    pub columns: Vec<String>,
    /// What was found; empty for what is green by there being nothing.
    pub rows: Vec<Vec<Cell>>,
    /// Why it was skipped.
    pub reason: Option<String>,
}

impl Check {
    fn skipped(name: &'static str, reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        Self { name, verdict: Verdict::Skipped, columns: Vec::new(), rows: Vec::new(), reason }
    }
}

impl Postgres {
    /// Looks for what is wrong with a database.
    ///
    /// # Errors
    /// The server is away.
    pub async fn diagnose(
        &self,
        server: &ServerAccess,
        resource: &Resource,
    ) -> Result<Vec<Check>, StepError> {
        let database = Identifier::new(&resource.database)?;
        let mut inside = Session::database(server, database).await?;
        inside.run("begin to look into a database", BOUNDS.to_owned()).await?;
        let mut checks = Vec::new();
        for question in questions::ALL {
            checks.push(ask(&mut inside, question, resource).await?);
        }
        inside.close().await;
        checks.extend(unmeasured(resource));
        Ok(checks)
    }
}

/// What this server measures of no database: nothing is said of it, rather than that it is well.
fn unmeasured(resource: &Resource) -> [Check; 2] {
    let (load, burst) = match resource.plan.placement {
        Placement::Shared => {
            ("Load check not supported on this plan", "CPU Burst check not supported on this plan")
        }
        Placement::Own => (
            "The load of a database is not measured on this server",
            "CPU is not lent in bursts on this server",
        ),
    };
    [Check::skipped("Load", load), Check::skipped("CPU Burst", burst)]
}

async fn ask(inside: &mut Session, question: &Question, resource: &Resource) -> Result<Check, StepError> {
    let doing = format!("look for {}", question.name);
    let limit = resource.plan.connections.to_string();
    let parameters = [limit.as_str()];
    let asked = inside.rows(&doing, question.sql, parameters.get(..question.parameters).unwrap_or_default());
    let rows = match asked.await {
        Ok(rows) => rows,
        Err(error) if given_up(&error) => {
            return Ok(Check::skipped(question.name, "It took too long to look, or something was locked"));
        }
        Err(error) => return Err(error),
    };
    check(question, &rows)
}

/// The server ended the statement, as it was told to; the connection is as good as before.
fn given_up(error: &StepError) -> bool {
    let cause = error.source.downcast_ref::<sqlx::Error>();
    let code = cause.and_then(sqlx::Error::as_database_error).and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("57014" | "55P03"))
}

/// The first column says how bad a row is, and is not shown.
fn check(question: &Question, rows: &[PgRow]) -> Result<Check, StepError> {
    let mut verdict = Verdict::Green;
    let mut found = Vec::new();
    for row in rows {
        let bad: i32 = value(row, "bad")?;
        verdict = match (bad, verdict) {
            (2.., _) => Verdict::Red,
            (1, Verdict::Green) => Verdict::Yellow,
            (_, so_far) => so_far,
        };
        let cells =
            row.columns().iter().skip(1).map(|column| cell(row, column.name(), column.type_info().name()));
        found.push(cells.collect::<Result<Vec<_>, _>>()?);
    }
    let columns =
        rows.first().map(|row| row.columns().iter().skip(1).map(|column| column.name().to_owned()).collect());
    Ok(Check {
        name: question.name,
        verdict,
        columns: columns.unwrap_or_default(),
        rows: found,
        reason: None,
    })
}

fn cell(row: &PgRow, column: &str, kind: &str) -> Result<Cell, StepError> {
    Ok(match kind {
        "INT8" => Cell::Integer(value::<Option<i64>>(row, column)?.unwrap_or_default()),
        "FLOAT8" => Cell::Number(value::<Option<f64>>(row, column)?.unwrap_or_default()),
        _ => Cell::Text(value::<Option<String>>(row, column)?.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::questions::ALL;

    #[test]
    fn what_is_asked_begins_with_how_bad_it_is_and_has_a_bound() {
        let mut names: Vec<_> = ALL.iter().map(|question| question.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for question in ALL {
            assert!(question.sql.contains(" AS bad, "), "{}", question.name);
            assert_eq!(question.sql.contains("$1"), question.parameters == 1, "{}", question.name);
        }
    }
}
