//! An address to fetch from, taken apart: scheme, host and port, and the credentials that belong to this origin only.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::OutboundError;

/// The longest address, in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Ports that mean something else; a server of mail reads what looks like HTTP as orders.
const PORTS_REFUSED: [u16; 5] = [22, 25, 465, 587, 6667];

/// An address to fetch from.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Without credentials and fragment.
    url: Url,
    /// `Basic …` or `Bearer …`, for this origin.
    credentials: Option<HeaderValue>,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, OutboundError> {
        if text.len() > URL_BYTES_MAX {
            return Err(OutboundError::Address);
        }
        let mut url = Url::parse(text).map_err(|_| OutboundError::Address)?;
        let credentials = basic(&url);
        strip(&mut url);
        Self { url, credentials }.checked()
    }

    /// The same address, with a token for its origin.
    pub(crate) fn with_token(self, token: &str) -> Result<Self, OutboundError> {
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| OutboundError::Address)?;
        value.set_sensitive(true);
        Ok(Self { credentials: Some(value), ..self })
    }

    /// Where a redirect leads. What another server writes as credentials is not sent; ours go on to this origin only.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, OutboundError> {
        let why = |why| OutboundError::Redirect { shown: self.shown(), why };
        if location.len() > URL_BYTES_MAX {
            return Err(why("to an address that is too long"));
        }
        let mut url = self.url.join(location).map_err(|_| why("to something that is no address"))?;
        strip(&mut url);
        if self.is_https() && url.scheme() == "http" {
            return Err(OutboundError::Downgrade { shown: self.shown() });
        }
        let same = url.origin() == self.url.origin();
        Self { credentials: self.credentials.clone().filter(|_| same), url }.checked()
    }

    fn checked(self) -> Result<Self, OutboundError> {
        if !matches!(self.url.scheme(), "https" | "http") || self.url.host().is_none() {
            return Err(OutboundError::Address);
        }
        match self.port() {
            port if port == 0 || PORTS_REFUSED.contains(&port) => {
                Err(OutboundError::Port { shown: self.shown(), port })
            }
            _ => Ok(self),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Odd spellings of an IPv4 address (`0x7f.1`, `2130706433`) are that address here.
    pub(crate) fn host(&self) -> Host<&str> {
        self.url.host().unwrap_or(Host::Domain(""))
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(0)
    }

    /// The value of `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_string(),
        }
    }

    /// What the request line asks for.
    pub(crate) fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    pub(crate) fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    /// The address without what may be a secret.
    pub(crate) fn shown(&self) -> String {
        format!("{}://{}{}", self.url.scheme(), self.authority(), self.url.path())
    }
}

/// The address without credentials, query and fragment, which may be secrets; `None` for what is no address.
#[must_use]
pub fn shown(url: &str) -> Option<String> {
    Target::parse(url).ok().map(|target| target.shown())
}

/// The address with `pairs` after what it asks already; `None` for what is no address.
#[must_use]
pub fn with_query(url: &str, pairs: &[(&str, &str)]) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.query_pairs_mut().extend_pairs(pairs);
    Some(url.into())
}

fn strip(url: &mut Url) {
    // Both fail on addresses without a host only, which are refused.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
}

fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let unescaped = |text| Cow::from(percent_decode_str(text));
    let (user, password) = (unescaped(url.username()), unescaped(url.password().unwrap_or_default()));
    let pair = STANDARD.encode([&user[..], b":", &password].concat());
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_spellings_of_an_address_are_that_address() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "0x7f000001",
            "127.0.0.1.",
            "１２７.0.0.1",
        ] {
            let target = Target::parse(&format!("http://{host}/x")).unwrap();
            assert_eq!(target.host(), Host::<&str>::Ipv4(Ipv4Addr::LOCALHOST), "{host}");
        }
        assert_eq!(Target::parse("http://[::ffff:7f00:1]:81/").unwrap().authority(), "[::ffff:7f00:1]:81");
    }

    #[test]
    fn what_cannot_be_fetched_is_refused() {
        for text in [
            "",
            "x",
            "/etc/passwd",
            "file:///etc/passwd",
            "ftp://h/x",
            "gopher://h/",
            "data:,x",
            "javascript:1",
            "https://",
            "https:///",
            "http://256.1.1.1/",
            "http://[::1/",
            "http://a b/",
            "http://%00/",
            "unix:/run/x",
        ] {
            assert!(matches!(Target::parse(text), Err(OutboundError::Address)), "{text}");
        }
        for text in ["http://h:25/", "https://h:0/", "http://h:22/x"] {
            assert!(matches!(Target::parse(text), Err(OutboundError::Port { .. })), "{text}");
        }
        assert!(Target::parse(&format!("https://h/{}", "x".repeat(9000))).is_err());
    }

    #[test]
    fn credentials_stay_at_their_origin_and_out_of_sight() {
        let target = Target::parse("https://us%65r:p%40ss@h.example/a?sig=secret#f").unwrap();
        assert_eq!(target.shown(), "https://h.example/a");
        assert_eq!(target.path_and_query(), "/a?sig=secret");
        assert_eq!(target.credentials().unwrap(), &format!("Basic {}", STANDARD.encode("user:p@ss")));
        assert!(!format!("{:?}", target.credentials()).contains("Basic"), "not even in a log of ours");
        assert!(target.redirected("/b").unwrap().credentials().is_some());
        assert!(target.redirected("https://h.example:443/b").unwrap().credentials().is_some());
        for elsewhere in [
            "https://other.example/",
            "https://h.example:8443/",
            "//other.example/x",
            "https://x:y@other.example/",
        ] {
            assert_eq!(target.redirected(elsewhere).unwrap().credentials(), None, "{elsewhere}");
        }
        assert!(matches!(target.redirected("http://h.example/"), Err(OutboundError::Downgrade { .. })));
        assert!(matches!(target.redirected("file:///etc/passwd"), Err(OutboundError::Address)));
        assert_eq!(shown("https://u:p@h/x?y#z").as_deref(), Some("https://h/x"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_nothing_secret_is_shown(user in "[a-z]{8}", query in "[a-z]{8}", rest in "\\PC{0,40}") {
            let _ = Target::parse(&rest);
            if let Ok(target) = Target::parse(&format!("https://{user}@h.example/{rest}?{query}#{query}")) {
                prop_assert!(!target.shown().contains(&user) || rest.contains(&user));
                prop_assert!(!target.shown().contains(&query) || rest.contains(&query));
            }
        }

        #[test]
        fn no_redirect_leaves_http(location in "([a-z]{0,10}:)?/{0,3}[ -~]{0,40}") {
            let target = Target::parse("https://h.example/a").unwrap();
            if let Ok(next) = target.redirected(&location) {
                prop_assert!(next.is_https());
            }
        }
    }
}
