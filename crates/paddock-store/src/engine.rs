//! The one door to the database driver: binding, reading, running a statement.
//!
//! Statements are portable text (`$1`, upsert, `RETURNING`) and columns are TEXT, BIGINT or BLOB, so that the
//! driver's engine-neutral connection serves every engine. Only this file and those that open a database name the driver.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use paddock_core::build::BuildStatus;
use paddock_core::buildpack_meaning::Ran;
use paddock_core::dyno::{DynoKind, DynoName, DynoSize, DynoState};
use paddock_core::registry::{MediaType, Repository, Tag};
use paddock_core::release::ReleaseStatus;
use paddock_core::stack::Stack;
use paddock_core::transfer::TransferKind;
use paddock_core::{
    AccountId, AddonId, AppId, AppName, AttachmentId, AuthorizationId, BlobDigest, BuildId, CollaboratorId,
    ContainerId, CredentialId, DataServerId, DomainId, DynoId, FavoriteId, FormationId, JobId, KeyId,
    LayerDigest, LogSessionId, ProcessType, ReleaseId, ReportId, ServerId, SlugId, SourceId, TransferId,
    TransferScheduleId, UnixMicros, UploadId, VolumeId,
};
use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::{AnyConnection, Row as _};

use crate::error::{Result, StoreError};

/// A value on its way into a statement, with the kind of column it is for: engines want to know it of a NULL too.
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Blob(Option<Vec<u8>>),
}

/// What a column itself can hold.
pub(crate) trait Raw: Sized + for<'r> sqlx::Decode<'r, Any> + sqlx::Type<Any> {
    fn value(raw: Option<Self>) -> Value;
}

impl Raw for String {
    fn value(raw: Option<Self>) -> Value {
        Value::Text(raw)
    }
}

impl Raw for i64 {
    fn value(raw: Option<Self>) -> Value {
        Value::Integer(raw)
    }
}

impl Raw for Vec<u8> {
    fn value(raw: Option<Self>) -> Value {
        Value::Blob(raw)
    }
}

/// A type of ours that has a form in a column.
pub(crate) trait Column: Sized {
    type Raw: Raw;
    fn to_raw(&self) -> Self::Raw;
    /// `None` when the column holds something that no such value can be.
    fn from_raw(raw: Self::Raw) -> Option<Self>;
}

/// Anything that can be bound to a placeholder.
pub(crate) trait Bind {
    fn bind(&self) -> Value;
}

impl<T: Column> Bind for T {
    fn bind(&self) -> Value {
        T::Raw::value(Some(self.to_raw()))
    }
}

impl<T: Column> Bind for Option<T> {
    fn bind(&self) -> Value {
        T::Raw::value(self.as_ref().map(Column::to_raw))
    }
}

impl Bind for &str {
    fn bind(&self) -> Value {
        Value::Text(Some((*self).to_owned()))
    }
}

impl Bind for Option<&str> {
    fn bind(&self) -> Value {
        Value::Text(self.map(str::to_owned))
    }
}

impl Bind for &[u8] {
    fn bind(&self) -> Value {
        Value::Blob(Some(self.to_vec()))
    }
}

macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::engine::Bind::bind(&$value)),*]
    };
}
pub(crate) use values;

macro_rules! plain_columns {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            type Raw = $ty;
            fn to_raw(&self) -> $ty {
                self.clone()
            }
            fn from_raw(raw: $ty) -> Option<Self> {
                Some(raw)
            }
        }
    )*};
}
plain_columns!(String, i64, Vec<u8>);

/// Types whose text is `Display` and `FromStr`.
macro_rules! parsed_columns {
    ($($ty:ty),* $(,)?) => {$(
        impl Column for $ty {
            type Raw = String;
            fn to_raw(&self) -> String {
                self.to_string()
            }
            fn from_raw(raw: String) -> Option<Self> {
                raw.parse().ok()
            }
        }
    )*};
}
parsed_columns!(
    AccountId,
    AddonId,
    AppId,
    AppName,
    AttachmentId,
    BlobDigest,
    Ran,
    AuthorizationId,
    BuildId,
    CollaboratorId,
    ContainerId,
    CredentialId,
    DataServerId,
    DomainId,
    DynoId,
    FavoriteId,
    DynoName,
    FormationId,
    IpAddr,
    JobId,
    KeyId,
    LayerDigest,
    LogSessionId,
    ProcessType,
    ReleaseId,
    ReportId,
    Repository,
    ServerId,
    SlugId,
    SourceId,
    Tag,
    TransferId,
    TransferScheduleId,
    UploadId,
    VolumeId,
);

