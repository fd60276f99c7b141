//! A file becomes an object: at once, or in parts. An object is there when all of it is, and never a half.

use std::fs::File;
use std::sync::Arc;

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, ETAG};
use rusty_s3::Method;

use super::request::Part;
use super::xml::{escaped, text};
use super::{Bucket, S3Error};

/// Stores take no smaller part, but for the last.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Stores take 10,000.
const PARTS_MAX: u64 = 9_000;
const KEEP: &str = "keep an object";

impl Bucket {
    /// Keeps a file under a name, in place of what had the name. How many bytes.
    ///
    /// # Errors
    /// [`S3Error`]; then nothing is there, as far as that could be seen to.
    pub async fn put(&self, name: &str, file: File) -> Result<u64, S3Error> {
        let bytes = file.metadata().map_err(S3Error::File)?.len();
        let file = Arc::new(file);
        if bytes <= PART_BYTES_MIN {
            let whole = || Part::OfFile(file.clone(), 0, bytes);
            self.tried(|| self.answered(Method::Put, name, &[], whole(), KEEP)).await?;
        } else {
            self.put_in_parts(name, &file, bytes).await?;
        }
        match self.bytes_of(name).await? {
            kept if kept == bytes => Ok(bytes),
            _ => Err(self.unreadable("what it keeps is not as long as what it was given")),
        }
    }

    async fn put_in_parts(&self, name: &str, file: &Arc<File>, bytes: u64) -> Result<(), S3Error> {
        let upload = self.begin(name).await?;
        let sent = match self.send_parts(name, &upload, file, bytes).await {
            Ok(tags) => self.complete(name, &upload, &tags, bytes).await,
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // Parts cost as objects do. What cannot be given up now is found among the unfinished.
            let _ = self.abort(name, &upload).await;
        }
        sent
    }

    async fn send_parts(
        &self,
        name: &str,
        upload: &str,
        file: &Arc<File>,
        bytes: u64,
    ) -> Result<Vec<String>, S3Error> {
        let size = part_bytes(bytes);
        let mut tags = Vec::new();
        let mut at = 0;
        while at < bytes {
            let many = size.min(bytes - at);
            let number = (tags.len() + 1).to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let part = || Part::OfFile(file.clone(), at, many);
            let answer = self.tried(|| self.answered(Method::Put, name, &query, part(), KEEP)).await?;
            let tag = answer.response.headers().get(ETAG).map(HeaderValue::to_str);
            let tag = tag.and_then(Result::ok).ok_or_else(|| self.unreadable("a part has no tag"))?;
            tags.push(tag.to_owned());
            at += many;
        }
        Ok(tags)
    }

    /// Begins an upload; its id.
    pub(super) async fn begin(&self, name: &str) -> Result<String, S3Error> {
        self.tried(|| async {
            let answer = self.answered(Method::Post, name, &[("uploads", "")], Part::Nothing, KEEP).await?;
            let said = self.text_of(answer).await?;
            text(&said, "UploadId").ok_or_else(|| self.unreadable("an upload has no id"))
        })
        .await
    }

    async fn complete(&self, name: &str, upload: &str, tags: &[String], bytes: u64) -> Result<(), S3Error> {
        let part = |(number, tag): (usize, &String)| {
            format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", number + 1, escaped(tag))
        };
        let parts: String = tags.iter().enumerate().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let completed = self
            .tried(|| async {
                let query = [("uploadId", upload)];
                let answer =
                    self.answered(Method::Post, name, &query, Part::Text(body.clone()), KEEP).await?;
                let status = answer.response.status();
                let said = self.text_of(answer).await?;
                // It begins to answer before it has done.
                match said.contains("<Error>") {
                    true => Err(self.meant(http::StatusCode::INTERNAL_SERVER_ERROR, &said, name, KEEP)),
                    false if status.is_success() => Ok(()),
                    false => Err(self.unreadable("an upload ended without success")),
                }
            })
            .await;
        match completed {
            // An answer that was lost, and the upload is an object already.
            Err(S3Error::NoObject) if self.bytes_of(name).await? == bytes => Ok(()),
            completed => completed,
        }
    }

    /// Gives up an upload; one that is gone already is as well.
    pub(super) async fn abort(&self, name: &str, upload: &str) -> Result<(), S3Error> {
        let query = [("uploadId", upload)];
        let doing = "give up an upload";
        match self.tried(|| self.answered(Method::Delete, name, &query, Part::Nothing, doing)).await {
            Ok(_) | Err(S3Error::NoObject) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn bytes_of(&self, name: &str) -> Result<u64, S3Error> {
        let doing = "look at an object";
        let answer = self.tried(|| self.answered(Method::Head, name, &[], Part::Nothing, doing)).await?;
        let length = answer.response.headers().get(CONTENT_LENGTH).map(HeaderValue::to_str);
        let length = length.and_then(|text| text.ok()?.parse().ok());
        length.ok_or_else(|| self.unreadable("it does not say how long an object is"))
    }
}

/// As small as may be, since a part that fails is sent again whole.
fn part_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(PARTS_MAX).max(PART_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_parts_than_stores_take() {
        for bytes in [PART_BYTES_MIN + 1, 1 << 30, 1 << 36, 1 << 42] {
            let parts = bytes.div_ceil(part_bytes(bytes));
            assert!((2..10_000).contains(&parts), "{bytes}: {parts}");
        }
        assert_eq!(part_bytes(1 << 30), PART_BYTES_MIN);
    }
}
