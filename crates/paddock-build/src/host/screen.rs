//! What who pushes sees of a build.

use bytes::{BufMut, Bytes, BytesMut};
use paddock_runtime::Output;

use super::{BuildFailure, BuildLog, BuildRequest, FailureKind};
use crate::output;

/// The log of a build, which knows whether a line is open.
pub(super) struct Screen {
    log: BuildLog,
    line_is_open: bool,
}

impl Screen {
    pub(super) fn new(log: BuildLog) -> Self {
        Self { log, line_is_open: false }
    }

    pub(super) async fn piece(&mut self, piece: Output) {
        self.line_is_open = !piece.ends_line;
        if !piece.ends_line {
            return self.send(piece.bytes).await;
        }
        let mut line = BytesMut::with_capacity(piece.bytes.len() + 1);
        line.put(piece.bytes);
        line.put_u8(b'\n');
        self.send(line.freeze()).await;
    }

    pub(super) async fn text(&mut self, text: &str) {
        let start = if self.line_is_open { "\n" } else { "" };
        self.line_is_open = false;
        self.send(Bytes::from(format!("{start}{text}"))).await;
    }

    async fn send(&self, bytes: Bytes) {
        // Nobody needs to read for the build to go on.
        let _ = self.log.send(bytes).await;
    }

    /// The end of a failed build's log.
    pub(super) async fn end(&mut self, failure: &BuildFailure, request: &BuildRequest) {
        let tips = "Leave out what the build does not need (.slugignore, development dependencies),\n\
            clear the cache with `heroku builds:cache:purge`, or ask the operator of this\n\
            server for more (--build-disk).";
        self.end_with(failure, request, "its slug and its cache included", tips).await;
    }

    /// The same for a build of images.
    pub(super) async fn end_of_images(&mut self, failure: &BuildFailure, request: &BuildRequest) {
        let tips = "Leave out what the build does not need (.dockerignore, what RUN downloads and does\n\
            not remove), or ask the operator of this server for more (--build-disk).";
        self.end_with(failure, request, "what each step writes included", tips).await;
    }

    async fn end_with(&mut self, failure: &BuildFailure, request: &BuildRequest, what: &str, tips: &str) {
        let megabytes = |bytes: u64| bytes / (1024 * 1024);
        let problem = match failure.kind {
            FailureKind::TimedOut => {
                format!("Build timed out ({} minutes)", request.time_limit.as_secs().div_ceil(60))
            }
            FailureKind::Canceled => "Build canceled".to_owned(),
            FailureKind::OutOfMemory => {
                format!("Build ran out of memory: it may use {} MB", megabytes(request.limits.memory_bytes))
            }
            FailureKind::OutOfDisk => {
                let most = megabytes(request.disk_bytes.unwrap_or_default());
                format!("Build ran out of disk: it may write {most} MB, {what}.\n\n{tips}")
            }
            FailureKind::Platform => {
                format!(
                    "The platform could not run this build. Try again, or give the operator the build's id: {}",
                    request.build
                )
            }
            _ => String::new(),
        };
        self.text(&format!("{}\n{}\n", output::problem(&problem), output::PUSH_FAILED)).await;
    }
}
