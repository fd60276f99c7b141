//! The manner of a build's output: steps, details and errors as on Heroku.
//! Source: `docs/contract/buildpacks.md`, section 8.

/// Seven columns before a detail.
pub const DETAIL: &str = "       ";

/// The last line of a failed build.
pub const PUSH_FAILED: &str = " !     Push failed";

/// `-----> TEXT`.
#[must_use]
pub fn step(text: &str) -> String {
    format!("-----> {text}\n")
}

/// Seven spaces before each line of `text`.
#[must_use]
pub fn detail(text: &str) -> String {
    text.lines().map(|line| format!("{DETAIL}{line}\n")).collect()
}

/// ` !     TEXT` for each line of `text`, and ` !` for empty ones.
#[must_use]
pub fn problem(text: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { " !\n".into() } else { format!(" !     {line}\n") })
        .collect()
}

/// A size as on Heroku: `23.8M`.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1024 * 1024);
    format!("{}.{}M", tenths / 10, tenths % 10)
}

/// A limit in whole megabytes: `500M`.
#[must_use]
pub fn whole_megabytes(bytes: u64) -> String {
    format!("{}M", bytes / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    // buildpacks.md 8.2
    #[test]
    fn lines_are_decorated_as_on_heroku() {
        assert_eq!(step("Compressing..."), "-----> Compressing...\n");
        assert_eq!(detail("a\nb"), "       a\n       b\n");
        assert_eq!(problem("a\n\nb"), " !     a\n !\n !     b\n");
        assert_eq!(megabytes(0), "0.0M");
        assert_eq!(megabytes(1), "0.1M");
        assert_eq!(megabytes(24_956_109), "23.9M");
        assert_eq!(whole_megabytes(500 * 1024 * 1024), "500M");
    }
}
