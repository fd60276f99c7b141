//! Extensions that a user names.

use super::conf;
use super::names::Identifier;
use crate::Refusal;
use crate::plan::printable;

/// The statements that make an extension, `hstore` or `schema.hstore`.
pub(super) fn statements(text: &str) -> Result<String, Refusal> {
    let (schema, name) = text.split_once('.').map_or((None, text), |(schema, name)| (Some(schema), name));
    let Some(known) = conf::EXTENSIONS.into_iter().find(|known| *known == name) else {
        return Err(Refusal::new(format!(
            "The extension {} is not available. See heroku pg:extensions for those that are.",
            printable(text)
        )));
    };
    let Some(schema) = schema else { return Ok(format!("CREATE EXTENSION IF NOT EXISTS \"{known}\";\n")) };
    let schema = Identifier::new(schema).map_err(|_| {
        Refusal::new(format!("{} is no name of a schema for an extension.", printable(schema)))
    })?;
    Ok(format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};\nCREATE EXTENSION IF NOT EXISTS \"{known}\" SCHEMA {schema};\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_made() {
        assert_eq!(statements("hstore").unwrap(), "CREATE EXTENSION IF NOT EXISTS \"hstore\";\n");
        assert!(statements("ext.uuid-ossp").unwrap().contains("SCHEMA \"ext\""));
        for name in
            ["dblink", "file_fdw", "", "plpython3u", "hstore; DROP TABLE a", "a\"b.hstore", "Ä.hstore"]
        {
            assert!(statements(name).is_err(), "{name}");
        }
    }
}
