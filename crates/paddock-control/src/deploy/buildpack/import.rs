//! Archives that the operator puts in under a name: what the name means on stacks that Heroku's buildpacks know, and everywhere else
//! for a name that is none of ours.

use std::fs::File;

use paddock_core::buildpack::{BuildpackRef, BuildpackUrls};
pub use paddock_store::BuildpackArchive;

use crate::deploy::Deploy;
use crate::{Error, Result};

/// Where the operator's archive is.
#[derive(Debug)]
pub enum ImportFrom {
    /// An open file.
    File(File),
    /// An address that the server fetches from, by the outbound rule.
    Address(String),
}

/// An archive that has a name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub archive: BuildpackArchive,
    /// It was the newest of that name before.
    pub was_there: bool,
}

impl Deploy {
    /// Gives an archive a name. The next build of who names it runs it.
    ///
    /// # Errors
    /// `invalid_params` for what is no name, and for what is no archive of a buildpack.
    pub async fn import_buildpack(&self, name: &str, from: ImportFrom) -> Result<Imported> {
        let parsed = BuildpackRef::parse(name, BuildpackUrls::HttpsOnly).ok();
        let is_name = parsed.is_some_and(|one| one.registry_name() == Some(name)) && !name.contains('@');
        if !is_name {
            return Err(Error::invalid(format!(
                "{name:?} is no name of a buildpack: it has a namespace and a name, such as heroku/ruby"
            )));
        }
        let mirrored = match from {
            ImportFrom::File(file) => self.mirror.put(file).await,
            ImportFrom::Address(url) => self.mirror.fetch(&url).await,
        };
        let mirrored = mirrored.map_err(|why| Error::invalid(format!("{name} was not imported: {why}")))?;
        let mut tx = self.kernel.change_platform("import a buildpack").await?;
        let newest = tx.buildpack_archives_of(name).await?.into_iter().find(|one| one.number > 0);
        let number = match newest {
            Some(archive) if archive.digest == mirrored.digest => {
                return Ok(Imported { archive, was_there: true });
            }
            Some(archive) => archive.number + 1,
            None => 1,
        };
        let archive = BuildpackArchive {
            name: name.to_owned(),
            number,
            digest: mirrored.digest,
            size_bytes: i64::try_from(mirrored.size_bytes).unwrap_or(i64::MAX),
            created_at: self.kernel.now(),
        };
        tx.keep_buildpack_archive(&archive).await?;
        tx.commit_quietly("buildpack.imported").await?;
        Ok(Imported { archive, was_there: false })
    }

    /// Archives of named buildpacks: the operator's, and with the number 0 what was fetched last.
    pub async fn mirrored_buildpacks(&self) -> Result<Vec<BuildpackArchive>> {
        Ok(self.kernel.store.buildpack_archives().await?)
    }
}
