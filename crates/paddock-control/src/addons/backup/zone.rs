//! What day and hour it is where a schedule is.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use paddock_core::UnixMicros;

use crate::{Error, Result};

/// The zone of this name, in whatever case, with its own spelling.
///
/// # Errors
/// `invalid_params`.
pub(super) fn zone(name: &str) -> Result<(TimeZone, String)> {
    let unknown = || {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        Error::invalid(format!("There is no time zone {shown:?}. Name one as America/New_York or UTC."))
    };
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    let spelt = zone.iana_name().ok_or_else(unknown)?.to_owned();
    Ok((zone, spelt))
}

/// `2026-11-29`, and when the hour of that day strikes there. An hour that is left out strikes when the clocks have been put
/// on; one that comes twice, the first time.
pub(super) fn today(zone: &TimeZone, hour: u32, now: UnixMicros) -> Option<(String, UnixMicros)> {
    let now = Timestamp::from_microsecond(now.0).ok()?.to_zoned(zone.clone());
    let day = now.date();
    let strikes = day.at(i8::try_from(hour).ok()?, 0, 0, 0).to_zoned(zone.clone()).ok()?;
    Some((day.to_string(), UnixMicros(strikes.timestamp().as_microsecond())))
}

#[cfg(test)]
mod tests {
    use paddock_core::plan::backup_schedule::{ScheduleSeen, is_due};

    use super::*;

    fn at(text: &str) -> UnixMicros {
        UnixMicros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn strikes(name: &str, hour: u32, now: &str) -> (String, String) {
        let (day, at) = today(&zone(name).unwrap().0, hour, self::at(now)).unwrap();
        (day, Timestamp::from_microsecond(at.0).unwrap().to_string())
    }

    #[test]
    fn zones_are_known_by_their_names_and_nothing_else() {
        assert_eq!(zone("europe/paris").unwrap().1, "Europe/Paris");
        for name in ["UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "US/Pacific", "EST5EDT"] {
            assert_eq!(zone(name).unwrap().1, name);
        }
        for name in
            ["Mars/Olympus", "+02:00", "../../etc/passwd", "", ":00 America/Bogota", "x\0y", &"a".repeat(300)]
        {
            assert!(zone(name).unwrap_err().message.starts_with("There is no time zone"), "{name}");
        }
    }

    #[test]
    fn an_hour_strikes_by_the_clock_of_its_place() {
        for (name, hour, now, day, expected) in [
            ("UTC", 2, "2026-11-29T12:00:00Z", "2026-11-29", "2026-11-29T02:00:00Z"),
            ("Asia/Kolkata", 23, "2026-11-29T12:00:00Z", "2026-11-29", "2026-11-29T17:30:00Z"),
            ("Asia/Kolkata", 0, "2026-11-29T20:00:00Z", "2026-11-30", "2026-11-29T18:30:00Z"),
            ("Europe/London", 4, "2026-07-01T12:00:00Z", "2026-07-01", "2026-07-01T03:00:00Z"),
            // 2:00 is left out, 1:00 comes twice.
            ("America/New_York", 2, "2027-03-14T12:00:00Z", "2027-03-14", "2027-03-14T07:00:00Z"),
            ("America/New_York", 1, "2027-11-07T12:00:00Z", "2027-11-07", "2027-11-07T05:00:00Z"),
        ] {
            assert_eq!(
                strikes(name, hour, now),
                (day.to_owned(), expected.to_owned()),
                "{name} {hour} {now}"
            );
        }
    }

    #[test]
    fn each_day_has_one_backup_over_changes_of_clocks() {
        for (name, hour, from, days) in [
            ("America/New_York", 2, "2027-03-12T00:00:00Z", 5),
            ("America/New_York", 1, "2027-11-05T00:00:00Z", 5),
            ("Europe/London", 1, "2027-03-26T00:00:00Z", 5),
            ("Asia/Kolkata", 0, "2026-12-30T00:00:00Z", 5),
        ] {
            let (zone, _) = zone(name).unwrap();
            let (made_at, mut last, mut done) = (at(from), None::<String>, 0);
            for minute in 0..days * 24 * 60 {
                let now = UnixMicros(made_at.0 + minute * 60_000_000);
                let (today, strikes_at) = today(&zone, hour, now).unwrap();
                let seen = ScheduleSeen { made_at, last_day: last.as_deref(), today: &today, strikes_at };
                if is_due(&seen, now) {
                    last = Some(today);
                    done += 1;
                }
            }
            assert_eq!(done, days, "{name} {hour}");
        }
    }
}