/// Enums that have a word for each value.
macro_rules! word_columns {
    ($($ty:ty = $parse:path),* $(,)?) => {$(
        impl $crate::engine::Column for $ty {
            type Raw = String;
            fn to_raw(&self) -> String {
                self.as_str().to_owned()
            }
            fn from_raw(raw: String) -> Option<Self> {
                $parse(&raw)
            }
        }
    )*};
}
pub(crate) use word_columns;
word_columns!(
    BuildStatus = BuildStatus::parse,
    DynoKind = DynoKind::parse,
    DynoSize = DynoSize::parse,
    DynoState = DynoState::parse,
    MediaType = MediaType::parse,
    ReleaseStatus = ReleaseStatus::parse,
    Stack = Stack::from_name,
    TransferKind = TransferKind::parse,
);

macro_rules! small_number_columns {
    ($($ty:ty),*) => {$(
        impl Column for $ty {
            type Raw = i64;
            fn to_raw(&self) -> i64 {
                i64::from(*self)
            }
            fn from_raw(raw: i64) -> Option<Self> {
                Self::try_from(raw).ok()
            }
        }
    )*};
}
small_number_columns!(u16, u32, i32);

impl Column for bool {
    type Raw = i64;
    fn to_raw(&self) -> i64 {
        i64::from(*self)
    }
    fn from_raw(raw: i64) -> Option<Self> {
        match raw {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Column for UnixMicros {
    type Raw = i64;
    fn to_raw(&self) -> i64 {
        self.0
    }
    fn from_raw(raw: i64) -> Option<Self> {
        Some(Self(raw))
    }
}

impl Column for [u8; 32] {
    type Raw = Vec<u8>;
    fn to_raw(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn from_raw(raw: Vec<u8>) -> Option<Self> {
        raw.try_into().ok()
    }
}

impl Column for Vec<String> {
    type Raw = String;
    fn to_raw(&self) -> String {
        serde_json::Value::from(self.clone()).to_string()
    }
    fn from_raw(raw: String) -> Option<Self> {
        serde_json::from_str(&raw).ok()
    }
}

impl<K: Ord + Display + FromStr> Column for BTreeMap<K, String> {
    type Raw = String;
    fn to_raw(&self) -> String {
        let map = self.iter().map(|(key, value)| (key.to_string(), value.clone().into()));
        serde_json::Value::Object(map.collect()).to_string()
    }
    fn from_raw(raw: String) -> Option<Self> {
        let map: BTreeMap<String, String> = serde_json::from_str(&raw).ok()?;
        map.into_iter().map(|(key, value)| Some((key.parse().ok()?, value))).collect()
    }
}

/// A row of an answer.
pub(crate) struct Row(AnyRow);

impl Row {
    /// The value of a column that is never NULL.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T> {
        let raw = self.0.try_get::<T::Raw, _>(column).map_err(|error| unreadable(column, error))?;
        T::from_raw(raw).ok_or(StoreError::UnknownValue { column })
    }

    /// The value of a column that may be NULL.
    pub(crate) fn optional<T: Column>(&self, column: &'static str) -> Result<Option<T>> {
        let raw = self.0.try_get::<Option<T::Raw>, _>(column).map_err(|error| unreadable(column, error))?;
        raw.map(|raw| T::from_raw(raw).ok_or(StoreError::UnknownValue { column })).transpose()
    }
}

fn unreadable(column: &'static str, error: sqlx::Error) -> StoreError {
    StoreError::UnreadableColumn { column, source: Box::new(error) }
}

/// A struct that is one row.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &Row) -> Result<Self>;
}

/// Implements [`FromRow`] for a struct whose fields are named as their columns.
macro_rules! row {
    ($ty:ident { $($field:ident),* $(,)? } optional { $($optional:ident),* $(,)? }) => {
        impl $crate::engine::FromRow for $ty {
            fn from_row(row: &$crate::engine::Row) -> $crate::error::Result<Self> {
                Ok(Self {
                    $($field: row.get(stringify!($field))?,)*
                    $($optional: row.optional(stringify!($optional))?,)*
                })
            }
        }
    };
}
pub(crate) use row;

/// Names each statement of a noun and lists them, so that a test prepares every one.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use statements;

/// Gives a read to both [`crate::Store`] (its own snapshot) and [`crate::Tx`] (inside the transaction).
/// `one` answers `Option`, `all` a `Vec`.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $kind:ident $row:ty: $sql:ident [$($bind:expr),*];)*) => {
        impl $crate::Store {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $ty),*) -> $crate::engine::answer!($kind $row) {
                let values = $crate::engine::values![$($bind),*];
                let mut connection = self.reader().await?;
                $crate::engine::$kind(&mut connection, $sql, values).await
            })*
        }
        impl $crate::Tx {
            $($(#[$doc])*
            pub async fn $name(&mut self, $($arg: $ty),*) -> $crate::engine::answer!($kind $row) {
                let values = $crate::engine::values![$($bind),*];
                let doing = self.doing();
                $crate::engine::$kind(self.connection(), $sql, values).await.map_err(|error| error.during(doing))
            })*
        }
    };
}
pub(crate) use reads;

