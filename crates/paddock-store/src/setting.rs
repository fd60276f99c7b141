//! Settings: single values that the server itself keeps, such as its instance id.

use crate::Store;
use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::{Result, StoreError};
use paddock_core::durable;

struct Setting(String);

impl FromRow for Setting {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("value").map(Self)
    }
}

statements! {
    GET = "SELECT value FROM settings WHERE key = $1";
    INSERT = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
}

impl Store {
    /// The value of a setting.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let setting = engine::one::<Setting>(&mut *self.reader().await?, GET, values![key]).await?;
        Ok(setting.map(|Setting(value)| value))
    }

    /// The value of a setting, which becomes `value` if there is none; of several at once one wins and all get its.
    pub async fn get_or_insert_setting(&self, key: &str, value: &str) -> Result<String> {
        #[expect(clippy::disallowed_methods, reason = "the connection of a statement that has a name")]
        let mut connection = self.writer().await?;
        durable!("setting.kept", engine::execute(&mut connection, INSERT, values![key, value]).await)?;
        let setting = engine::one::<Setting>(&mut connection, GET, values![key]).await?;
        let Setting(value) =
            setting.ok_or_else(|| StoreError::Gone { noun: "setting", id: key.to_owned() })?;
        Ok(value)
    }
}
