//! A bucket of the operator's, by the protocol of S3: whole objects in and out, in parts where they are large.
//!
//! Where it is the operator says, so the outbound rule does not apply to it: a store may well be on a private network. A request has
//! a connection and a signature of its own, and a limit of time by its bytes; what may pass by itself is tried again.

mod error;
mod object;
mod request;
mod upload;
mod xml;

use std::time::Duration;

use jiff::Timestamp;
use rusty_s3::Method;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::Roots;

pub use error::S3Error;
pub use object::Object;

use request::Part;
use xml::{blocks, text};

/// Answers to lists that are read; of a thousand names each.
const PAGES_MAX: usize = 1000;

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub bucket: String,
    /// What names of objects in it begin with: nothing, or `a/b`.
    pub prefix: String,
    /// `us-east-1`.
    pub region: String,
    /// The address of a store that is not Amazon's.
    pub endpoint: Option<String>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The id of the access key.
    pub id: String,
    /// The access key.
    pub secret: String,
    /// What comes with keys for a time.
    pub token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A place is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlace {
    /// The name of the bucket.
    #[error("{0:?} is no name of a bucket: 3 to 63 lower case letters, digits, dots and dashes")]
    Bucket(String),
    /// What is before the names of objects.
    #[error("{0:?} cannot stand before the names of objects: letters, digits, and the marks . _ - /")]
    Prefix(String),
    /// The region.
    #[error("{0:?} is no region, such as us-east-1")]
    Region(String),
    /// The address.
    #[error("{0:?} is no address of a store, such as https://s3.example.com")]
    Endpoint(String),
}

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    place: Place,
    keys: Keys,
    /// Of the bucket itself.
    url: Url,
    tls: TlsConnector,
    /// What a request may take beside the time for its bytes.
    patience: Duration,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without the place's prefix.
    pub name: String,
    /// Since when it is as it is.
    pub modified: Timestamp,
}

/// An upload in parts that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The name of the object, without the place's prefix.
    pub name: String,
    id: String,
}

impl Place {
    /// The address of the bucket.
    fn url(&self) -> Result<Url, InvalidPlace> {
        let is = |text: &str, marks: &[u8]| {
            text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(&c))
        };
        let (bucket, region) = (&self.bucket, &self.region);
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let ends = is_word(bucket.chars().next()) && is_word(bucket.chars().next_back());
        if !(3..=63).contains(&bucket.len()) || !is(bucket, b".-") || !ends || bucket.contains("..") {
            return Err(InvalidPlace::Bucket(bucket.clone()));
        }
        if region.is_empty() || !is(region, b"-") {
            return Err(InvalidPlace::Region(region.clone()));
        }
        if !is(&self.prefix.to_ascii_lowercase(), b"._-/")
            || self.prefix.split('/').any(|part| part.starts_with('.'))
        {
            return Err(InvalidPlace::Prefix(self.prefix.clone()));
        }
        let text = match &self.endpoint {
            // Stores of others know no names below their own.
            Some(endpoint) => {
                Url::parse(endpoint).map_err(|_| InvalidPlace::Endpoint(endpoint.clone()))?;
                format!("{}/{bucket}", endpoint.trim_end_matches('/'))
            }
            // A certificate for all names below one covers no second dot.
            None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
            None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        };
        let wrong = || InvalidPlace::Endpoint(self.endpoint.clone().unwrap_or_default());
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        match matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain {
            true => Ok(url),
            false => Err(wrong()),
        }
    }
}

impl Bucket {
    /// A bucket, whose store is trusted by `roots`.
    ///
    /// # Errors
    /// When there can be none at this place.
    pub fn new(place: Place, keys: Keys, roots: Roots) -> Result<Self, InvalidPlace> {
        let url = place.url()?;
        let tls = TlsConnector::from(roots.client());
        let prefix = place.prefix.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Ok(Self { place: Place { prefix, ..place }, keys, url, tls, patience: Duration::from_secs(60) })
    }

