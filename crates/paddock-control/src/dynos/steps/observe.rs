//! What is seen of a dyno's container, written over what the store has of it.

use std::net::SocketAddr;
use std::time::Duration;

use paddock_core::dyno::DynoState;
use paddock_runtime::Observed;
use paddock_store::{App, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::sight::Sight;
use crate::kernel::change::Change;
use crate::kernel::error::Error;

/// A program may listen on something else before it listens where it should.
const OTHER_PORT_AFTER: Duration = Duration::from_secs(3);

impl Dynos {
    /// Whether a booting dyno is ready: a web dyno must listen where the router can reach it.
    pub(crate) async fn listens(&self, dyno: &Dyno, observed: &Observed) -> bool {
        let Some(port) = dyno.port else { return true };
        let listening = self.runtime.listening(observed.id).await.unwrap_or_default();
        listening.iter().any(|socket| {
            socket.port() == port && (socket.ip().is_unspecified() || Some(socket.ip()) == observed.address)
        })
    }

    /// Writes down where a dyno is that boots, for what it is to be told by name before it is up.
    pub(crate) async fn note_address(&self, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let address = sight.container(dyno).and_then(|observed| observed.address);
        if address.is_none() || dyno.address == address {
            return Ok(());
        }
        if self.kernel.store.attachments_of_app(dyno.app_id).await?.is_empty() {
            return Ok(());
        }
        let mut tx = self.kernel.observe_app(dyno.app_id, "note the address of a dyno").await?;
        let Some(now) = tx.dyno(dyno.id).await?.filter(|now| now.state == DynoState::Starting) else {
            return Ok(());
        };
        tx.put_dyno(&Dyno { address, ..now }).await?;
        tx.commit_quietly("dyno.address_noted").await
    }

    /// A web process that listens elsewhere than it was told: that is said long before its time is up.
    pub(crate) async fn note_other_port(&self, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let (Some(port), Some(observed)) = (dyno.port, sight.container(dyno)) else { return Ok(()) };
        if !dyno.remark.is_empty() || self.kernel.now().since(observed.started_at) < OTHER_PORT_AFTER {
            return Ok(());
        }
        let listening = self.runtime.listening(observed.id).await.unwrap_or_default();
        let Some(remark) = other_port(port, &listening) else { return Ok(()) };
        let mut tx = self.kernel.observe_app(dyno.app_id, "note where a dyno listens").await?;
        tx.set_dyno_remark(dyno.id, &remark).await?;
        tx.commit_quietly("dyno.port_noted").await?;
        let hint = boot_hint(port, &listening);
        self.kernel.log_dyno(dyno.app_id, &dyno.name.to_string(), vec![hint]).await;
        Ok(())
    }

    /// A release command that listens is a server: it does not end, and its release waits for that until its time is up.
    pub(crate) async fn note_server_in_release(&self, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let Some(observed) = sight.container(dyno) else { return Ok(()) };
        if self.kernel.now().since(observed.started_at) < OTHER_PORT_AFTER {
            return Ok(());
        }
        let mut listening = self.runtime.listening(observed.id).await.unwrap_or_default();
        // What only its own processes reach may be a part of its work.
        listening.retain(|socket| !socket.ip().is_loopback());
        let Some(remark) = server_in_release(&listening) else { return Ok(()) };
        let mut tx = self.kernel.observe_app(dyno.app_id, "note that a release command listens").await?;
        tx.set_dyno_remark(dyno.id, &remark).await?;
        tx.commit_quietly("dyno.release_listening_noted").await?;
        let line = format!(
            "The release command {remark}. If it is one, end it by heroku ps:stop {} and release one that ends",
            dyno.name
        );
        self.kernel.log_dyno(dyno.app_id, &dyno.name.to_string(), vec![line]).await;
        Ok(())
    }

    /// The dyno runs, or listens: it is up.
    pub(crate) async fn mark_dyno_up(&self, app: &App, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let address = sight.container(dyno).and_then(|observed| observed.address);
        let up = |dyno| Dyno { address, ..dyno };
        let Some(tx) = self.put_state(app, dyno, DynoState::Up, up).await? else { return Ok(()) };
        tx.commit_quietly("dyno.up").await?;
        self.kernel
            .log_dyno(app.id, &dyno.name.to_string(), vec!["State changed from starting to up".into()])
            .await;
        Ok(())
    }

    /// Writes what became of a dyno over what the store has of it now: the news of a start may be minutes old. The
    /// transaction is to be committed; `None` when the dyno is gone.
    pub(crate) async fn put_state(
        &self,
        app: &App,
        dyno: &Dyno,
        next: DynoState,
        change: impl FnOnce(Dyno) -> Dyno,
    ) -> Result<Option<Change<'_>>> {
        let mut tx = self.kernel.observe_app(app.id, "change the state of a dyno").await?;
        let Some(now) = tx.dyno(dyno.id).await? else { return Ok(None) };
        if !now.state.may_become(next) {
            let (name, state, next) = (&now.name, now.state.as_str(), next.as_str());
            let refused = format!("{name} is {state}, which {next} cannot follow");
            return Err(Error::internal("change the state of a dyno", refused));
        }
        let changed = Dyno { state: next, state_changed_at: tx.now(), ..change(now) };
        tx.put_dyno(&changed).await?;
        Ok(Some(tx))
    }
}

