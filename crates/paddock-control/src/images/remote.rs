//! A registry of others as it is read: manifests and blobs, with a token that it gives to anybody.
//!
//! Sources: the distribution specification of the Open Container Initiative; Docker's of token authentication.

use std::time::Duration;

use paddock_core::registry::MediaType;
use paddock_core::remote_image::RemoteImage;
use paddock_core::{BlobDigest, UploadId};
use paddock_images::Blobs;
use paddock_images::oci::MANIFEST_BYTES_MAX;
use paddock_outbound::{Asked, FetchLimits, Fetched, Outbound, OutboundError};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::blocking;
use super::conversion::{Outcome, Trouble};
use crate::Error;
use crate::kernel::error::chain;

/// The longest silence of a registry.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a manifest, a configuration or a token may take, and a blob.
const SMALL: Duration = Duration::from_secs(60);
const LARGE: Duration = Duration::from_secs(30 * 60);
/// Bytes of an answer with a token.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Bytes that are written at a time.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// A registry of others, for one of its images.
pub(super) struct RemoteRegistry<'a> {
    outbound: &'a Outbound,
    image: &'a RemoteImage,
    /// What it gave to us for this repository.
    token: Mutex<Option<String>>,
}

/// A manifest as it came.
pub(super) struct RemoteManifest {
    pub(super) media_type: String,
    pub(super) content: Vec<u8>,
    pub(super) digest: BlobDigest,
}

impl<'a> RemoteRegistry<'a> {
    pub(super) fn new(outbound: &'a Outbound, image: &'a RemoteImage) -> Self {
        Self { outbound, image, token: Mutex::default() }
    }

    /// The manifest that a tag or a digest names.
    pub(super) async fn manifest(&self, reference: &str) -> Outcome<RemoteManifest> {
        let accept = MediaType::ALL.map(MediaType::as_str).join(", ");
        let limits = limits(MANIFEST_BYTES_MAX, SMALL);
        let fetched = self.get(&format!("manifests/{reference}"), Some(&accept), limits).await?;
        let media_type = fetched.media_type().unwrap_or_default().to_owned();
        let content = self.all_of(fetched).await?;
        let digest = BlobDigest::of_sha256(Sha256::digest(&content).into());
        match reference.parse::<BlobDigest>() {
            Ok(wanted) if wanted != digest => Err(self.told(&format!("answers with {digest} for {wanted}"))),
            _ => Ok(RemoteManifest { media_type, content, digest }),
        }
    }

    /// A small blob, of which no more than `bytes_max` come.
    pub(super) async fn small_blob(&self, digest: &BlobDigest, bytes_max: usize) -> Outcome<Vec<u8>> {
        let fetched = self.get(&format!("blobs/{digest}"), None, limits(bytes_max, SMALL)).await?;
        let content = self.all_of(fetched).await?;
        let found = BlobDigest::of_sha256(Sha256::digest(&content).into());
        if found == *digest {
            Ok(content)
        } else {
            Err(self.told(&format!("answers with {found} for {digest}")))
        }
    }

    /// Brings a blob of at most `bytes_max` into the store of blobs.
    pub(super) async fn store_blob(
        &self,
        digest: &BlobDigest,
        bytes_max: u64,
        blobs: &Arc<Blobs>,
    ) -> Outcome<()> {
        let limits = FetchLimits { bytes_max, time_max: LARGE, idle_max: IDLE_MAX };
        let fetched = self.get(&format!("blobs/{digest}"), None, limits).await?;
        let id = UploadId::from_uuid(Uuid::now_v7());
        let stored = self.receive(fetched, id, digest, blobs).await;
        let after = blobs.clone();
        // Where this does not go, the sweep removes it.
        let _ = blocking(move || after.remove_upload(id)).await;
        stored
    }

