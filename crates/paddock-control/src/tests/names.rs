//! Names of data services, as the router is told of them.

use std::time::Duration;

use paddock_core::AppRef;
use paddock_ipc::routes::{DataNames, Web};
use paddock_runtime::Runtime as _;

use crate::addons::AttachmentOrder;
use crate::dynos::reconcile::FormationReconciler;
use crate::kernel::label;
use crate::kernel::reconcile::Reconciler as _;
use crate::tests::Still;

#[tokio::test]
async fn a_dyno_that_boots_is_told_of_before_it_listens() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let other = t.deployed_app("other", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;
    let order = AttachmentOrder { addon: "shop-fake".to_owned(), ..AttachmentOrder::default() };
    t.control.addons.attach(&t.actor(), &AppRef::Id(app), order).await.unwrap();
    let route = async |of| t.control.routing.publisher.route(of).await.unwrap().unwrap();

    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let mut woken = t.control.kernel.wakes.dynos.listen();
    let told = async {
        loop {
            formation.pass().await.unwrap();
            let now = route(app).await;
            if !now.data.askers.is_empty() {
                return now;
            }
            woken.heard(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("its dyno is told of");
    assert_eq!(told.web, Web::Starting, "it does not listen");
    let observed = t.runtime.observe().await.unwrap();
    let own = observed.iter().find(|one| label::dyno_of(one).is_some_and(|dyno| dyno.app == app)).unwrap();
    assert_eq!(told.data.askers, [own.address.unwrap()]);
    assert_eq!(told.data.addresses, [(addon.to_string(), "10.1.2.3".parse().unwrap())].into());
    assert_eq!(route(other).await.data, DataNames::default());
}
