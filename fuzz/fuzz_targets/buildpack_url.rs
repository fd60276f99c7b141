//! A buildpack reference that a tenant may give is https, without credentials however a client of HTTP takes it apart,
//! and no option of a program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_core::buildpack::{BuildpackLocation, BuildpackRef, BuildpackUrls};
use url::Url;

fuzz_target!(|text: &str| {
    let _ = BuildpackRef::parse(text, BuildpackUrls::Insecure);
    let Ok(buildpack) = BuildpackRef::parse(text, BuildpackUrls::HttpsOnly) else { return };
    assert_eq!(BuildpackRef::parse(buildpack.as_str(), BuildpackUrls::HttpsOnly).as_ref(), Ok(&buildpack));
    let url = match buildpack.location() {
        BuildpackLocation::Builtin(_) => return,
        BuildpackLocation::Archive { url } => url,
        BuildpackLocation::Git { url, reference } => {
            if let Some(reference) = reference {
                assert!(!reference.is_empty() && is_harmless(reference) && !reference.contains(".."));
            }
            url
        }
    };
    assert!(is_harmless(url));
    let rest = url.strip_prefix("https://").expect("https alone");
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    assert!(!host.is_empty() && !host.contains('@'));
    // What outbound makes of it. It refuses what it cannot read.
    if let Ok(read) = Url::parse(url) {
        assert_eq!((read.username(), read.password()), ("", None), "{url}");
        assert!(read.host_str().is_some_and(|host| !host.is_empty()), "{url}");
    }
});

/// Whether it can stand among a program's arguments without becoming something else.
fn is_harmless(text: &str) -> bool {
    !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
