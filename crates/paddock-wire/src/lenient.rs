//! Values that clients send in more than one form (`docs/contract/heroku-cli.md`, 5.11).

use serde::{Deserialize, Deserializer, de};

/// A whole number that may come as a number, as text, or as `null`.
pub fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match Option::<Form>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Form::Number(number)) => Ok(Some(number)),
        Some(Form::Text(text)) => {
            text.trim().parse().map(Some).map_err(|_| de::Error::custom("expected a whole number"))
        }
    }
}

/// A switch: true or false, 1 or 0, or one of these as text, as clients of loosely typed languages send it.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Bool(on) => Some(on),
        serde_json::Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        serde_json::Value::String(text) => match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| de::Error::custom("expected true or false"))
}

/// The same, or `null` for none.
pub fn optional_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    struct Switch(#[serde(deserialize_with = "boolean")] bool);
    Ok(Option::<Switch>::deserialize(deserializer)?.map(|switch| switch.0))
}

/// A field whose absence and `null` mean different things: `None` and `Some(None)`.
///
/// # Errors
/// For a value of another kind.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A value of an environment: text as it is, numbers and booleans as JSON prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvValue(pub String);

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(de::Error::custom("expected text, a number or a boolean")),
        }
    }
}
