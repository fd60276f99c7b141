//! The formation: how many dynos of which size each process type has.

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient;
use crate::named::{Identity, NamedRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Formation {
    pub app: NamedRef,
    /// The command of the process type.
    pub command: String,
    pub created_at: Time,
    pub dyno_size: NamedRef,
    pub id: String,
    pub quantity: u32,
    pub size: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: Time,
}

/// Body of `PATCH /apps/{app}/formation`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BatchUpdate {
    pub updates: Vec<Update>,
}

/// A change of one process type; also the body of `PATCH /apps/{app}/formation/{type}`, without `type`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Update {
    /// The process type, or the id of its row.
    #[serde(rename = "type")]
    pub process_type: Option<String>,
    pub quantity: Option<Quantity>,
    /// Which size, as the client sends it.
    pub size: Option<String>,
    /// Which size, as the schema has it.
    pub dyno_size: Option<Identity>,
    /// The id of an image to release, null to remove the process type.
    #[serde(default, deserialize_with = "lenient::nullable")]
    pub docker_image: Option<Option<String>>,
}

impl Update {
    /// The wanted size, in whichever form it came.
    #[must_use]
    pub fn wanted_size(&self) -> Option<&str> {
        self.size.as_deref().or(self.dyno_size.as_ref().map(Identity::as_str))
    }
}

/// A quantity as it may be sent: `2`, `"2"`, `"+1"`, `"-1"`. The number `-1` is exact, and refused later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Exact(i64),
    /// So many more, or fewer if negative.
    Relative(i64),
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number, or a text such as \"2\", \"+1\" or \"-1\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity::Exact(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        i64::try_from(number)
            .map(Quantity::Exact)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(E::invalid_value(Unexpected::Str(text), &self));
        }
        let number: i64 = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(if digits.len() < text.len() { Quantity::Relative(number) } else { Quantity::Exact(number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_comes_in_four_forms() {
        for (json, expected) in [
            ("2", Quantity::Exact(2)),
            ("\"2\"", Quantity::Exact(2)),
            ("\"+1\"", Quantity::Relative(1)),
            ("\"-1\"", Quantity::Relative(-1)),
            ("-1", Quantity::Exact(-1)),
        ] {
            assert_eq!(serde_json::from_str::<Quantity>(json).unwrap(), expected, "{json}");
        }
        for bad in ["\"\"", "\"+\"", "\"x\"", "\"1.5\"", "1.5", "true", "\"--1\"", "18446744073709551615"] {
            assert!(serde_json::from_str::<Quantity>(bad).is_err(), "{bad}");
        }
    }
}
