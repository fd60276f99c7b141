//! Submodules of a commit: where they lie in the tree, at which commit, and what `.gitmodules` calls their address.

use std::collections::BTreeMap;

use paddock_core::AppId;
use serde::{Deserialize, Serialize};

use super::repository::checked;
use super::{GitError, Repositories};

/// A submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submodule {
    /// Where it lies in the tree.
    pub path: String,
    pub commit: String,
}

impl Repositories {
    /// The submodules of a commit; none when it has no `.gitmodules`.
    ///
    /// # Errors
    /// When the commit does not exist or git fails.
    pub async fn submodules(&self, app: AppId, commit: &str) -> Result<Vec<Submodule>, GitError> {
        checked(commit)?;
        let path = self.create(app).await?;
        if self.output(&path, "ls-tree", &["ls-tree", "-z", commit, ".gitmodules"]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let tree = self.output(&path, "ls-tree", &["ls-tree", "-r", "-z", commit]).await?;
        // MODE SP TYPE SP OBJECT TAB PATH NUL
        let submodules = tree.split(|byte| *byte == 0).filter_map(|entry| {
            let entry = std::str::from_utf8(entry).ok()?;
            let (commit, path) = entry.strip_prefix("160000 commit ")?.split_once('\t')?;
            Some(Submodule { path: path.to_owned(), commit: commit.to_owned() })
        });
        Ok(submodules.collect())
    }

    /// The addresses that a commit's `.gitmodules` has, by path; none where git cannot read it.
    pub async fn submodule_urls(
        &self,
        app: AppId,
        commit: &str,
    ) -> Result<BTreeMap<String, String>, GitError> {
        checked(commit)?;
        let path = self.create(app).await?;
        let blob = format!("--blob={commit}:.gitmodules");
        let arguments = ["config", &blob, "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"];
        match self.text(&path, "config", &arguments).await {
            Ok(text) => Ok(urls_by_path(&text)),
            Err(GitError::Failed { .. }) => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }
}

/// KEY LF VALUE NUL, again and again; a key is `submodule.NAME.path` or `submodule.NAME.url`.
fn urls_by_path(text: &str) -> BTreeMap<String, String> {
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in text.split('\0').filter_map(|entry| entry.split_once('\n')) {
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(name, value);
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name, value);
        }
    }
    let both =
        paths.into_iter().filter_map(|(name, path)| Some((path.to_owned(), (*urls.get(name)?).to_owned())));
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::urls_by_path;

    #[test]
    fn addresses_are_found_by_path() {
        let text = "submodule.a.path\nvendor/a\0submodule.a.url\n../a.git\0submodule.b.c.url\nhttps://h/b\0submodule.b.c.path\nb\nx\0submodule.d.path\nd\0";
        let urls: Vec<_> = urls_by_path(text).into_iter().collect();
        assert_eq!(urls, [("b\nx".into(), "https://h/b".into()), ("vendor/a".into(), "../a.git".into())]);
    }
}
