//! What ran for buildpacks of apps, and the archives of named ones in the mirror of this server.

use paddock_core::buildpack_meaning::Ran;
use paddock_core::{AppId, UnixMicros};

use crate::engine::{self, Word, reads, row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// What ran for a buildpack in the last successful build of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildpackPin {
    /// The buildpack, as it was given.
    pub reference: String,
    pub ran: Ran,
    /// When it was last looked for a newer one; the next build looks where it is 0.
    pub looked_at: UnixMicros,
    /// Detection chose it, and nobody has named it since.
    pub detected: bool,
}

row!(BuildpackPin { reference, ran, looked_at, detected } optional {});

/// The archive of a named buildpack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildpackArchive {
    pub name: String,
    /// 0 for what was fetched last; else the operator's, which count from 1.
    pub number: i64,
    /// SHA-256 in hexadecimal.
    pub digest: String,
    pub size_bytes: i64,
    pub created_at: UnixMicros,
}

row!(BuildpackArchive { name, number, digest, size_bytes, created_at } optional {});

statements! {
    PINS = "SELECT * FROM buildpack_pins WHERE app_id = $1 ORDER BY reference";
    PIN = "INSERT INTO buildpack_pins (app_id, reference, ran, looked_at, detected) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (app_id, reference) DO UPDATE SET ran = excluded.ran, looked_at = excluded.looked_at, \
        detected = excluded.detected";
    LOOK_AGAIN = "UPDATE buildpack_pins SET looked_at = 0 WHERE app_id = $1";
    NAMED = "UPDATE buildpack_pins SET detected = 0 WHERE app_id = $1";
    PINNED = "SELECT DISTINCT ran AS word FROM buildpack_pins WHERE ran LIKE 'sha256:%' \
        AND app_id IN (SELECT id FROM apps WHERE server_id = $1)";
    ARCHIVES = "SELECT * FROM buildpack_archives WHERE server_id = $1 ORDER BY name, number";
    OF_NAME = "SELECT * FROM buildpack_archives WHERE server_id = $1 AND name = $2 ORDER BY number DESC";
    KEEP = "INSERT INTO buildpack_archives (server_id, name, number, digest, size_bytes, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server_id, name, number) DO UPDATE SET \
        digest = excluded.digest, size_bytes = excluded.size_bytes, created_at = excluded.created_at";
    FORGET_FETCHED = "DELETE FROM buildpack_archives WHERE server_id = $1 AND digest = $2 AND number = 0";
}

reads! {
    /// What ran for the buildpacks of an app.
    buildpack_pins(app: AppId) -> all BuildpackPin: PINS [app];
}

impl Store {
    /// The archives of all named buildpacks of this server.
    pub async fn buildpack_archives(&self) -> Result<Vec<BuildpackArchive>> {
        engine::all(&mut *self.reader().await?, ARCHIVES, values![self.server.id]).await
    }

    /// The archives of the buildpack with this name: the operator's newest first, what was fetched last.
    pub async fn buildpack_archives_of(&self, name: &str) -> Result<Vec<BuildpackArchive>> {
        engine::all(&mut *self.reader().await?, OF_NAME, values![self.server.id, name]).await
    }

    /// What archives ran in the last build of any app of this server.
    pub async fn pinned_archives(&self) -> Result<Vec<String>> {
        let words: Vec<Word> =
            engine::all(&mut *self.reader().await?, PINNED, values![self.server.id]).await?;
        Ok(words.into_iter().filter_map(|word| Some(word.0.strip_prefix("sha256:")?.to_owned())).collect())
    }
}

impl Tx {
    /// Keeps what ran for a buildpack.
    pub async fn pin_buildpack(&mut self, app: AppId, pin: &BuildpackPin) -> Result<()> {
        let values = values![app, pin.reference, pin.ran, pin.looked_at, pin.detected];
        self.execute(PIN, values).await.map(drop)
    }

    /// Has the app's next build look for newer buildpacks.
    pub async fn look_for_newer_buildpacks(&mut self, app: AppId) -> Result<()> {
        self.execute(LOOK_AGAIN, values![app]).await.map(drop)
    }

    /// The buildpacks of an app were named by somebody: none is one that detection chose, and the next build looks for newer ones.
    pub async fn name_buildpacks(&mut self, app: AppId) -> Result<()> {
        self.look_for_newer_buildpacks(app).await?;
        self.execute(NAMED, values![app]).await.map(drop)
    }

    /// The archives of the buildpack with this name, as [`Store::buildpack_archives_of`].
    pub async fn buildpack_archives_of(&mut self, name: &str) -> Result<Vec<BuildpackArchive>> {
        let values = values![self.server_id, name];
        engine::all(self.connection(), OF_NAME, values).await
    }

    /// Keeps which archive a name has.
    pub async fn keep_buildpack_archive(&mut self, archive: &BuildpackArchive) -> Result<()> {
        let BuildpackArchive { name, number, digest, size_bytes, created_at } = archive;
        let values = values![self.server_id, *name, *number, *digest, *size_bytes, *created_at];
        self.execute(KEEP, values).await.map(drop)
    }

    /// Forgets the names by which an archive was fetched.
    pub async fn forget_fetched_archive(&mut self, digest: &str) -> Result<()> {
        self.execute(FORGET_FETCHED, values![self.server_id, digest]).await.map(drop)
    }
}
