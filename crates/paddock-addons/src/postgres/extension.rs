//! Extensions that a user names.

use super::conf;
use super::names::Identifier;
use crate::Refusal;
use crate::plan::printable;

/// Where an extension lies when nobody says where: our own sessions look into `pg_catalog` alone, and would make it there.
const USUAL: &str = "public";

/// The statements that make an extension, `hstore` or `schema.hstore`.
pub(super) fn statements(text: &str) -> Result<String, Refusal> {
    let (schema, name) = text.split_once('.').unwrap_or((USUAL, text));
    let known = conf::EXTENSIONS.into_iter().chain([conf::STATEMENTS]).find(|known| *known == name);
    let Some(known) = known else {
        return Err(Refusal::new(format!(
            "The extension {} is not available. See heroku pg:extensions for those that are.",
            printable(text)
        )));
    };
    // The system's own schemas are nobody's to fill, and no dump says what is in them.
    let is_the_systems = schema.starts_with("pg_") || schema == "information_schema";
    let Some(schema) = Identifier::new(schema).ok().filter(|_| !is_the_systems) else {
        return Err(Refusal::new(format!("{} is no name of a schema for an extension.", printable(schema))));
    };
    Ok(format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};\nCREATE EXTENSION IF NOT EXISTS \"{known}\" SCHEMA {schema};\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_made() {
        assert!(
            statements("hstore")
                .unwrap()
                .ends_with("EXTENSION IF NOT EXISTS \"hstore\" SCHEMA \"public\";\n")
        );
        assert!(statements("ext.uuid-ossp").unwrap().contains("SCHEMA \"ext\""));
        for name in [
            "dblink",
            "file_fdw",
            "",
            "plpython3u",
            "hstore; DROP TABLE a",
            "a\"b.hstore",
            "Ä.hstore",
            "pg_catalog.hstore",
            "pg_temp.hstore",
            "pg_of_mine.hstore",
            "information_schema.citext",
            "_heroku.citext",
            ".hstore",
        ] {
            assert!(statements(name).is_err(), "{name}");
        }
    }
}
