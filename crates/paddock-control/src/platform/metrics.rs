//! Numbers for the operator, in the text form that Prometheus reads.
//!
//! Counted as it happens: passes of reconcilers, requests by class of status, how old lines are when they are durable.
//! Asked when somebody looks: what the store has and did, and the disk. Labels are words of a known set, never names
//! of apps, paths or ids.

use std::fmt::Write;

use paddock_store::Counted;

use crate::kernel::dump_databases::{DUMPS, SET_ASIDE, TO_FILL};
use crate::kernel::error::Error;
use crate::kernel::numbers::lock;
use crate::platform::Platform;
use crate::{Actor, Result};

impl Platform {
    /// The metrics, for the operator: the account that the server was made with.
    ///
    /// # Errors
    /// `not_found` for everybody else.
    pub async fn metrics_for(&self, actor: &Actor) -> Result<String> {
        let accounts = self.kernel.store.accounts().await?;
        match accounts.first() {
            Some(operator) if operator.id == actor.account_id => self.metrics().await,
            _ => Err(Error::not_found("resource")),
        }
    }

    /// What does not work as it should now, a sentence each, for who owns the data directory.
    pub async fn troubles(&self) -> Result<Vec<String>> {
        let mut troubles = self.kernel.numbers.troubles();
        if self.kernel.store.is_data_key_rotating().await? {
            troubles.push("a new data key was made and not every secret is sealed with it; run again: paddockd keys rotate --data-key".into());
        }
        troubles.extend(self.dumps_set_aside().await?);
        Ok(troubles)
    }

