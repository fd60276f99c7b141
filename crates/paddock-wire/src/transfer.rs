//! The data API's transfers: backups, restores and copies of databases, and schedules of backups.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Time;

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    pub uuid: String,
    /// Its number among those of its app.
    pub num: i64,
    /// `pg_dump` for a database, `gof3r` for a backup.
    pub from_type: &'static str,
    /// `pg_restore` for a database, `gof3r` for a backup.
    pub to_type: &'static str,
    pub from_name: String,
    /// Always null: where data is read from is nobody's to see.
    pub from_url: Option<String>,
    pub to_name: String,
    /// What names a backup in the body of a restore.
    pub to_url: Option<String>,
    /// Always empty: names of an older kind of backups.
    pub options: BTreeMap<String, String>,
    pub source_bytes: Option<i64>,
    pub processed_bytes: i64,
    /// Null until it has ended.
    pub succeeded: Option<bool>,
    pub warnings: i64,
    #[serde(serialize_with = "spaced")]
    pub created_at: Option<Time>,
    #[serde(serialize_with = "spaced")]
    pub started_at: Option<Time>,
    #[serde(serialize_with = "spaced")]
    pub finished_at: Option<Time>,
    #[serde(serialize_with = "spaced")]
    pub canceled_at: Option<Time>,
    #[serde(serialize_with = "spaced")]
    pub updated_at: Option<Time>,
    /// Always null: what is deleted is not listed.
    pub deleted_at: Option<String>,
    /// Always null: what is deleted is not listed.
    pub purged_at: Option<String>,
    /// The schedule that asked for it.
    pub schedule: Option<ScheduleRef>,
    /// What was said of it; only for who asks with `verbose=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<Vec<Log>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleRef {
    pub uuid: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    #[serde(serialize_with = "spaced")]
    pub created_at: Option<Time>,
    pub message: String,
}

/// Body of `POST /client/v11/databases/{database}/restores`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct NewRestore {
    /// The `to_url` of a backup, or an address; it may hold a signature.
    pub backup_url: String,
    /// To be there before.
    pub extensions: Option<Vec<String>>,
}

/// Body of `POST /client/v11/databases/{database}/transfers`. The URLs hold passwords.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct NewCopy {
    pub from_name: Option<String>,
    pub from_url: String,
    pub to_name: Option<String>,
    pub to_url: String,
}

/// Answer of `POST /client/v11/apps/{app}/transfers/{transfer}/actions/public-url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicUrl {
    pub url: String,
    #[serde(serialize_with = "spaced")]
    pub expires_at: Option<Time>,
}

/// Body of `POST /client/v11/databases/{database}/transfer-schedules`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewSchedule {
    /// A number, or one as text, as it was typed.
    #[serde(default, deserialize_with = "text_or_number")]
    pub hour: String,
    pub timezone: Option<String>,
    /// The config var that the database was named by.
    pub schedule_name: Option<String>,
}

/// A schedule of daily backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    pub uuid: String,
    pub name: String,
    /// Always empty: nobody is called back.
    pub callback_url: String,
    /// Every day of the week.
    pub days: Vec<&'static str>,
    pub hour: u32,
    pub timezone: String,
    pub retain_weeks: usize,
    pub retain_months: usize,
}

fn spaced<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&time.spaced()),
        None => serializer.serialize_none(),
    }
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Number(serde_json::Number),
        Nothing(()),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Text(text) => text,
        Form::Number(number) => number.to_string(),
        Form::Nothing(()) => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_comes_as_text_or_number() {
        for (hour, expected) in
            [(r#""02""#, "02"), ("2", "2"), ("2.5", "2.5"), ("-1", "-1"), ("null", ""), (r#""""#, "")]
        {
            let body: NewSchedule = serde_json::from_str(&format!(r#"{{"hour":{hour}}}"#)).unwrap();
            assert_eq!(body.hour, expected);
        }
        assert_eq!(serde_json::from_str::<NewSchedule>("{}").unwrap().hour, "");
    }

    #[test]
    fn times_are_as_the_data_api_prints_them() {
        let log = Log { created_at: Some(Time::from_unix_micros(1_000_000)), message: String::new() };
        assert!(serde_json::to_string(&log).unwrap().contains(r#""1970-01-01 00:00:01 +0000""#));
    }
}
