//! Starts and ends of containers, carried out beside the passes of the formation reconciler.
//!
//! A start takes as long as a disk, a mount or the network takes, an end as long as a shim takes to answer. A pass says
//! what is to be done and goes on: nobody waits for another app's container. Nothing is queued here. What has no place
//! now is planned again, from the store, by a later pass; what was under way when the server was killed is found by the
//! next start as every other half done thing is.
//!
//! An errand is over in this order: what it did is done, it is no longer under way, the next pass is woken. A pass
//! asks what is under way before it looks at anything, so it sees either that an errand is under way or all it did.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use paddock_core::plan::errands;
use paddock_core::{AppId, ContainerId, ErrorId};
use tokio::task::JoinSet;

use crate::Result;
use crate::kernel::error::chain;

/// What an errand does. Starts and ends have places of their own: a start that hangs holds no end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ErrandKind {
    Start,
    End,
}

/// The start or the end of one container, which takes a while.
pub(crate) struct Errand {
    pub(crate) container: ContainerId,
    pub(crate) app: AppId,
    /// Of the dyno, for the log.
    pub(crate) name: String,
    pub(crate) kind: ErrandKind,
    /// What the pass itself does once the errand has a place: rows and lines that others wait for or read in order.
    pub(crate) announce: Option<BoxFuture<'static, Result<()>>>,
    pub(crate) work: BoxFuture<'static, Result<()>>,
}

/// Containers that are being started or ended, each with its app.
pub(crate) type UnderWay = HashMap<ContainerId, (AppId, ErrandKind)>;

/// The errands of a reconciler: what is under way, and the tasks that do it.
pub(crate) struct Errands {
    under_way: Arc<Mutex<UnderWay>>,
    tasks: JoinSet<bool>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Errands {
    /// `wake` is called when an errand has succeeded.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { under_way: Arc::default(), tasks: JoinSet::new(), wake: Arc::new(wake) }
    }

    /// What is under way now.
    pub(crate) fn under_way(&self) -> UnderWay {
        lock(&self.under_way).clone()
    }

    /// Begins what has a place; the rest is dropped and must be asked for again. How many began, and how many could not.
    pub(crate) async fn begin(&mut self, wanted: Vec<Errand>) -> (usize, usize) {
        let (ends, starts) = wanted.into_iter().partition(|errand| errand.kind == ErrandKind::End);
        // Ends first: a restart tells that the old dyno is stopped before it tells that the new one starts.
        let mut picked = self.pick(ErrandKind::End, ends);
        picked.extend(self.pick(ErrandKind::Start, starts));
        let (mut begun, mut failed) = (0, 0);
        for mut errand in picked {
            let announced = match errand.announce.take() {
                Some(announce) => announce.await,
                None => Ok(()),
            };
            if told(&errand, announced) {
                self.spawn(errand);
                begun += 1;
            } else {
                failed += 1;
            }
        }
        (begun, failed)
    }

    fn pick(&self, kind: ErrandKind, mut wanted: Vec<Errand>) -> Vec<Errand> {
        let under_way = self.under_way();
        wanted.retain(|errand| !under_way.contains_key(&errand.container));
        // The time of its making is the first part of an id.
        wanted.sort_by_key(|errand| errand.container);
        let of_kind = under_way.values().filter(|(_, other)| *other == kind);
        let busy: Vec<_> = of_kind.map(|(app, _)| *app).collect();
        let waiting: Vec<_> = wanted.iter().map(|errand| errand.app).collect();
        let picked = errands::pick(&waiting, &busy);
        let with_place = wanted.into_iter().enumerate().filter(|(position, _)| picked.contains(position));
        with_place.map(|(_, errand)| errand).collect()
    }

    fn spawn(&mut self, mut errand: Errand) {
        lock(&self.under_way).insert(errand.container, (errand.app, errand.kind));
        let place = Place { under_way: self.under_way.clone(), container: errand.container };
        let wake = self.wake.clone();
        self.tasks.spawn(async move {
            let result = (&mut errand.work).await;
            drop(place);
            let succeeded = told(&errand, result);
            // Not where it failed: what has just failed is tried again a while later.
            if succeeded {
                wake();
            }
            succeeded
        });
    }

    /// How many have failed since it was asked last.
    pub(crate) fn failed(&mut self) -> usize {
        let mut failed = 0;
        while let Some(result) = self.tasks.try_join_next() {
            failed += usize::from(!succeeded(result));
        }
        failed
    }

    /// Waits for what is under way.
    pub(crate) async fn end(&mut self) {
        while let Some(result) = self.tasks.join_next().await {
            succeeded(result);
        }
    }
}

/// Whether an errand went well; else the operator is told. That its app was destroyed meanwhile is no failure.
fn told(errand: &Errand, result: Result<()>) -> bool {
    let Err(error) = result else { return true };
    if error.id == ErrorId::NotFound {
        return true;
    }
    let Errand { app, name, kind, .. } = errand;
    let doing = if *kind == ErrandKind::Start { "start" } else { "end" };
    let error = chain(&error);
    tracing::warn!(app.id = %app, dyno.name = name, error, "could not {doing} {name}, will be tried again");
    false
}

