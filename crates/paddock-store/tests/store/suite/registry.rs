//! What apps' registries have, and what of it nobody needs any more.

use std::time::Duration;

use paddock_core::image::ImageConfig;
use paddock_core::registry::{MediaType, Repository, Tag};
use paddock_core::{AppId, BlobDigest, LayerDigest, UnixMicros, UploadId};
use paddock_store::{ImageState, NewManifest, Store, Tx};
use uuid::Uuid;

use super::fixture::{BACK_AT_VERSION_17, Fixture, NOW};

fn digest(number: u8) -> BlobDigest {
    BlobDigest::of_sha256([number; 32])
}

fn layer(number: u8) -> LayerDigest {
    LayerDigest::of_sha256([number; 32])
}

fn web() -> Repository {
    "web".parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn later(seconds: u64) -> UnixMicros {
    NOW + Duration::from_secs(seconds)
}

fn manifest(app_id: AppId, number: u8, media_type: MediaType, references: &[u8]) -> NewManifest {
    NewManifest {
        app_id,
        repository: web(),
        digest: digest(number),
        media_type,
        content: format!("{number} \u{fc}"),
        image_id: None,
        references: references.iter().copied().map(digest).collect(),
        subject: None,
    }
}

/// A signature, say, of another.
fn about(app_id: AppId, number: u8, subject: u8) -> NewManifest {
    let subject = Some(digest(subject));
    NewManifest { subject, ..manifest(app_id, number, MediaType::OciManifest, &[number + 100]) }
}

impl Fixture {
    async fn change(&self, app: AppId) -> Tx {
        self.store.begin_for_app(app, NOW, "test").await.unwrap()
    }
}

#[tokio::test]
async fn an_app_has_blobs_until_no_manifest_names_them_for_long() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("other").await);
    let mut tx = t.change(app.id).await;
    for number in 1..=3 {
        tx.add_registry_blob(app.id, &digest(number), i64::from(number) * 10).await.unwrap();
    }
    tx.add_registry_blob(other.id, &digest(1), 10).await.unwrap();
    tx.put_manifest(&manifest(app.id, 9, MediaType::OciManifest, &[1])).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.registry_blob_bytes(app.id).await.unwrap(), 60);
    assert_eq!(t.store.registry_blobs(app.id).await.unwrap().len(), 3);
    assert_eq!(t.store.kept_blobs().await.unwrap(), [digest(1), digest(2), digest(3)]);
    assert!(t.store.registry_blob(other.id, &digest(2)).await.unwrap().is_none());

    let mut tx = t.store.begin_observation(app.id, later(100), "test").await.unwrap();
    tx.touch_registry_blob(app.id, &digest(1), later(50)).await.unwrap();
    tx.touch_registry_blob(app.id, &digest(2), later(50)).await.unwrap();
    assert!(tx.is_named_by_manifest(app.id, &digest(1)).await.unwrap());
    assert!(!tx.is_named_by_manifest(app.id, &digest(2)).await.unwrap());
    tx.commit().await.unwrap();
    let came_at = async |number| {
        t.store.registry_blob(app.id, &digest(number)).await.unwrap().map(|blob| blob.created_at)
    };
    assert_eq!(
        (came_at(1).await, came_at(2).await, came_at(3).await),
        (Some(NOW), Some(later(100)), Some(NOW))
    );

    assert_eq!(t.store.apps_with_unnamed_blobs(NOW).await.unwrap(), []);
    assert_eq!(t.store.apps_with_unnamed_blobs(later(60)).await.unwrap().len(), 2);
    let mut tx = t.change(app.id).await;
    assert_eq!(tx.purge_registry_blobs(app.id, later(60)).await.unwrap(), 1);
    assert!(tx.delete_registry_blob(app.id, &digest(2)).await.unwrap());
    assert!(!tx.delete_registry_blob(app.id, &digest(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(t.store.kept_blobs().await.unwrap(), [digest(1)]);
}

#[tokio::test]
async fn a_tag_names_one_manifest_at_a_time() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.change(app.id).await;
    for number in [1, 2] {
        tx.put_manifest(&manifest(app.id, number, MediaType::DockerManifest, &[number + 10])).await.unwrap();
        tx.set_tag(app.id, &web(), &tag("latest"), &digest(number)).await.unwrap();
    }
    for name in ["b", "a", "B"] {
        tx.set_tag(app.id, &web(), &tag(name), &digest(1)).await.unwrap();
    }
    assert!(tx.has_manifest(app.id, &web(), &digest(1)).await.unwrap());
    tx.commit().await.unwrap();
    let named = t.store.tagged_manifest(app.id, &web(), &tag("latest")).await.unwrap().unwrap();
    assert_eq!((named.digest, named.content), (digest(2), "2 \u{fc}".to_owned()));
    let tags = async |after: &str, max| {
        let tags = t.store.registry_tags(app.id, &web(), after, max).await.unwrap();
        tags.into_iter().map(|tag| tag.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(tags("", 10).await, ["B", "a", "b", "latest"], "byte by byte, on every engine");
    assert_eq!(tags("a", 1).await, ["b"]);
    assert_eq!(t.store.manifest_bytes(app.id).await.unwrap(), 8);
    let repositories = t.store.repositories_of(app.owner_id).await.unwrap();
    assert_eq!(repositories.len(), 1);
    assert_eq!((repositories[0].app.as_str(), repositories[0].repository.as_str()), ("first", "web"));

    let mut tx = t.change(app.id).await;
    assert!(tx.delete_tag(app.id, &web(), &tag("b")).await.unwrap());
    assert!(!tx.delete_tag(app.id, &web(), &tag("b")).await.unwrap());
    assert!(tx.delete_manifest(app.id, &web(), &digest(1)).await.unwrap());
    assert!(!tx.delete_manifest(app.id, &web(), &digest(1)).await.unwrap());
    assert!(!tx.is_named_by_manifest(app.id, &digest(11)).await.unwrap(), "what it named is named no more");
    tx.commit().await.unwrap();
    assert_eq!(tags("", 10).await, ["latest"], "its tags went with it");
}

#[tokio::test]
async fn a_manifest_that_nobody_names_goes() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.change(app.id).await;
    // An index that is tagged, of 1; one that is not, of 2; 5 alone. Signatures: of 1, of what is gone, of 5.
    for (number, kind, named) in [
        (1, MediaType::OciManifest, 101),
        (2, MediaType::OciManifest, 102),
        (3, MediaType::OciIndex, 1),
        (4, MediaType::OciIndex, 2),
        (5, MediaType::DockerManifest, 105),
    ] {
        tx.put_manifest(&manifest(app.id, number, kind, &[named])).await.unwrap();
    }
    for (number, subject) in [(6, 1), (7, 99), (8, 5)] {
        tx.put_manifest(&about(app.id, number, subject)).await.unwrap();
    }
    tx.set_tag(app.id, &web(), &tag("all"), &digest(3)).await.unwrap();
    tx.commit().await.unwrap();
    let unneeded = async || {
        let found = t.store.unneeded_manifests(later(1)).await.unwrap();
        found.into_iter().map(|(_, _, digest)| digest).collect::<Vec<_>>()
    };
    assert!(t.store.unneeded_manifests(NOW).await.unwrap().is_empty());
    assert_eq!(unneeded().await, [digest(4), digest(5), digest(7)]);
    let mut tx = t.change(app.id).await;
    for number in [3, 1, 2, 6, 8] {
        assert!(!tx.purge_manifest(app.id, &web(), &digest(number), later(1)).await.unwrap(), "{number}");
    }
    for number in [4, 5, 7] {
        assert!(tx.purge_manifest(app.id, &web(), &digest(number), later(1)).await.unwrap(), "{number}");
    }
    tx.commit().await.unwrap();
    assert_eq!(
        unneeded().await,
        [digest(2), digest(8)],
        "what an index named goes after it, and what signed an image"
    );
}

#[tokio::test]
async fn what_loses_its_tag_counts_as_new() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.change(app.id).await;
    for number in 1..=3 {
        tx.await_image(app.id, &digest(number + 20), &ImageConfig::default()).await.unwrap();
        let image_id = Some(digest(number + 20));
        let of_image = manifest(app.id, number, MediaType::OciManifest, &[number + 100]);
        tx.put_manifest(&NewManifest { image_id, ..of_image }).await.unwrap();
    }
    for (name, number) in [("latest", 1), ("old", 2), ("same", 3)] {
        tx.set_tag(app.id, &web(), &tag(name), &digest(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_for_app(app.id, later(100), "test").await.unwrap();
    tx.set_tag(app.id, &web(), &tag("latest"), &digest(3)).await.unwrap();
    tx.set_tag(app.id, &web(), &tag("same"), &digest(3)).await.unwrap();
    tx.delete_tag(app.id, &web(), &tag("old")).await.unwrap();
    tx.commit().await.unwrap();
    let updated_at = async |number| t.store.image(app.id, &digest(number)).await.unwrap().unwrap().updated_at;
    let seen = (updated_at(21).await, updated_at(22).await, updated_at(23).await);
    assert_eq!(seen, (later(100), later(100), NOW), "what keeps its tag is as it was");
    assert_eq!(t.store.unneeded_manifests(later(100)).await.unwrap(), []);
    let found = t.store.unneeded_manifests(later(101)).await.unwrap();
    assert_eq!(found.into_iter().map(|(_, _, digest)| digest).collect::<Vec<_>>(), [digest(1), digest(2)]);
    let mut tx = t.change(app.id).await;
    assert!(!tx.purge_manifest(app.id, &web(), &digest(1), later(100)).await.unwrap());
    assert!(tx.purge_manifest(app.id, &web(), &digest(1), later(101)).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_about_a_manifest_comes_in_parts() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("other").await);
    let mut tx = t.change(app.id).await;
    for number in 3..=6 {
        let content = "x".repeat(10);
        tx.put_manifest(&NewManifest { content, ..about(app.id, number, 1) }).await.unwrap();
    }
    tx.put_manifest(&about(app.id, 7, 2)).await.unwrap();
    tx.put_manifest(&manifest(app.id, 8, MediaType::OciIndex, &[1])).await.unwrap();
    tx.put_manifest(&about(other.id, 9, 1)).await.unwrap();
    tx.commit().await.unwrap();
    let part = async |after: &str, max, bytes_max| {
        let part = t.store.manifests_about(app.id, &web(), &digest(1), after, (max, bytes_max)).await;
        part.unwrap().into_iter().map(|manifest| manifest.digest).collect::<Vec<_>>()
    };
    assert_eq!(part("", 10, 1000).await, [3, 4, 5, 6].map(digest));
    assert_eq!(part("", 3, 1000).await, [3, 4, 5].map(digest));
    assert_eq!(part("", 10, 20).await, [3, 4].map(digest), "they come to as much");
    assert_eq!(part("", 10, 21).await, [3, 4, 5].map(digest));
    assert_eq!(part(&digest(4).to_string(), 10, 1).await, [digest(5)], "one at least");
    assert_eq!(part(&digest(6).to_string(), 10, 1000).await, []);
}

#[tokio::test]
async fn what_was_pushed_before_subjects_were_known_has_one() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.change(app.id).await;
    tx.add_registry_blob(app.id, &digest(103), 1).await.unwrap();
    tx.put_manifest(&manifest(app.id, 1, MediaType::OciManifest, &[103])).await.unwrap();
    tx.put_manifest(&manifest(app.id, 2, MediaType::OciIndex, &[1])).await.unwrap();
    tx.put_manifest(&manifest(app.id, 3, MediaType::OciManifest, &[103, 1])).await.unwrap();
    tx.commit().await.unwrap();
    t.store.close().await;
    t.sabotage(BACK_AT_VERSION_17).await;
    let again = Store::open(&t.config()).await.unwrap();
    let about = again.manifests_about(app.id, &web(), &digest(1), "", (10, 1000)).await.unwrap();
    assert_eq!(about.into_iter().map(|manifest| manifest.digest).collect::<Vec<_>>(), [digest(3)]);
    let mut tx = again.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert!(tx.is_named_by_manifest(app.id, &digest(103)).await.unwrap());
    assert!(tx.delete_manifest(app.id, &web(), &digest(2)).await.unwrap());
    assert!(!tx.is_named_by_manifest(app.id, &digest(1)).await.unwrap(), "what is about it does not name it");
}

#[tokio::test]
async fn uploads_are_known_until_they_end_or_nothing_comes_of_them() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let ids: Vec<_> = (0..2).map(|_| UploadId::from_uuid(Uuid::now_v7())).collect();
    let mut tx = t.change(app.id).await;
    for id in &ids {
        tx.create_registry_upload(*id, app.id, &web()).await.unwrap();
    }
    assert_eq!(tx.count_registry_uploads(app.id).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_record(later(100), "test").await.unwrap();
    assert!(tx.touch_registry_upload(ids[1]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(t.store.upload_ids().await.unwrap().len(), 2);
    let stale = t.store.stale_uploads(later(50)).await.unwrap();
    assert_eq!(stale.iter().map(|upload| upload.id).collect::<Vec<_>>(), [ids[0]]);
    let mut tx = t.store.begin_record(later(100), "test").await.unwrap();
    assert!(!tx.delete_stale_upload(ids[1], later(50)).await.unwrap());
    assert!(tx.delete_stale_upload(ids[0], later(50)).await.unwrap());
    assert!(tx.delete_registry_upload(ids[1]).await.unwrap());
    tx.commit().await.unwrap();
    assert!(t.store.registry_uploads(app.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_image_is_awaited_once_and_tried_again_after_it_failed() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let config = ImageConfig { command: vec!["serve".into()], ..ImageConfig::default() };
    let mut tx = t.change(app.id).await;
    assert!(tx.await_image(app.id, &digest(1), &config).await.unwrap());
    assert!(!tx.await_image(app.id, &digest(1), &config).await.unwrap());
    assert!(tx.set_image_failed(app.id, &digest(1), "It has no files.").await.unwrap());
    tx.commit().await.unwrap();
    let row = t.store.image(app.id, &digest(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.failure.as_deref()), (ImageState::Failed, Some("It has no files.")));
    let mut tx = t.change(app.id).await;
    assert!(tx.await_image(app.id, &digest(1), &config).await.unwrap());
    let layers = [layer(2), layer(1)];
    tx.set_image_ready(app.id, &digest(1), &config, &layers, 42).await.unwrap();
    assert!(!tx.await_image(app.id, &digest(1), &config).await.unwrap(), "what is ready stays so");
    assert!(!tx.set_image_failed(app.id, &digest(1), "too late").await.unwrap());
    tx.commit().await.unwrap();
    let row = t.store.image(app.id, &digest(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.failure, row.config, row.layers),
        (ImageState::Ready, None, config, layers.to_vec())
    );
    assert!(t.store.needed_layers().await.unwrap().contains(&layer(1).to_string()));
    let mut tx = t.change(app.id).await;
    let mut of_image = manifest(app.id, 7, MediaType::OciManifest, &[]);
    of_image.image_id = Some(digest(1));
    tx.put_manifest(&of_image).await.unwrap();
    let mut index = manifest(app.id, 6, MediaType::OciIndex, &[7]);
    index.image_id = Some(digest(1));
    tx.put_manifest(&index).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.manifest_of_image(app.id, &digest(1)).await.unwrap().unwrap().digest, digest(7));
    assert!(t.store.unneeded_images(later(1)).await.unwrap().is_empty());
    let mut tx = t.change(app.id).await;
    assert!(!tx.delete_image(app.id, &digest(1), later(1)).await.unwrap());
    for number in [6, 7] {
        tx.delete_manifest(app.id, &web(), &digest(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(t.store.unneeded_images(later(1)).await.unwrap().len(), 1);
    let mut tx = t.change(app.id).await;
    assert!(tx.delete_image(app.id, &digest(1), later(1)).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_image_is_made_of_what_was_pushed_of_it_last() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    for (number, at) in [(2, NOW), (1, later(1)), (3, later(2)), (2, later(3))] {
        let mut of_image = manifest(app.id, number, MediaType::OciManifest, &[]);
        of_image.image_id = Some(digest(9));
        let mut tx = t.store.begin_for_app(app.id, at, "test").await.unwrap();
        tx.put_manifest(&of_image).await.unwrap();
        tx.commit().await.unwrap();
        let found = t.store.manifest_of_image(app.id, &digest(9)).await.unwrap().unwrap();
        assert_eq!(found.digest, digest(number));
    }
}

#[tokio::test]
async fn a_layer_is_known_by_its_tar_and_the_tar_by_its_blob() {
    let t = Fixture::new().await;
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.put_converted_layer(&digest(1), &layer(1), 4096).await.unwrap();
    tx.put_diff_id(&digest(8), &digest(1)).await.unwrap();
    tx.put_diff_id(&digest(8), &digest(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        t.store.diff_id_of_blob(&digest(8)).await.unwrap(),
        Some(digest(1)),
        "what is in it does not change"
    );
    assert_eq!(t.store.converted_layer(&digest(1)).await.unwrap().unwrap().layer, layer(1));
    assert!(t.store.kept_layers().await.unwrap().contains(&layer(1).to_string()));
    let mut tx = t.store.begin_record(later(100), "test").await.unwrap();
    assert!(tx.use_converted_layer(&digest(1)).await.unwrap());
    assert!(!tx.use_converted_layer(&digest(2)).await.unwrap());
    tx.commit().await.unwrap();
    let used_at = t.store.converted_layer(&digest(1)).await.unwrap().unwrap().used_at;
    assert_eq!(used_at, later(100));
}

#[tokio::test]
async fn an_app_takes_its_registry_with_it() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let mut tx = t.change(app.id).await;
    tx.add_registry_blob(app.id, &digest(1), 1).await.unwrap();
    tx.create_registry_upload(UploadId::from_uuid(Uuid::now_v7()), app.id, &web()).await.unwrap();
    tx.put_manifest(&manifest(app.id, 9, MediaType::OciManifest, &[1])).await.unwrap();
    tx.set_tag(app.id, &web(), &tag("latest"), &digest(9)).await.unwrap();
    tx.await_image(app.id, &digest(1), &ImageConfig::default()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(t.store.kept_blobs().await.unwrap().is_empty());
    assert!(t.store.upload_ids().await.unwrap().is_empty());
    assert!(t.store.manifest(app.id, &web(), &digest(9)).await.unwrap().is_none());
    assert!(t.store.tagged_manifest(app.id, &web(), &tag("latest")).await.unwrap().is_none());
    assert!(t.store.image(app.id, &digest(1)).await.unwrap().is_none());
}