    /// The same with another limit of time for a request, beside the time for its bytes.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same below a name of its own, where nothing else is seen.
    #[must_use]
    pub fn below(mut self, name: &str) -> Self {
        self.place.prefix = if self.place.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.place.prefix)
        };
        self
    }

    /// `s3://bucket/prefix`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("s3://{}/{}", self.place.bucket, self.place.prefix).trim_end_matches('/').to_owned()
    }

    /// Whether what is sent to the store is encrypted on its way.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether objects can be listed, and an upload begun and given up; nothing is left of it.
    ///
    /// # Errors
    /// [`S3Error`], which says what to do.
    pub async fn check(&self) -> Result<(), S3Error> {
        self.listed(&[("list-type", "2"), ("max-keys", "1")], "list objects").await?;
        let upload = self.begin("check").await?;
        self.abort("check", &upload).await
    }

    /// Every object below the place's prefix.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn list(&self) -> Result<Vec<Listed>, S3Error> {
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("list-type", "2")];
            query.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page = self.listed(&query, "list objects").await?;
            for one in blocks(&page, "Contents") {
                let (key, at) = (text(one, "Key"), text(one, "LastModified").and_then(|at| at.parse().ok()));
                if let (Some(name), Some(modified)) = (key.and_then(|key| self.name_of(&key)), at) {
                    all.push(Listed { name, modified });
                }
            }
            token = text(&page, "NextContinuationToken").filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Every upload in parts below the place's prefix that was not ended.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>, S3Error> {
        let mut all = Vec::new();
        let mut after: Option<(String, String)> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("uploads", "")];
            if let Some((key, id)) = &after {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
            }
            let page = self.listed(&query, "list uploads").await?;
            for one in blocks(&page, "Upload") {
                let name = text(one, "Key").and_then(|key| self.name_of(&key));
                if let (Some(name), Some(id)) = (name, text(one, "UploadId")) {
                    all.push(Unfinished { name, id });
                }
            }
            let markers = text(&page, "NextKeyMarker").zip(text(&page, "NextUploadIdMarker"));
            after = markers.filter(|_| text(&page, "IsTruncated").as_deref() == Some("true"));
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Gives up an upload that was not ended; one that is gone already is as well.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn give_up(&self, upload: &Unfinished) -> Result<(), S3Error> {
        self.abort(&upload.name, &upload.id).await
    }

    /// Removes an object, and uploads of it that were not ended; what is not there is gone already.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn remove(&self, name: &str) -> Result<(), S3Error> {
        let removed =
            self.tried(|| self.answered(Method::Delete, name, &[], Part::Nothing, "remove an object"));
        match removed.await {
            Ok(_) | Err(S3Error::NoObject) => {}
            Err(error) => return Err(error),
        }
        for upload in self.unfinished().await?.iter().filter(|upload| upload.name == name) {
            self.give_up(upload).await?;
        }
        Ok(())
    }

    /// An object, as it comes.
    ///
    /// # Errors
    /// `NoObject`; [`S3Error`].
    pub async fn get(&self, name: &str) -> Result<Object, S3Error> {
        let answer =
            self.tried(|| self.answered(Method::Get, name, &[], Part::Nothing, "read an object")).await?;
        Object::of(answer, self)
    }

    async fn listed(&self, query: &[(&str, &str)], doing: &'static str) -> Result<String, S3Error> {
        let prefix = self.key("");
        let mut query: Vec<_> = query.iter().copied().chain([("prefix", prefix.as_str())]).collect();
        query.sort_unstable();
        self.tried(|| async {
            let answer = self.answered(Method::Get, "", &query, Part::Nothing, doing).await?;
            self.text_of(answer).await
        })
        .await
    }

    /// The name of an object in the bucket.
    fn key(&self, name: &str) -> String {
        if self.place.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.place.prefix) }
    }

    /// The other way; nothing that is not below the prefix.
    fn name_of(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.key("")).filter(|name| !name.is_empty()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(bucket: &str, prefix: &str, region: &str, endpoint: Option<&str>) -> Place {
        let [bucket, prefix, region] = [bucket, prefix, region].map(str::to_owned);
        Place { bucket, prefix, region, endpoint: endpoint.map(str::to_owned) }
    }

    fn bucket(place: Place) -> Bucket {
        let keys = Keys { id: "AKID".to_owned(), secret: "the-secret".to_owned(), token: None };
        Bucket::new(place, keys, Roots::none()).unwrap()
    }

    #[test]
    fn amazon_is_asked_by_the_name_of_the_bucket_and_others_by_a_path() {
        let url = |place: Place| place.url().unwrap().to_string();
        assert_eq!(url(place("kept", "", "eu-west-1", None)), "https://kept.s3.eu-west-1.amazonaws.com/");
        assert_eq!(url(place("a.b", "", "us-east-1", None)), "https://s3.us-east-1.amazonaws.com/a.b");
        let minio = Some("http://10.0.0.5:9000/");
        assert_eq!(url(place("kept", "x", "us-east-1", minio)), "http://10.0.0.5:9000/kept");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for name in ["", "ab", "Kept", "-kept", "kept.", "a..b", "a_b", "a/b", &"x".repeat(64)] {
            assert_eq!(place(name, "", "r", None).url(), Err(InvalidPlace::Bucket(name.to_owned())));
        }
        for prefix in ["a b", "../x", "a/./b", "%2e", "ä"] {
            assert_eq!(place("kept", prefix, "r", None).url(), Err(InvalidPlace::Prefix(prefix.to_owned())));
        }
        assert!(place("kept", "", "EU", None).url().is_err() && place("kept", "", "", None).url().is_err());
        for endpoint in ["", "minio:9000", "ftp://h", "http://", "http://u:p@h", "https://h?x"] {
            assert!(place("kept", "", "r", Some(endpoint)).url().is_err(), "{endpoint}");
        }
    }

    #[test]
    fn names_are_below_the_prefix_and_no_other_is_ours() {
        let bucket = bucket(place("kept", "/a//b/", "us-east-1", None)).below("server");
        assert_eq!(bucket.shown(), "s3://kept/a/b/server");
        assert_eq!(bucket.key("x/y.dump"), "a/b/server/x/y.dump");
        assert_eq!(bucket.name_of("a/b/server/x/y.dump").as_deref(), Some("x/y.dump"));
        for other in ["a/b/server/", "a/b/server2/x", "a/b/x", ""] {
            assert_eq!(bucket.name_of(other), None, "{other}");
        }
        assert!(
            !format!("{bucket:?}").contains("secret") && !format!("{:?}", bucket.keys).contains("the-secret")
        );
    }
}
