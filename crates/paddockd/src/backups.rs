//! Where backups of apps' databases go, if not into the data folder: what the operator says of a bucket.

use std::path::{Path, PathBuf};

use clap::Args;
use paddock_outbound::Roots;
use paddock_outbound::s3::{Bucket, Keys, Place};

/// What the variables are called that every client of such a store knows.
const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// Where backups go.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackupsArgs {
    /// Bucket of an S3 store that backups of apps' databases go to, as s3://BUCKET or s3://BUCKET/PREFIX [default: DIR/backups]
    ///
    /// Other users of this machine see arguments, so the access key is none: it is read from --backups-key-file, or from
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.
    #[arg(long, value_name = "URL")]
    backups_to: Option<String>,
    /// Address of a store that is not Amazon's, such as https://minio.example.com:9000
    #[arg(long, value_name = "URL", requires = "backups_to")]
    backups_endpoint: Option<String>,
    /// Region that the bucket is in
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    backups_region: String,
    /// File with the access key, in the form of ~/.aws/credentials: aws_access_key_id = …, aws_secret_access_key = …
    #[arg(long, value_name = "FILE", requires = "backups_to")]
    backups_key_file: Option<PathBuf>,
}

/// A bucket that was named, and the key to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupsSettings {
    place: Place,
    keys: Keys,
}

impl BackupsArgs {
    /// The bucket; `None` for the folder. What is wrong is said at once.
    pub(crate) fn read(
        &self,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<BackupsSettings>, String> {
        let Some(url) = &self.backups_to else { return Ok(None) };
        let wrong =
            || format!("--backups-to {url:?} is no bucket, such as s3://backups or s3://backups/paddock");
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let place = Place {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: self.backups_region.clone(),
            endpoint: self.backups_endpoint.clone(),
        };
        let keys = match &self.backups_key_file {
            Some(file) => keys_of_file(file)?,
            None => keys_of(|name| env(name).filter(|value| !value.is_empty())).ok_or_else(|| {
                format!("--backups-to needs an access key: name a file with it (--backups-key-file), or set {ID} and {SECRET}")
            })?,
        };
        let settings = BackupsSettings { place, keys };
        settings.bucket(Roots::none()).map_err(|problem| format!("--backups-to: {problem}"))?;
        Ok(Some(settings))
    }

    pub(crate) fn key_file(&self) -> Option<&Path> {
        self.backups_key_file.as_deref()
    }
}

impl BackupsSettings {
    pub(crate) fn bucket(&self, roots: Roots) -> Result<Bucket, paddock_outbound::s3::InvalidPlace> {
        Bucket::new(self.place.clone(), self.keys.clone(), roots)
    }
}

fn keys_of(value: impl Fn(&str) -> Option<String>) -> Option<Keys> {
    Some(Keys { id: value(ID)?, secret: value(SECRET)?, token: value(TOKEN) })
}

fn keys_of_file(file: &Path) -> Result<Keys, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("could not read --backups-key-file {shown}: {error}"))?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty())
    };
    keys_of(value).ok_or_else(|| {
        format!("--backups-key-file {shown} has no access key: two lines, aws_access_key_id = … and aws_secret_access_key = …")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BackupsArgs,
    }

    fn read(arguments: &[&str], env: &[(&str, &str)]) -> Result<Option<BackupsSettings>, String> {
        let line = std::iter::once("paddockd").chain(arguments.iter().copied());
        let value =
            |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Line::try_parse_from(line).map_err(|error| error.to_string())?.args.read(value)
    }

    const KEY: [(&str, &str); 2] = [(ID, "AKID"), (SECRET, "s3cr3t")];

    #[test]
    fn a_bucket_and_its_key_are_read() {
        assert_eq!(read(&[], &KEY), Ok(None));
        let settings =
            read(&["--backups-to", "s3://kept/a/b", "--backups-region", "eu-west-1"], &KEY).unwrap().unwrap();
        assert_eq!((settings.place.bucket.as_str(), settings.place.prefix.as_str()), ("kept", "a/b"));
        assert_eq!((settings.place.region.as_str(), settings.keys.id.as_str()), ("eu-west-1", "AKID"));
        assert!(!format!("{settings:?}").contains("s3cr3t"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(&file, "[default]\naws_access_key_id = FILED\naws_secret_access_key=x=y\n").unwrap();
        let line = ["--backups-to", "s3://kept", "--backups-key-file", file.to_str().unwrap()];
        let keys = read(&line, &KEY).unwrap().unwrap().keys;
        assert_eq!(keys, Keys { id: "FILED".to_owned(), secret: "x=y".to_owned(), token: None });
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "aws_access_key_id =\n").unwrap();
        let empty = empty.to_str().unwrap();
        for (arguments, env, said) in [
            (&["--backups-to", "kept"][..], &KEY[..], "is no bucket, such as s3://"),
            (&["--backups-to", "s3://Kept"], &KEY, "is no name of a bucket"),
            (
                &["--backups-to", "s3://kept", "--backups-endpoint", "minio:9000"],
                &KEY,
                "is no address of a store",
            ),
            (&["--backups-to", "s3://kept"], &KEY[..1], "--backups-key-file"),
            (&["--backups-to", "s3://kept", "--backups-key-file", "/none"], &KEY, "could not read"),
            (&["--backups-to", "s3://kept", "--backups-key-file", empty], &KEY, "has no access key"),
            (&["--backups-endpoint", "https://x"], &KEY, "--backups-to"),
        ] {
            let refused = read(arguments, env).unwrap_err();
            assert!(refused.contains(said), "{arguments:?}: {refused}");
        }
    }
}
