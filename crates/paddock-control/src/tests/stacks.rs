//! Stacks that the operator adds: tried in a container that lies on them.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use paddock_core::stack::{Stack, StackState};
use paddock_core::{AppRef, ErrorId, UnixMicros};
use paddock_images::users::{Users, users_layer};
use paddock_runtime::{ContainerSpec, Exit, Layer, Network, Root, Runtime as _, RuntimeError, Stream};

use crate::added_stack::{Added, StackImage};
use crate::tests::Still;
use crate::{AppChange, AppOrder, Result};

const PATIENCE: Duration = Duration::from_secs(20);
const USERS: [&str; 2] = ["passwd root:x:0:0:root:/root:/bin/bash", "group root:x:0:"];

impl Still {
    /// A mountable layer that differs by its name.
    fn layer(&self, name: &str) -> File {
        let users = Users::with_dyno(&format!("{name}:x:0:0::/:\n"), "").unwrap();
        users_layer(&users, self.folder.path()).unwrap()
    }

    /// Adds a stack of these layers; each container that tries it says what `say` has for it and ends.
    async fn add_stack(
        &self,
        name: &str,
        layers: &[&str],
        (run, build): (&[usize], &[usize]),
        say: impl Fn(&ContainerSpec) -> Vec<&'static str>,
    ) -> Result<Added> {
        let mut addition = self.control.deploy.begin_stack(name).await?;
        for layer in layers {
            addition.add_layer(self.layer(layer)).await?;
        }
        let (run, build) = (StackImage::Sent(run.to_vec()), StackImage::Sent(build.to_vec()));
        let adding = addition.finish(&run, Some(&build), false);
        let saying = async {
            let mut heard = BTreeSet::new();
            loop {
                for spec in self.runtime.specs().into_iter().filter(|spec| heard.insert(spec.id)) {
                    say(&spec).into_iter().for_each(|line| self.runtime.print(spec.id, Stream::Stdout, line));
                    let exit = Exit { status: 0, out_of_memory: false, killed_after_grace: false };
                    self.runtime.exit(spec.id, exit);
                }
                tokio::task::yield_now().await;
            }
        };
        let added = tokio::time::timeout(PATIENCE, async {
            tokio::select! { added = adding => added, () = saying => unreachable!() }
        });
        added.await.expect("it is tried")
    }
}

fn whole(_: &ContainerSpec) -> Vec<&'static str> {
    [&USERS[..], &["system \"Debian GNU/Linux 12 (bookworm)\"", "whole"]].concat()
}

#[tokio::test]
async fn a_stack_is_tried_and_gets_a_layer_with_the_user_of_dynos() {
    let t = Still::new().await;
    let app = t.deployed_app("tenant", "web", "serve").await.app_id;
    let app = t.control.kernel.store.app(app).await.unwrap().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let say = |spec: &ContainerSpec| {
        seen.lock().unwrap().push(spec.clone());
        whole(spec)
    };
    let added = t.add_stack("bookworm", &["run", "base", "build"], (&[0, 1], &[2, 1]), say).await.unwrap();
    assert_eq!((added.system.as_str(), added.was_there), ("Debian GNU/Linux 12 (bookworm)", false));
    let seen = seen.into_inner().unwrap();
    let [builds, dynos] = &seen[..] else { panic!("it was tried {} times", seen.len()) };
    assert_eq!((builds.mounts.len(), dynos.mounts.len()), (1, 0), "builds see the platform's program");
    assert!(builds.command.contains(&"git".to_owned()) && !dynos.command.contains(&"git".to_owned()));
    for spec in [builds, dynos] {
        assert_eq!((spec.root, spec.network, spec.layers.len()), (Root::Stack, Network::None, 2));
        assert_ne!(spec.tenant, app.tenant());
    }
    assert!(t.runtime.observe().await.unwrap().is_empty(), "what tried it is gone");

    let version = t.control.kernel.store.added_versions().await.unwrap().remove(0);
    assert_eq!((version.version.as_str(), version.run_layers.len()), (added.version.as_str(), 3));
    let below: Vec<_> = version.run_layers[1..].iter().cloned().map(Layer::Stored).collect();
    assert_eq!(below, dynos.layers);
    assert_eq!(version.run_layers[0], version.build_layers[0], "the same users");
    let kept = t.control.kernel.store.kept_layers().await.unwrap();
    let there = t.control.deploy.layers.list().await.unwrap();
    assert!(there.iter().all(|(digest, _)| kept.contains(&digest.to_string())), "{there:?}");
    assert_eq!(there.len(), 4);
}