    async fn receive(
        &self,
        mut fetched: Fetched,
        id: UploadId,
        digest: &BlobDigest,
        blobs: &Arc<Blobs>,
    ) -> Outcome<()> {
        let disk = |error| Trouble::Host(Error::internal("keep a blob of another registry", error));
        let beginning = blobs.clone();
        let mut file = blocking(move || beginning.append(id, Some(0))).await.map_err(disk)?;
        let mut waiting = Vec::new();
        loop {
            let chunk = fetched.chunk().await.map_err(|error| self.failed(error))?;
            let is_end = chunk.is_none();
            waiting.extend_from_slice(&chunk.unwrap_or_default());
            if waiting.len() < WRITTEN_AT_ONCE && !is_end {
                continue;
            }
            let bytes = std::mem::take(&mut waiting);
            file = blocking(move || file.write(&bytes).map(|()| file)).await.map_err(disk)?;
            if is_end {
                break;
            }
        }
        blocking(move || file.sync()).await.map_err(disk)?;
        let (storing, wanted) = (blobs.clone(), digest.clone());
        match blocking(move || storing.store(id, &wanted)).await {
            Ok(_) => Ok(()),
            Err(paddock_images::BlobError::Digest { found }) => {
                Err(self.told(&format!("answers with {found} for {digest}")))
            }
            Err(error) => Err(disk(error)),
        }
    }

    /// Asks for something of the repository, with a token where one is wanted.
    async fn get(&self, rest: &str, accept: Option<&str>, limits: FetchLimits) -> Outcome<Fetched> {
        let url = format!("{}/v2/{}/{rest}", self.image.origin(), self.image.repository());
        let before = self.token.lock().await.clone();
        let asked = Asked { accept, token: before.as_deref() };
        let challenge = match self.outbound.get_as(&url, asked, limits).await {
            Err(OutboundError::Status { status: 401, challenge: Some(challenge), .. }) => challenge,
            answer => return answer.map_err(|error| self.failed(error)),
        };
        let token = self.log_in(&challenge, before).await?;
        let asked = Asked { accept, token: Some(&token) };
        self.outbound.get_as(&url, asked, limits).await.map_err(|error| self.failed(error))
    }

    /// A token that is newer than the one before, which did not do.
    async fn log_in(&self, challenge: &str, before: Option<String>) -> Outcome<String> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| before.as_ref() != Some(*token)) {
            return Ok(token.clone());
        }
        let realm = token_url(challenge, self.image.repository()).ok_or_else(|| self.is_private())?;
        let fetched = self.outbound.get(&realm, limits(TOKEN_BYTES_MAX, SMALL)).await;
        let answer = self.all_of(fetched.map_err(|error| self.failed(error))?).await?;
        let token = token_of(&answer).ok_or_else(|| self.told("gives no token"))?;
        *kept = Some(token.clone());
        Ok(token)
    }

    async fn all_of(&self, mut fetched: Fetched) -> Outcome<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = fetched.chunk().await.map_err(|error| self.failed(error))? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn told(&self, what: &str) -> Trouble {
        Trouble::Told(format!("{} {what}", self.image.registry()))
    }

    fn is_private(&self) -> Trouble {
        self.told(&format!(
            "does not give {} to everybody, or has no such image. Push it to an app of yours here, and begin from that",
            self.image.repository()
        ))
    }

    fn failed(&self, error: OutboundError) -> Trouble {
        match error {
            OutboundError::Status { status: 404, .. } => self.told(&format!("has no {}", self.image)),
            OutboundError::Status { status: 401 | 403, .. } => self.is_private(),
            OutboundError::Status { status: 429, .. } => self.told(
                "has been asked too often by this server for now. Try again later, or push the image to an app of yours \
                 here and begin from that",
            ),
            error => Trouble::Told(chain(&error)),
        }
    }
}

fn limits(bytes_max: usize, time_max: Duration) -> FetchLimits {
    FetchLimits { bytes_max: bytes_max as u64, time_max, idle_max: IDLE_MAX }
}

