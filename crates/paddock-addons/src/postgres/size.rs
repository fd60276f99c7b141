//! Sizes as `pg:info` prints them.

const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];

/// `12.3 MB`: three digits at most, no needless zeros.
#[must_use]
pub fn text(bytes: u64) -> String {
    let mut unit = 0;
    let mut divisor = 1_u64;
    while bytes / divisor >= 1024 && unit + 1 < UNITS.len() {
        divisor *= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    let whole = bytes / divisor;
    let tenths = (u128::from(bytes % divisor) * 10 / u128::from(divisor)) as u64;
    match tenths {
        1.. if whole < 100 => format!("{whole}.{tenths} {name}"),
        _ => format!("{whole} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn sizes_have_units() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 kB"),
            (9_300_000, "8.8 MB"),
            (1 << 30, "1 GB"),
            (250 << 20, "250 MB"),
            (u64::MAX, "16777215 TB"),
        ] {
            assert_eq!(text(bytes), shown);
        }
    }
}