/// A sentence for the commonest first failure: an app on its own port, or on 127.0.0.1.
pub(super) fn boot_hint(port: u16, listening: &[SocketAddr]) -> String {
    let bound: Vec<_> = listening.iter().map(ToString::to_string).collect();
    if listening.iter().any(|socket| socket.port() == port && socket.ip().is_loopback()) {
        return format!(
            "The process listens on {} only: bind 0.0.0.0:$PORT instead of a loopback address",
            bound.join(", ")
        );
    }
    if bound.is_empty() {
        return format!("The process bound no port: it must listen on 0.0.0.0:$PORT (here PORT={port})");
    }
    format!(
        "The process listens on {}: it must listen on 0.0.0.0:$PORT (here PORT={port}) instead",
        bound.join(", ")
    )
}

/// What `ps` says of a process that listens, but not where it should.
fn other_port(port: u16, listening: &[SocketAddr]) -> Option<String> {
    // It may have begun to after it was asked for an answer.
    if listening.iter().any(|socket| socket.port() == port && !socket.ip().is_loopback()) {
        return None;
    }
    let bound: Vec<_> = listening.iter().map(ToString::to_string).collect();
    (!bound.is_empty())
        .then(|| format!("listens on {}, not on 0.0.0.0:$PORT (PORT={port})", bound.join(", ")))
}

/// What `ps` says of a release command that listens.
fn server_in_release(listening: &[SocketAddr]) -> Option<String> {
    let bound: Vec<_> = listening.iter().map(ToString::to_string).collect();
    (!bound.is_empty())
        .then(|| format!("listens on {}, as servers do, and the release waits for its end", bound.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_what_was_bound() {
        let at = |text: &str| text.parse().unwrap();
        assert!(boot_hint(5000, &[]).contains("no port"));
        assert!(boot_hint(5000, &[at("127.0.0.1:5000")]).contains("loopback"));
        let other = boot_hint(5000, &[at("0.0.0.0:3000")]);
        assert!(other.contains("0.0.0.0:3000") && other.contains("PORT=5000"), "{other}");
        let remark = other_port(5000, &[at("0.0.0.0:3000")]).unwrap();
        assert_eq!(remark, "listens on 0.0.0.0:3000, not on 0.0.0.0:$PORT (PORT=5000)");
        assert_eq!(other_port(5000, &[]), None);
        assert_eq!(other_port(5000, &[at("0.0.0.0:3000"), at("[::]:5000")]), None);
        assert!(other_port(5000, &[at("127.0.0.1:5000")]).is_some());
    }
}