/// Where to get a token for reading a repository, by a challenge; `None` where only a login helps.
fn token_url(challenge: &str, repository: &str) -> Option<String> {
    let (scheme, rest) = challenge.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = |name: &str| {
        let mut parameters = rest.split(',').filter_map(|one| one.trim().split_once('='));
        let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim_matches('"'))
    };
    let realm = value("realm")?;
    // Its own scope has a comma where it is for more than reading.
    let scope = format!("repository:{repository}:pull");
    let service = value("service").map(|service| ("service", service));
    let pairs: Vec<_> = service.into_iter().chain([("scope", &scope[..])]).collect();
    paddock_outbound::with_query(realm, &pairs)
}

fn token_of(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Given {
        token: Option<String>,
        access_token: Option<String>,
    }
    let given: Given = serde_json::from_slice(answer).ok()?;
    given.token.or(given.access_token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_a_token_is_given() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull""#;
        let url = token_url(hub, "library/x").unwrap();
        assert_eq!(
            url,
            "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fx%3Apull"
        );
        let other = r#"bearer realm="https://h/t?a=b""#;
        assert_eq!(token_url(other, "a").unwrap(), "https://h/t?a=b&scope=repository%3Aa%3Apull");
        for bad in ["Basic realm=\"x\"", "", "Bearer", "Bearer service=\"x\""] {
            assert_eq!(token_url(bad, "a"), None, "{bad}");
        }
    }

    /// A registry that gives a token, good for one answer, and one manifest; what it was asked for.
    fn stand_in() -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (asked, own, tokens) =
            (Arc::<std::sync::Mutex<Vec<String>>>::default(), host.clone(), Arc::default());
        let told: Arc<std::sync::Mutex<Vec<String>>> = asked.clone();
        let tokens: Arc<std::sync::Mutex<usize>> = tokens;
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let token =
                    head.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none");
                told.lock().unwrap().push(format!("{} {token}", head[0]));
                let mut given = tokens.lock().unwrap();
                let (status, body) = if head[0].starts_with("GET /token") {
                    *given += 1;
                    ("200 OK", format!("{{\"token\":\"t{given}\"}}"))
                } else if token == format!("Bearer t{given}") {
                    ("200 OK", "{}".to_owned())
                } else {
                    ("401 Unauthorized", String::new())
                };
                let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"s\"");
                let answer = format!(
                    "HTTP/1.1 {status}\r\nWWW-Authenticate: {challenge}\r\nContent-Type: a/b\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (host, asked)
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_again_when_it_has_run_out() {
        let (host, asked) = stand_in();
        let roots = paddock_outbound::Roots::of_system().unwrap();
        let outbound = Outbound::new(vec!["127.0.0.1/32".parse().unwrap()], roots);
        let image: RemoteImage = format!("{host}/a/b:1").parse().unwrap();
        let registry = RemoteRegistry::new(&outbound, &image);
        for _ in 0..2 {
            let Ok(manifest) = registry.manifest("1").await else { panic!("it is not given") };
            assert_eq!((&manifest.media_type[..], &manifest.content[..]), ("a/b", &b"{}"[..]));
        }
        *registry.token.lock().await = Some("old".to_owned());
        assert!(registry.manifest("1").await.is_ok());
        let of = "GET /v2/a/b/manifests/1 HTTP/1.1";
        let token = "GET /token?service=s&scope=repository%3Aa%2Fb%3Apull HTTP/1.1 none";
        let expected = [
            format!("{of} none"),
            token.to_owned(),
            format!("{of} Bearer t1"),
            format!("{of} Bearer t1"),
            format!("{of} Bearer old"),
            token.to_owned(),
            format!("{of} Bearer t2"),
        ];
        assert_eq!(*asked.lock().unwrap(), expected);
        let Err(Trouble::Told(why)) = registry.manifest(&format!("sha256:{}", "0".repeat(64))).await else {
            panic!("other bytes are taken for what was asked")
        };
        assert!(why.contains("answers with sha256:44136fa"), "{why}");
    }

    #[test]
    fn a_token_has_either_of_two_names() {
        assert_eq!(token_of(br#"{"token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token_of(br#"{"access_token":"b","expires_in":60}"#).as_deref(), Some("b"));
        for bad in [&b"{}"[..], b"[]", b"", br#"{"token":""}"#] {
            assert_eq!(token_of(bad), None);
        }
    }
}
