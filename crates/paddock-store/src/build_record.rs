//! Records of builds: one each, a column of JSON, written with the build's end.

use std::time::Duration;

use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use paddock_core::{AppId, BuildId};
use serde_json::{Value, json};

use crate::Tx;
use crate::engine::{Column, FromRow, Row, reads, statements, values};
use crate::error::Result;

/// The form of the JSON. One that is older is read; what a later one has besides is not.
const VERSION: u64 = 1;

/// What a build used, did and made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptRecord(pub BuildRecord);

impl FromRow for KeptRecord {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("record")
    }
}

impl Column for KeptRecord {
    type Raw = String;

    fn to_raw(&self) -> String {
        let record = &self.0;
        let facts = record
            .facts
            .iter()
            .map(|fact| json!([fact.kind.as_str(), fact.name, fact.value, fact.told_by.as_str()]));
        let took = record.took.iter().map(|one| json!([one.step, one.millis, one.told_by.as_str()]));
        let reuse =
            record.reuse.iter().map(|one| json!([one.what, one.reused, one.why, one.told_by.as_str()]));
        json!({
            "version": VERSION,
            "facts": facts.collect::<Value>(),
            "took": took.collect::<Value>(),
            "reuse": reuse.collect::<Value>(),
            "left_out": record.left_out,
        })
        .to_string()
    }

    fn from_raw(raw: String) -> Option<Self> {
        let value: Value = serde_json::from_str(&raw).ok()?;
        let told_by = |value: &Value| ToldBy::parse(value.as_str()?);
        let mut record = BuildRecord::default();
        for one in value["facts"].as_array()? {
            // A kind of a later version.
            let Some(kind) = FactKind::parse(one[0].as_str()?) else { continue };
            record.note(told_by(&one[3])?, kind, one[1].as_str()?, one[2].as_str()?);
        }
        for one in value["took"].as_array()? {
            record.took(told_by(&one[2])?, one[0].as_str()?, Duration::from_millis(one[1].as_u64()?));
        }
        for one in value["reuse"].as_array()? {
            record.reuse(told_by(&one[3])?, one[0].as_str()?, one[1].as_bool()?, one[2].as_str()?);
        }
        record.left_out += value["left_out"].as_u64()?;
        Some(Self(record))
    }
}

statements! {
    OF_BUILD = "SELECT record FROM build_records WHERE app_id = $1 AND build_id = $2";
    KEEP = "INSERT INTO build_records (build_id, app_id, record) VALUES ($1, $2, $3) \
        ON CONFLICT (build_id) DO NOTHING";
}

reads! {
    /// The record of an app's build; none before it has ended, and none of one that ended before there were records.
    build_record(app_id: AppId, build_id: BuildId) -> one KeptRecord: OF_BUILD [app_id, build_id];
}

impl Tx {
    /// Keeps the record of a build. The first one stays: a release that cannot be concluded fails a build that was recorded.
    pub async fn keep_build_record(
        &mut self,
        app: AppId,
        build: BuildId,
        record: &BuildRecord,
    ) -> Result<()> {
        let record = KeptRecord(record.clone());
        self.execute(KEEP, values![build, app, record]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut record = BuildRecord::default();
        record.note(ToldBy::Server, FactKind::Stack, "host", "12 \"x\"");
        record.note(ToldBy::Build, FactKind::Tool, "node", "26");
        record.took(ToldBy::Build, "compile", Duration::from_millis(12));
        record.reuse(ToldBy::Server, "cache", true, "it was there");
        record.left_out = 3;
        let kept = KeptRecord(record);
        assert_eq!(KeptRecord::from_raw(kept.to_raw()), Some(kept));
        let later = r#"{"version":2,"facts":[["smell","a","b","server"]],"took":[],"reuse":[],"left_out":0,"more":1}"#;
        assert_eq!(KeptRecord::from_raw(later.to_owned()), Some(KeptRecord::default()));
        assert_eq!(KeptRecord::from_raw("{}".to_owned()), None);
    }
}