fn succeeded(result: std::result::Result<bool, tokio::task::JoinError>) -> bool {
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "a start or an end of a container broke off, will be tried again");
        false
    })
}

/// Keeps a container under way until it is dropped, also by a panic.
struct Place {
    under_way: Arc<Mutex<UnderWay>>,
    container: ContainerId,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.container);
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::Error;
    use crate::kernel::wake::Wake;

    fn id(number: u128) -> ContainerId {
        ContainerId::from_uuid(Uuid::from_u128(number))
    }

    fn start(app: u128, container: u128, work: impl Future<Output = Result<()>> + Send + 'static) -> Errand {
        Errand {
            container: id(container),
            app: AppId::from_uuid(Uuid::from_u128(app)),
            name: format!("web.{container}"),
            kind: ErrandKind::Start,
            announce: None,
            work: work.boxed(),
        }
    }

    fn end(app: u128, container: u128, work: impl Future<Output = Result<()>> + Send + 'static) -> Errand {
        Errand { kind: ErrandKind::End, ..start(app, container, work) }
    }

    /// Errands, and what hears of their ends.
    fn errands() -> (Errands, crate::kernel::wake::Listener) {
        let wake = Arc::new(Wake::default());
        let listener = wake.listen();
        (Errands::new(move || wake.wake()), listener)
    }

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_waiting_and_is_not_begun_twice() {
        let (mut errands, mut listener) = errands();
        let (done, is_done) = oneshot::channel();
        let other = async move {
            let _ = done.send(());
            Ok(())
        };
        assert_eq!(errands.begin(vec![start(1, 1, pending()), start(2, 2, other)]).await, (2, 0));
        tokio::time::timeout(PATIENCE, is_done).await.expect("the other is done").unwrap();
        tokio::time::timeout(PATIENCE, listener.heard(PATIENCE)).await.unwrap();
        assert_eq!(
            errands.under_way().into_keys().collect::<Vec<_>>(),
            [id(1)],
            "not under way when it is told"
        );
        assert_eq!(errands.begin(vec![start(1, 1, async { panic!("begun twice") })]).await, (0, 0));
        assert_eq!(errands.failed(), 0);
    }

    #[tokio::test]
    async fn starts_that_hang_leave_the_places_of_ends() {
        let (mut errands, _) = errands();
        let hanging = (1..=4).map(|number| start(number, number, pending())).collect();
        assert_eq!(errands.begin(hanging).await, (4, 0));
        assert_eq!(errands.begin(vec![start(5, 5, ready(Ok(())))]).await, (0, 0), "it has to wait");
        assert_eq!(errands.begin(vec![end(5, 6, ready(Ok(())))]).await, (1, 0));
    }

    #[tokio::test]
    async fn an_end_is_announced_before_a_start_begins_and_only_with_a_place() {
        let (mut errands, _) = errands();
        let said = Arc::new(Mutex::new(Vec::new()));
        let say = |word: &'static str| {
            let said = said.clone();
            async move {
                said.lock().unwrap().push(word);
                Ok(())
            }
        };
        let mut stop = end(1, 1, ready(Ok(())));
        stop.announce = Some(say("stops").boxed());
        assert_eq!(errands.begin(vec![start(1, 2, say("starts")), stop]).await, (2, 0));
        errands.end().await;
        assert_eq!(*said.lock().unwrap(), ["stops", "starts"]);

        let hanging = (1..=4).map(|number| end(number, number, pending())).collect();
        errands.begin(hanging).await;
        let mut waits = end(5, 5, ready(Ok(())));
        waits.announce = Some(say("too early").boxed());
        assert_eq!(errands.begin(vec![waits]).await, (0, 0));
        assert_eq!(said.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_fails_or_breaks_off_gives_its_place_back_and_is_counted() {
        let (mut errands, _) = errands();
        let fails = async { Err(Error::internal("play", "it fails on purpose")) };
        let gone = async { Err(Error::not_found("app")) };
        let begun = errands.begin(vec![
            start(1, 1, fails),
            start(2, 2, gone),
            start(3, 3, async { panic!("on purpose") }),
        ]);
        begun.await;
        let mut failed = 0;
        while failed < 2 {
            tokio::task::yield_now().await;
            failed += errands.failed();
        }
        errands.end().await;
        assert!(errands.under_way().is_empty());
        assert_eq!(failed + errands.failed(), 2, "a destroyed app is no failure");
    }

    #[tokio::test]
    async fn the_end_waits_for_what_is_under_way() {
        let (mut errands, _) = errands();
        let (go, gone) = oneshot::channel();
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let by_work = done.clone();
        let work = async move {
            let _ = gone.await;
            by_work.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        };
        errands.begin(vec![start(1, 1, work)]).await;
        let ((), ()) = tokio::join!(errands.end(), async move { go.send(()).unwrap() });
        assert!(done.load(std::sync::atomic::Ordering::SeqCst));
    }
}
