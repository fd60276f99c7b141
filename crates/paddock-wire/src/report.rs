//! Reports about databases, as the host of `pg:diagnose` has them.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::time::Time;

/// Body of `POST /reports`. What else clients say of a database (its plan, what they were told of its machine) is known here.
#[derive(Clone, Deserialize)]
pub struct NewReport {
    /// The name of the app.
    pub app: String,
    /// The config var that names the database.
    pub database: String,
    /// What it says; a secret.
    pub url: String,
}

impl std::fmt::Debug for NewReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewReport")
            .field("app", &self.app)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub id: String,
    pub app: String,
    pub database: String,
    pub created_at: Time,
    pub checks: Vec<Check>,
}

/// One check of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// As it is printed.
    pub name: String,
    /// `green`, `yellow`, `red` or `skipped`.
    pub status: String,
    pub results: Results,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub enum Results {
    /// A table: objects whose keys are in the order of the columns, as clients print them.
    Rows { columns: Vec<String>, rows: Vec<Vec<Value>> },
    /// Why nothing was looked for: `{"error": "…"}`.
    Error(String),
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Error(text) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("error", text)?;
                map.end()
            }
            Self::Rows { columns, rows } => {
                let mut list = serializer.serialize_seq(Some(rows.len()))?;
                for row in rows {
                    list.serialize_element(&InOrder { columns, row })?;
                }
                list.end()
            }
        }
    }
}

struct InOrder<'a> {
    columns: &'a [String],
    row: &'a [Value],
}

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().zip(self.row))
    }
}

/// One minute of a database's machine. None is measured here, so there is never one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineSample {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_row_are_in_the_order_of_its_columns() {
        let results = Results::Rows {
            columns: vec!["pid".to_owned(), "duration".to_owned(), "bloat".to_owned()],
            rows: vec![vec![Value::Integer(7), Value::Text("00:02".to_owned()), Value::Number(1.5)]],
        };
        assert_eq!(serde_json::to_string(&results).unwrap(), r#"[{"pid":7,"duration":"00:02","bloat":1.5}]"#);
        assert_eq!(serde_json::to_string(&Results::Error("no".to_owned())).unwrap(), r#"{"error":"no"}"#);
    }
}
