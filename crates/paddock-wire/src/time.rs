//! Times as the Platform API prints them: RFC 3339 in UTC with whole seconds, `2012-01-01T12:00:00Z`.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A point in time. Printed with whole seconds; what is below a second is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// From microseconds since the Unix epoch. Beyond the years that can be printed, the nearest that can.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Self {
        let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self(Timestamp::from_microsecond(micros).unwrap_or(nearest))
    }

    /// As the data API has it: `2012-01-01 12:00:00 +0000`.
    #[must_use]
    pub fn spaced(self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()
    }

    /// As HTTP headers have it: `Sun, 01 Jan 2012 12:00:00 GMT` (RFC 9110, 5.6.7).
    #[must_use]
    pub fn http_date(self) -> String {
        self.0.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_have_whole_seconds_in_utc() {
        assert_eq!(Time::from_unix_micros(1_325_419_200_999_999).to_string(), "2012-01-01T12:00:00Z");
        assert_eq!(Time::from_unix_micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Time::from_unix_micros(1_325_419_200_999_999).http_date(),
            "Sun, 01 Jan 2012 12:00:00 GMT"
        );
        for far in [i64::MIN, i64::MAX] {
            assert!(Time::from_unix_micros(far).to_string().ends_with('Z'));
        }
    }
}