    /// Databases that could not be filled after a restore.
    async fn dumps_set_aside(&self) -> Result<Vec<String>> {
        let folder = self.kernel.config.data_dir.join(DUMPS);
        let mut troubles = Vec::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let id =
                file.to_str().and_then(|name| name.strip_suffix(SET_ASIDE)?.strip_suffix('.')?.parse().ok());
            let Some(id) = id else { continue };
            let Some(row) = self.kernel.store.addon(id).await? else { continue };
            let path = folder.join(id.to_string());
            let path = path.display();
            troubles.push(format!(
                "the database {} could not be filled from its dump, and is closed; the server's log says why. To have it tried again: mv {path}.{SET_ASIDE} {path}.{TO_FILL}",
                row.name
            ));
        }
        Ok(troubles)
    }

    /// The metrics, for who owns the data directory.
    pub async fn metrics(&self) -> Result<String> {
        let mut text = Exposition::default();
        self.write_passes(&mut text);
        self.write_traffic(&mut text);
        self.write_store(&mut text).await?;
        self.write_disk(&mut text).await?;
        Ok(text.0)
    }

    fn write_passes(&self, text: &mut Exposition) {
        let passes = lock(&self.kernel.numbers.passes).clone();
        let of = |name: &'static str| [("reconciler", name)];
        text.counter("paddock_control_passes_total", "Passes of reconcilers by outcome.");
        for (name, passes) in &passes {
            for (outcome, number) in [("succeeded", passes.succeeded), ("failed", passes.failed)] {
                let labels = [("reconciler", *name), ("outcome", outcome)];
                text.sample("paddock_control_passes_total", &labels, number as f64);
            }
        }
        text.counter("paddock_control_pass_steps_total", "Steps that passes carried out, by outcome.");
        for (name, passes) in &passes {
            for (outcome, number) in [("succeeded", passes.steps_done), ("failed", passes.steps_failed)] {
                let labels = [("reconciler", *name), ("outcome", outcome)];
                text.sample("paddock_control_pass_steps_total", &labels, number as f64);
            }
        }
        text.counter("paddock_control_pass_duration_seconds_total", "Time spent in passes.");
        for (name, passes) in &passes {
            let seconds = passes.duration.as_secs_f64();
            text.sample("paddock_control_pass_duration_seconds_total", &of(name), seconds);
        }
        text.gauge(
            "paddock_control_pass_age_seconds",
            "Time since the last pass that succeeded, or since the start.",
        );
        for (name, passes) in &passes {
            let since = passes.last_success.unwrap_or(self.kernel.numbers.started);
            text.sample("paddock_control_pass_age_seconds", &of(name), since.elapsed().as_secs_f64());
        }
    }

    fn write_traffic(&self, text: &mut Exposition) {
        text.gauge("paddock_control_uptime_seconds", "Time since the control plane was started.");
        text.sample(
            "paddock_control_uptime_seconds",
            &[],
            self.kernel.numbers.started.elapsed().as_secs_f64(),
        );
        text.counter("paddock_router_requests_total", "Requests to apps, by class of status, as collected.");
        for class in ['1', '2', '3', '4', '5'] {
            let number = lock(&self.kernel.numbers.requests).get(&class).copied().unwrap_or_default();
            let label = format!("{class}xx");
            text.sample("paddock_router_requests_total", &[("status", &label)], number as f64);
        }
        let lags = lock(&self.kernel.numbers.log_lag).clone();
        text.gauge("paddock_telemetry_log_lag_seconds", "Age of the newest lines when they were durable.");
        for (source, lag) in lags {
            text.sample("paddock_telemetry_log_lag_seconds", &[("source", source)], lag.as_secs_f64());
        }
    }

    async fn write_store(&self, text: &mut Exposition) -> Result<()> {
        for (counted, name, label, help) in [
            (Counted::Apps, "paddock_control_apps", "apps", "Apps."),
            (Counted::Builds, "paddock_control_builds", "status", "Builds by status."),
            (Counted::Releases, "paddock_control_releases", "status", "Releases by status."),
            (Counted::Dynos, "paddock_control_dynos", "state", "Dynos by state."),
        ] {
            text.gauge(name, help);
            for count in self.kernel.store.count(counted).await? {
                text.sample(name, &[(label, &count.word)], count.number as f64);
            }
        }
        let (jobs, now) = (self.kernel.store.open_jobs().await?, self.kernel.now());
        text.gauge("paddock_control_jobs", "Jobs that wait or run.");
        for open in &jobs {
            let labels = [("kind", open.kind.as_str()), ("state", &open.state)];
            text.sample("paddock_control_jobs", &labels, open.number as f64);
        }
        text.gauge("paddock_control_job_age_seconds", "Age of the oldest job that waits or runs.");
        for open in &jobs {
            let labels = [("kind", open.kind.as_str()), ("state", &open.state)];
            let age = (now.0 - open.oldest_at.0).max(0) as f64 / 1e6;
            text.sample("paddock_control_job_age_seconds", &labels, age);
        }
        let done = self.kernel.store.statistics();
        text.counter("paddock_store_transactions_total", "Transactions by outcome.");
        for (outcome, number) in [("committed", done.committed), ("rolled_back", done.rolled_back)] {
            text.sample("paddock_store_transactions_total", &[("outcome", outcome)], number as f64);
        }
        text.counter("paddock_store_reads_total", "Reads outside of transactions.");
        text.sample("paddock_store_reads_total", &[], done.reads as f64);
        text.counter("paddock_store_wait_seconds_total", "Time that transactions waited for their turn.");
        text.sample("paddock_store_wait_seconds_total", &[], done.waited.as_secs_f64());
        text.counter(
            "paddock_store_transaction_seconds_total",
            "Time that transactions took, commit included.",
        );
        text.sample("paddock_store_transaction_seconds_total", &[], done.held.as_secs_f64());
        Ok(())
    }

    async fn write_disk(&self, text: &mut Exposition) -> Result<()> {
        let layers = self.layers.list().await;
        let layers = layers.map_err(|error| Error::internal("measure the layers", error))?;
        let data = self.kernel.config.data_dir.clone();
        let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&data));
        let stat = asked.await.map_err(|error| Error::internal("measure the disk", error))?;
        let stat = stat.map_err(|error| Error::internal("measure the disk", error))?;
        for (name, help, value) in [
            (
                "paddock_control_data_size_bytes",
                "Size of the file system of the data directory.",
                stat.f_blocks * stat.f_frsize,
            ),
            ("paddock_control_data_free_bytes", "Bytes that are free there.", stat.f_bavail * stat.f_frsize),
            ("paddock_control_data_free_inodes", "Inodes that are free there.", stat.f_favail),
            (
                "paddock_images_layers_bytes",
                "Bytes of all layers.",
                layers.iter().map(|(_, bytes)| bytes).sum(),
            ),
        ] {
            text.gauge(name, help);
            text.sample(name, &[], value as f64);
        }
        Ok(())
    }
}

/// Text in the exposition format, version 0.0.4.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    fn counter(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} counter");
    }

    fn gauge(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kernel::numbers::Numbers;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut text = Exposition::default();
        text.counter("paddock_control_passes_total", "Passes.");
        text.sample(
            "paddock_control_passes_total",
            &[("reconciler", "a\"b\\c\nd"), ("outcome", "failed")],
            3.0,
        );
        text.gauge("paddock_control_uptime_seconds", "Time.");
        text.sample("paddock_control_uptime_seconds", &[], 1.5);
        assert_eq!(
            text.0,
            "# HELP paddock_control_passes_total Passes.\n# TYPE paddock_control_passes_total counter\n\
             paddock_control_passes_total{reconciler=\"a\\\"b\\\\c\\nd\",outcome=\"failed\"} 3\n\
             # HELP paddock_control_uptime_seconds Time.\n# TYPE paddock_control_uptime_seconds gauge\n\
             paddock_control_uptime_seconds 1.5\n"
        );
    }

    #[test]
    fn requests_are_counted_by_what_the_router_says_not_the_client() {
        let numbers = Numbers::default();
        numbers.request("at=info method=GET path=\"/x status=200\" host=a status=503 bytes=1 protocol=http");
        numbers.request("at=info method=GET path=\"/\" host=a status=204 bytes=0 protocol=http");
        numbers.request("no router line");
        assert_eq!(*lock(&numbers.requests), BTreeMap::from([('2', 1), ('5', 1)]));
    }
}
