//! Layers: what releases need, and what is kept only to be used again.

use std::collections::BTreeSet;

use paddock_core::image::{Image, ImageCommand, ImageConfig, ProcessImage};
use paddock_core::{BlobDigest, LayerDigest, SlugId, UnixMicros};
use paddock_store::{BuildStep, NewSlug, ProcessImages};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_slug};

fn layer(byte: u8) -> LayerDigest {
    LayerDigest::of_sha256([byte; 32])
}

fn names(layers: &[u8]) -> BTreeSet<String> {
    layers.iter().map(|byte| layer(*byte).to_string()).collect()
}

#[tokio::test]
async fn a_slug_of_images_needs_their_layers() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let image = |bytes: &[u8]| Image {
        id: BlobDigest::of_sha256([bytes[0]; 32]),
        layers: bytes.iter().copied().map(layer).collect(),
        base: None,
        config: ImageConfig::default(),
    };
    let process = |bytes: &[u8]| ProcessImage { image: image(bytes), command: ImageCommand::OfImage };
    let images =
        [("web", process(&[3, 1])), ("worker", process(&[2, 1]))].map(|(k, v)| (k.parse().unwrap(), v));
    let id = SlugId::from_uuid(Uuid::now_v7());
    let slug = NewSlug { images: ProcessImages(images.into()), ..new_slug(id, app.id, "") };
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.create_slug(&slug).await.unwrap();
    tx.put_converted_layer(&BlobDigest::of_sha256([9; 32]), &layer(7), 70).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.needed_layers().await.unwrap(), names(&[1, 2, 3]));
    assert_eq!(t.store.layers_of_app(app.id).await.unwrap(), names(&[1, 2, 3]));
    assert_eq!(t.store.kept_layers().await.unwrap(), names(&[1, 2, 3, 7]));
    assert_eq!(t.store.slug(slug.id).await.unwrap().unwrap().images, slug.images);
}

#[tokio::test]
async fn what_was_used_again_is_not_forgotten() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let (early, late) = (UnixMicros(NOW.0 + 1), UnixMicros(NOW.0 + 100));
    for (byte, at) in [(1, early), (2, late)] {
        let mut tx = t.store.begin_for_app(app.id, at, "test").await.unwrap();
        tx.put_converted_layer(&BlobDigest::of_sha256([byte; 32]), &layer(byte), 5).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = t.store.begin_for_app(app.id, late, "test").await.unwrap();
    for byte in [1, 2] {
        tx.forget_reusable(&layer(byte), early).await.unwrap();
    }
    tx.commit().await.unwrap();
    let left = t.store.reusable_layers().await.unwrap();
    assert_eq!((left.len(), &left[0].layer, left[0].used_at), (1, &layer(2), late));
}

#[tokio::test]
async fn a_step_is_found_by_its_key_and_counts_as_used_then() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let late = UnixMicros(NOW.0 + 100);
    let [wrote, empty] = [Some(layer(1)), None].map(|layer| BuildStep { layer, size_bytes: 7 });
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.keep_build_step(app.id, "wrote", &BuildStep { layer: Some(layer(9)), ..wrote.clone() }).await.unwrap();
    tx.keep_build_step(app.id, "wrote", &wrote).await.unwrap();
    tx.keep_build_step(app.id, "empty", &empty).await.unwrap();
    tx.keep_build_step(other.id, "wrote", &empty).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_record(late, "test").await.unwrap();
    assert_eq!(tx.use_build_step(app.id, "wrote").await.unwrap(), Some(wrote));
    assert_eq!(tx.use_build_step(app.id, "empty").await.unwrap(), Some(empty.clone()));
    assert_eq!(tx.use_build_step(app.id, "other").await.unwrap(), None);
    tx.forget_reusable(&layer(1), NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.reusable_layers().await.unwrap()[0].used_at, late);
    let mut tx = t.store.begin_record(late, "test").await.unwrap();
    // The other app's wrote nothing and was not used since.
    assert_eq!(tx.forget_empty_build_steps(late).await.unwrap(), 1);
    assert_eq!(tx.use_build_step(other.id, "wrote").await.unwrap(), None);
    tx.keep_build_step(other.id, "wrote", &empty).await.unwrap();
    tx.forget_build_steps(app.id).await.unwrap();
    assert_eq!(tx.use_build_step(app.id, "wrote").await.unwrap(), None);
    assert_eq!(tx.use_build_step(other.id, "wrote").await.unwrap(), Some(empty), "steps are an app's own");
}

#[tokio::test]
async fn who_was_given_a_blob_of_another_registry_is_known_for_a_while() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let (blob, late) = (BlobDigest::of_sha256([7; 32]), UnixMicros(NOW.0 + 100));
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    for _ in 0..2 {
        tx.keep_pulled_blob(app.id, &blob).await.unwrap();
    }
    assert!(!tx.use_pulled_blob(other.id, &blob).await.unwrap(), "it was given to the other app alone");
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_record(late, "test").await.unwrap();
    assert!(tx.use_pulled_blob(app.id, &blob).await.unwrap());
    assert_eq!(tx.forget_pulled_blobs(late).await.unwrap(), 0, "it was used since");
    assert_eq!(tx.forget_pulled_blobs(UnixMicros(late.0 + 1)).await.unwrap(), 1);
    assert!(!tx.use_pulled_blob(app.id, &blob).await.unwrap());
}