#[tokio::test]
async fn the_same_again_is_the_same_version_and_what_builds_take() {
    let t = Still::new().await;
    let first = t.add_stack("mine", &["one"], (&[0], &[0]), whole).await.unwrap();
    let second = t.add_stack("mine", &["two"], (&[0], &[0]), whole).await.unwrap();
    let again = t.add_stack("mine", &["one"], (&[0], &[0]), whole).await.unwrap();
    assert_eq!((&again.version, again.was_there, second.was_there), (&first.version, true, false));
    let known = t.control.deploy.known_stacks().await.unwrap();
    let mine = known.iter().find(|known| known.stack.as_str() == "mine").unwrap();
    assert_eq!((&mine.version, mine.kept_versions, mine.state), (&first.version, 1, StackState::Public));
    let names: Vec<_> = known.iter().map(|known| known.stack.as_str()).collect();
    assert_eq!(names, ["host", "container", "mine"]);
}

#[tokio::test]
async fn a_stack_that_lacks_something_is_not_added() {
    let t = Still::new().await;
    let lacking = |_: &ContainerSpec| vec!["lacks git", "lacks curl", "whole"];
    let refused = t.add_stack("bare", &["one"], (&[0], &[0]), lacking).await.unwrap_err();
    assert_eq!(refused.id, ErrorId::InvalidParams);
    assert!(refused.message.contains("this is missing: git, curl."), "{}", refused.message);
    let no_bash = RuntimeError::Program { program: "/bin/bash".into(), reason: "no such file".into() };
    t.runtime.fail_next_start(no_bash);
    let refused = t.add_stack("bare", &["one"], (&[0], &[0]), whole).await.unwrap_err();
    assert_eq!(refused.message, "In the image for builds, /bin/bash cannot be started: no such file.");
    for (run, build) in [(&[][..], &[0][..]), (&[0], &[1])] {
        let refused = t.add_stack("bare", &["one"], (run, build), whole).await.unwrap_err();
        assert_eq!(refused.id, ErrorId::InvalidParams);
    }
    let elsewhere = StackImage::Registered("docker.io/library/debian:12".to_owned());
    let refused = t
        .control
        .deploy
        .begin_stack("bare")
        .await
        .unwrap()
        .finish(&elsewhere, None, false)
        .await
        .unwrap_err();
    assert!(
        refused.message.contains("skopeo copy docker://docker.io/library/debian:12"),
        "{}",
        refused.message
    );
    assert!(t.runtime.observe().await.unwrap().is_empty());
    assert!(t.control.kernel.store.added_stacks().await.unwrap().is_empty());
    for name in ["", "Mine", "a/b", "host", "container", "cnb"] {
        assert_eq!(
            t.control.deploy.begin_stack(name).await.err().unwrap().id,
            ErrorId::InvalidParams,
            "{name}"
        );
    }
    let first = t.control.deploy.begin_stack("one").await.unwrap();
    assert_eq!(t.control.deploy.begin_stack("two").await.err().unwrap().id, ErrorId::Conflict);
    drop(first);
    assert!(t.control.deploy.begin_stack("two").await.is_ok());
}

#[tokio::test]
async fn a_stack_goes_when_no_app_is_to_be_built_on_it() {
    let t = Still::new().await;
    t.add_stack("mine", &["one"], (&[0], &[0]), whole).await.unwrap();
    let actor = t.actor();
    let order =
        AppOrder { name: Some("user".to_owned()), stack: Some("mine".to_owned()), ..AppOrder::default() };
    let app = t.control.apps.create_app(&actor, order).await.unwrap();
    assert_eq!(app.stack, Stack::from_name("mine").unwrap());
    let refused = t.control.deploy.remove_stack("mine").await.unwrap_err();
    assert!(refused.message.starts_with("Apps are to be built on mine: user."), "{}", refused.message);
    let change = AppChange { build_stack: Some("host".to_owned()), ..AppChange::default() };
    t.control.apps.update_app(&actor, &AppRef::Name("user".to_owned()), change).await.unwrap();
    t.control.deploy.remove_stack("mine").await.unwrap();
    for (name, id) in
        [("mine", ErrorId::NotFound), ("host", ErrorId::InvalidParams), ("A b", ErrorId::NotFound)]
    {
        assert_eq!(t.control.deploy.remove_stack(name).await.unwrap_err().id, id, "{name}");
        let end = Some(UnixMicros(1));
        assert_eq!(t.control.deploy.deprecate_stack(name, end).await.unwrap_err().id, id, "{name}");
    }
}
