//! What the platform itself says in an app's log, in Heroku's words.

use paddock_core::log::{LogLine, Source};
use paddock_core::{AppId, UnixMicros};
use paddock_telemetry::LogError;

use crate::kernel::Kernel;
use crate::kernel::error::chain;

impl Kernel {
    /// A line about what somebody did through the API: `app[api]: Scaled to web@2:Basic by user a@b.c`.
    ///
    /// The deed is durable already; a log that cannot be written is the operator's to know, not a reason to fail.
    pub async fn log_api(&self, app: AppId, text: impl Into<String>) {
        self.log_api_lines(app, vec![text.into()]).await;
    }

    pub(crate) async fn log_api_lines(&self, app: AppId, texts: Vec<String>) {
        self.log(app, Source::App, "api", texts).await;
    }

    /// Lines of the dyno manager about one dyno: `heroku[web.1]: State changed from starting to up`.
    pub(crate) async fn log_dyno(&self, app: AppId, dyno: &str, texts: Vec<String>) {
        self.log(app, Source::Heroku, dyno, texts).await;
    }

    /// A line of an add-on of the app: `app[heroku-postgres]: source=DATABASE …`.
    pub(crate) async fn log_addon(&self, app: AppId, process: &str, text: String) {
        self.log(app, Source::App, process, vec![text]).await;
    }

    async fn log(&self, app: AppId, source: Source, process: &str, texts: Vec<String>) {
        let at = self.now();
        let lines = texts
            .into_iter()
            .enumerate()
            // A microsecond apart, so that their order shows.
            .map(|(index, text)| LogLine {
                at: UnixMicros(at.0 + i64::try_from(index).unwrap_or(0)),
                source,
                process: process.to_owned(),
                text,
            })
            .collect();
        match self.logs.append(app, lines).await {
            // The app was destroyed meanwhile: nobody can read it.
            Ok(()) | Err(LogError::Deleted(_)) => {}
            Err(error) => {
                tracing::error!(app.id = %app, error = chain(&error), "could not write to the log of app {app}");
            }
        }
    }
}
