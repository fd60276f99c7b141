//! What `Cargo.lock` says of an app's own packages.

/// Those that come from the app's own tree, in cargo's words: a package from elsewhere has a source.
pub(super) fn own_packages(text: &str) -> Vec<String> {
    let value = |block: &str, name: &str| {
        let line =
            block.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))?;
        Some(line.trim().trim_matches('"').to_owned())
    };
    let packages = text.split("[[package]]").skip(1);
    let own = packages.filter(|block| value(block, "source").is_none());
    own.filter_map(|block| Some(format!("{}@{}", value(block, "name")?, value(block, "version")?)))
        .filter(|name| !name.starts_with('-'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::own_packages;

    #[test]
    fn packages_without_a_source_are_the_apps() {
        let lock = "version = 3\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n]\n\n\
            [[package]]\nname = \"itoa\"\nversion = \"1.0.1\"\nsource = \"registry+https://x\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"util\"\nversion = \"0.2.0\"\n";
        assert_eq!(own_packages(lock), ["shop@0.1.0", "util@0.2.0"]);
        assert!(own_packages("").is_empty() && own_packages("[[package]]\nname").is_empty());
    }
}
