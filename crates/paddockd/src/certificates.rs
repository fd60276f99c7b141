//! Keeps the certificates of our own authorities valid: another one is issued a month before the end of the old, and the
//! router uses it from then on, without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_control::certificate_authority::{self, RENEWED_BEFORE};
use paddock_control::reconcile::{PassReport, Reconciler};
use paddock_control::{Control, Error, Result};
use paddock_core::UnixMicros;

use crate::certificate_end::end_of;
use crate::paths::Paths;
use crate::proxy_form::ProxyForm;
use crate::router_process::RouterProcess;

/// Renews the platform's certificate and the proxy form's.
pub(crate) struct CertificateReconciler {
    pub(crate) control: Arc<Control>,
    pub(crate) router: Arc<RouterProcess>,
    pub(crate) proxy_form: Arc<ProxyForm>,
    pub(crate) paths: Paths,
}

#[async_trait]
impl Reconciler for CertificateReconciler {
    const NAME: &'static str = "certificates";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn pass(&mut self) -> Result<PassReport> {
        let now = self.control.now();
        let mut done = 0;
        if ends_soon(&self.certificate("tls"), now) {
            let renewed =
                certificate_authority::prepare(&self.paths.ca(), &self.control.config().domain, now);
            let renewed =
                renewed.map_err(|error| Error::internal("renew the platform's certificate", error))?;
            self.router
                .prepare_folder(&renewed.chain_pem, &renewed.key_pem)
                .map_err(|error| Error::internal("give the router its certificate", error))?;
            self.control.routing.have_certificates_read().await;
            tracing::info!("renewed the platform's certificate");
            done += 1;
        }
        if ends_soon(&self.certificate("proxy-form"), now) {
            let renewed = self.proxy_form.resume(&self.control).await;
            renewed.map_err(|error| Error::internal("renew the proxy form's certificate", error))?;
            tracing::info!("renewed the proxy form's certificate");
            done += 1;
        }
        Ok(PassReport { done, ..PassReport::default() })
    }
}

impl CertificateReconciler {
    fn certificate(&self, folder: &str) -> PathBuf {
        self.paths.router().join(folder).join("cert.pem")
    }
}

/// Whether a certificate is there whose end is near, or that cannot be read.
fn ends_soon(certificate: &Path, now: UnixMicros) -> bool {
    let Ok(pem) = std::fs::read_to_string(certificate) else { return false };
    let begins_to_end = now + RENEWED_BEFORE;
    end_of(&pem).is_none_or(|end| end.as_microsecond() <= begins_to_end.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_a_month_before_its_end_and_not_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixMicros(1_780_000_000_000_000);
        let day = |days: u64| now + Duration::from_secs(days * 24 * 60 * 60);
        let made = certificate_authority::prepare(folder.path(), "paddock.localhost", now).unwrap();
        let file = folder.path().join("cert.pem");
        assert!(!ends_soon(&file, now), "there is none");
        std::fs::write(&file, &made.chain_pem).unwrap();
        let end = end_of(&made.chain_pem).unwrap().as_microsecond();
        assert!(end <= day(825).0, "clients refuse what is longer");
        assert!(!ends_soon(&file, now) && !ends_soon(&file, day(360)));
        assert!(ends_soon(&file, day(370)) && ends_soon(&file, day(4000)));
        std::fs::write(&file, "cut off").unwrap();
        assert!(ends_soon(&file, now));
    }
}
