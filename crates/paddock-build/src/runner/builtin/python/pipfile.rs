//! What a `Pipfile.lock` says beside its packages.

use std::path::Path;

use serde_json::Value;

use crate::source::text;

/// The Python that it asks for; `None` when it leaves that open. Of its two fields the one with more in it counts.
pub(super) fn python(build_dir: &Path) -> Result<Option<String>, String> {
    let lock = text::read(&build_dir.join("Pipfile.lock")).map_err(|error| error.to_string())?;
    let lock: Value = serde_json::from_str(&lock).map_err(|error| {
        format!(
            "Error: Can't parse Pipfile.lock.\n\n\
             A Pipfile.lock file was found, however, it couldn't be parsed:\n{error}\n\n\
             Run 'pipenv lock' to regenerate/fix the lockfile."
        )
    })?;
    let requires = &lock["_meta"]["requires"];
    let field = |name: &str| match &requires[name] {
        Value::Null | Value::Bool(false) => None,
        Value::String(version) => Some(version.clone()),
        other => Some(other.to_string()),
    };
    Ok(field("python_full_version").or_else(|| field("python_version")))
}

/// Whether packages are folders or files of the app; also when it cannot be read.
pub(super) fn names_folders(lock: &str) -> bool {
    let Ok(lock) = serde_json::from_str::<Value>(lock) else { return true };
    let is_local = |package: &Value| {
        let is_near = |address: &Value| address.as_str().is_none_or(|address| !address.starts_with("http"));
        package.get("path").is_some() || package.get("file").is_some_and(is_near)
    };
    lock["default"].as_object().is_some_and(|packages| packages.values().any(is_local))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_python_of_a_lock_is_found() {
        let python = |lock: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("Pipfile.lock"), lock).unwrap();
            python(folder.path())
        };
        let requires = |text: &str| python(&format!("{{\"_meta\":{{\"requires\":{{{text}}}}}}}"));
        assert_eq!(requires(""), Ok(None));
        assert_eq!(python("{}"), Ok(None));
        assert_eq!(requires(r#""python_version":"3.11""#), Ok(Some("3.11".into())));
        let both = r#""python_version":"3.11","python_full_version":"3.11.2""#;
        assert_eq!(requires(both), Ok(Some("3.11.2".into())));
        assert_eq!(requires(r#""python_version":3.11"#), Ok(Some("3.11".into())));
        for bad in ["", "{", "[1,", "\u{0}"] {
            let said = python(bad).unwrap_err();
            assert!(said.starts_with("Error: Can't parse Pipfile.lock.\n"), "{said}");
        }
        assert_eq!(python("[]"), Ok(None), "nothing in it is said");
    }

    #[test]
    fn packages_of_the_app_itself_are_told_from_others() {
        let package = |text: &str| names_folders(&format!("{{\"default\":{{\"x\":{{{text}}}}}}}"));
        assert!(package(r#""editable":true,"path":".""#));
        assert!(package(r#""file":"./x.whl""#));
        assert!(!package(r#""file":"https://h/x.whl""#));
        assert!(!package(r#""version":"==1""#));
        assert!(!package(r#""git":"https://h/x","ref":"0""#));
        assert!(names_folders("{") && !names_folders("{}") && !names_folders("[]"));
    }
}