macro_rules! answer {
    (one $row:ty) => { $crate::error::Result<Option<$row>> };
    (all $row:ty) => { $crate::error::Result<Vec<$row>> };
}
pub(crate) use answer;

/// A text with a NUL is refused on every engine, because one of them has no such texts.
pub(crate) fn arguments(values: Vec<Value>) -> Result<AnyArguments> {
    let mut arguments = AnyArguments::default();
    for value in values {
        if matches!(&value, Value::Text(Some(text)) if text.contains('\0')) {
            return Err(StoreError::NulInText);
        }
        let added = match value {
            Value::Text(value) => sqlx::Arguments::add(&mut arguments, value),
            Value::Integer(value) => sqlx::Arguments::add(&mut arguments, value),
            Value::Blob(value) => sqlx::Arguments::add(&mut arguments, value),
        };
        added.expect("texts, integers and bytes are encoded without failing");
    }
    Ok(arguments)
}

/// Whether the same may work in a moment, after a new connection or when somebody else has done.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        // PostgreSQL's: ended or starting, out of connections, a lock or an idle transaction that took too long, a
        // deadlock that it broke. SQLite's codes are shorter numbers.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08")
                || matches!(
                    &*code,
                    "57P01" | "57P02" | "57P03" | "57014" | "53300" | "55P03" | "25P03" | "40001" | "40P01"
                )
        }),
        _ => false,
    }
}

pub(crate) fn failed(statement: &'static str, error: sqlx::Error) -> StoreError {
    if is_away(&error) {
        return StoreError::Unavailable(Box::new(error));
    }
    StoreError::Statement { statement, source: Box::new(error) }
}

/// The first row, if any.
pub(crate) async fn one<T: FromRow>(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Option<T>> {
    let row = sqlx::query_with(sql, arguments(values)?).fetch_optional(connection).await;
    row.map_err(|error| failed(sql, error))?.map(|row| T::from_row(&Row(row))).transpose()
}

pub(crate) async fn all<T: FromRow>(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Vec<T>> {
    let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(connection).await;
    rows.map_err(|error| failed(sql, error))?.into_iter().map(|row| T::from_row(&Row(row))).collect()
}

/// The number of rows changed.
pub(crate) async fn execute(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<u64> {
    let done = sqlx::query_with(sql, arguments(values)?).execute(connection).await;
    Ok(done.map_err(|error| failed(sql, error))?.rows_affected())
}

/// The number of rows changed, or `None` when a unique index refused.
/// One engine gives up the whole transaction then, so callers must not go on with it.
pub(crate) async fn execute_unique(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Option<u64>> {
    match sqlx::query_with(sql, arguments(values)?).execute(connection).await {
        Ok(done) => Ok(Some(done.rows_affected())),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(failed(sql, error)),
    }
}

/// One word, as `word`.
pub(crate) struct Word(pub(crate) String);

impl FromRow for Word {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("word").map(Self)
    }
}

/// A single number, in the column `number`.
pub(crate) struct Number(pub(crate) i64);

impl FromRow for Number {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("number").map(Self)
    }
}

/// Sealed bytes or nothing, in the column `sealed`.
pub(crate) struct Sealed(pub(crate) Option<Vec<u8>>);

impl FromRow for Sealed {
    fn from_row(row: &Row) -> Result<Self> {
        row.optional("sealed").map(Self)
    }
}
