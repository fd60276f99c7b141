//! Events: each change that somebody may want to have seen, numbered as they are written. With several writers (PostgreSQL) a
//! number may be committed after a greater one: a reader must not take the greatest it has seen for the last.

use paddock_core::event::{By, Event as Happened, Particular};
use paddock_core::{AppId, UnixMicros};
use serde_json::{Map, Value};

use crate::engine::{self, Number, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number; later events have greater ones, and there may be gaps.
    pub sequence: i64,
    /// The app, which may be gone; `None` for the platform.
    pub app_id: Option<AppId>,
    /// What happened: `release.create`.
    pub kind: String,
    /// The particulars as JSON. No secrets.
    pub payload: String,
    pub created_at: UnixMicros,
}

row!(Event { sequence, kind, payload, created_at } optional { app_id });

statements! {
    SINCE = "SELECT * FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    ADD = "INSERT INTO events (app_id, kind, payload, created_at) VALUES ($1, $2, $3, $4) \
        RETURNING sequence AS number";
    PURGE = "DELETE FROM events WHERE created_at < $1";
}

impl Store {
    /// At most `max` events after `sequence` (0: from the beginning), oldest first.
    pub async fn events_since(&self, sequence: i64, max: u32) -> Result<Vec<Event>> {
        engine::all(&mut *self.reader().await?, SINCE, values![sequence, max]).await
    }
}

impl Tx {
    /// Adds what happened and who did it. Its number.
    pub async fn event(&mut self, event: &Happened, by: By) -> Result<i64> {
        let values = values![event.app(), event.kind(), payload(event, by), self.now];
        let added = self.one::<Number>(ADD, values).await?;
        added
            .map(|Number(sequence)| sequence)
            .ok_or_else(|| StoreError::Gone { noun: "event", id: event.kind().to_owned() })
    }

    /// Deletes events from before `before`. How many.
    pub async fn purge_events(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}

/// `{"account_id":"…","by":"account","hostname":"…"}`: who did it beside the particulars.
fn payload(event: &Happened, by: By) -> String {
    let mut payload = Map::new();
    let (who, account) = match by {
        By::Account(account) => ("account", Some(account)),
        By::Operator => ("operator", None),
        By::Platform => ("platform", None),
    };
    payload.insert("by".to_owned(), who.into());
    if let Some(account) = account {
        payload.insert("account_id".to_owned(), account.to_string().into());
    }
    for (name, particular) in event.particulars() {
        let value = match particular {
            Particular::Text(text) => Value::from(text),
            Particular::Number(number) => Value::from(number),
            Particular::Flag(flag) => Value::from(flag),
            Particular::List(names) => Value::from(names),
        };
        payload.insert(name.to_owned(), value);
    }
    Value::Object(payload).to_string()
}

#[cfg(test)]
mod tests {
    use paddock_core::{AccountId, AppId, BuildId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_has_a_fixed_form() {
        let account = By::Account(AccountId::from_uuid(Uuid::from_u128(2)));
        let app = AppId::from_uuid(Uuid::from_u128(1));
        let domain = Happened::DomainCreated { app, hostname: "a \"b\"".to_owned() };
        assert_eq!(
            payload(&domain, account),
            r#"{"account_id":"00000000-0000-0000-0000-000000000002","by":"account","hostname":"a \"b\""}"#
        );
        let config = Happened::ConfigUpdated { app, keys: vec!["A".to_owned()], release: 7 };
        assert_eq!(payload(&config, By::Operator), r#"{"by":"operator","keys":["A"],"release":7}"#);
        let build = Happened::BuildSucceeded { app, build: BuildId::from_uuid(Uuid::from_u128(3)) };
        assert_eq!(
            payload(&build, By::Platform),
            r#"{"build":"00000000-0000-0000-0000-000000000003","by":"platform"}"#
        );
    }
}
