//! What may not be in an app's source. Source: the checks of Heroku's buildpack.

use std::path::Path;

use super::ENVIRONMENT;

/// Before anything is installed: a place of ours that is taken, or an environment of another machine.
pub(super) fn refuse(build_dir: &Path) -> Option<String> {
    if build_dir.join(ENVIRONMENT).symlink_metadata().is_ok() {
        return Some(format!(
            "Error: Existing '{ENVIRONMENT}/' directory found.\n\n\
             This is where the Python buildpack needs to install its files. If you have committed the directory\n\
             to your Git repo, delete it. Otherwise check that an earlier buildpack or a bin/pre_compile hook\n\
             doesn't create it, and that the Python buildpack is set only once."
        ));
    }
    let name =
        [".venv", "venv"].into_iter().find(|name| build_dir.join(name).join("pyvenv.cfg").is_file())?;
    Some(format!(
        "Error: Existing '{name}/' directory found.\n\n\
         It looks like a Python virtual environment, whose files are specific to a single machine and so won't\n\
         work here. Take it out of your Git repo, and name it in your .gitignore file:\n\n  \
         git rm --cached -r {name}/\n  echo '{name}/' >> .gitignore"
    ))
}

/// Corpora for nltk, which are not fetched here.
pub(super) fn of_nltk(build_dir: &Path, has_nltk: bool) -> Option<&'static str> {
    (has_nltk && build_dir.join("nltk.txt").is_file()).then_some(
        "Warning: nltk.txt is not read by this server: no NLTK corpora are downloaded.\n\n\
         Download them in a bin/post_compile hook, and set the config var NLTK_DATA to /app/nltk_data:\n\n  \
         python -m nltk.downloader -d nltk_data $(cat nltk.txt)",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn places_that_are_taken_are_named() {
        let app = tempfile::tempdir().unwrap();
        assert_eq!(refuse(app.path()), None);
        fs::create_dir(app.path().join("venv")).unwrap();
        assert_eq!(refuse(app.path()), None, "a folder of that name alone is none");
        fs::write(app.path().join("venv/pyvenv.cfg"), "").unwrap();
        assert!(refuse(app.path()).unwrap().starts_with("Error: Existing 'venv/' directory found.\n"));
        fs::create_dir_all(app.path().join(ENVIRONMENT)).unwrap();
        assert!(refuse(app.path()).unwrap().starts_with("Error: Existing '.heroku/python/' directory"));
    }

    #[test]
    fn corpora_are_spoken_of_where_there_is_nltk() {
        let app = tempfile::tempdir().unwrap();
        assert_eq!(of_nltk(app.path(), true), None);
        fs::write(app.path().join("nltk.txt"), "punkt").unwrap();
        assert!(of_nltk(app.path(), true).unwrap().starts_with("Warning: nltk.txt is not read"));
        assert_eq!(of_nltk(app.path(), false), None);
    }
}
