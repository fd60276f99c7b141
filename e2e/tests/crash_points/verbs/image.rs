//! Images: pushed, mounted, given up, deleted; and what nobody needs any more.

use std::time::Duration;

use e2e::{OCI_MANIFEST, config_of, digest_of, manifest_of, tar_of};
use serde_json::json;

use super::{Kind, Verb, kind};
use crate::client::{Client, Told};
use crate::parts::Part;

const SOON: Duration = Duration::from_secs(60);
/// The number of the app that things are left in.
const LEFT: usize = 999_999;
/// More than what was last used may be stale.
const HOURS: Duration = Duration::from_secs(2 * 60 * 60);

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("image pushed", || Push),
        kind("blob mounted", || Mount),
        kind("upload given up", || GiveUp { place: String::new() }),
        kind("corrupt upload", || Corrupt),
        kind("image deleted", || Delete),
        kind("blob deleted", || DeleteBlob),
        kind("image released", || Release),
        kind("image removed", || Remove),
    ]
}

/// What takes a clock that is hours ahead.
pub(crate) fn later_parts() -> Vec<Part> {
    let kinds = [
        kind("old layer used", || PushAgain),
        kind("old blob asked for", || AskForOld),
        kind("old upload goes on", || GoOn { place: String::new() }),
    ];
    kinds.into_iter().map(|kind| Part { is_aside: true, ..super::part(kind) }).collect()
}

fn app_of(number: usize) -> String {
    format!("boxed-{number}")
}

fn repository(number: usize) -> String {
    format!("/v2/{}/worker", app_of(number))
}

fn with_app(client: &Client, number: usize) {
    if client.http.api("GET", &format!("/apps/{}", app_of(number))).status == 404 {
        client.http.api_json("POST", "/apps", &json!({ "name": app_of(number) })).with_status(201);
    }
}

/// What goes when nothing comes of it for a day: an upload, and a blob that no manifest names.
pub(crate) fn leave_for_a_day(client: &Client) {
    with_app(client, LEFT);
    begun(client, LEFT, "a part");
    done(&push_blob(client, LEFT, "unnamed"));
}

pub(crate) fn a_day_has_passed(client: &Client) {
    e2e::wait_until("invariant: nothing is kept of what is gone (blobs)", SOON, || {
        (client.http.registry("GET", &blob_place(LEFT, "unnamed"), &[], None).status == 404).then_some(())
    });
}

/// What goes when nothing leads to it for a week: an image without a tag.
pub(crate) fn leave_for_a_month(client: &Client) {
    with_app(client, LEFT);
    let image = Image::of(LEFT, "serve");
    done(&push(client, LEFT, &image));
    is_there(client, LEFT, &image);
    let tag = format!("{}/manifests/latest", repository(LEFT));
    client.http.registry("DELETE", &tag, &[], None).with_status(202);
}

pub(crate) fn a_month_has_passed(client: &Client) {
    e2e::wait_until("invariant: nothing is kept of what is gone (images)", SOON, || {
        let blob = blob_place(LEFT, &Image::of(LEFT, "serve").layer);
        (client.http.registry("GET", &blob, &[], None).status == 404).then_some(())
    });
}

/// An image of this round.
struct Image {
    layer: String,
    config: String,
    manifest: String,
}

impl Image {
    fn of(number: usize, words: &str) -> Self {
        let layer = tar_of(&[("serve", &format!("layer {number}"))]);
        let config = config_of("amd64", &[words], &[&layer]);
        let manifest = manifest_of(&config, &[&layer]);
        Self { layer, config, manifest }
    }

    fn id(&self) -> String {
        digest_of(self.config.as_bytes())
    }
}

fn done(told: &Told) {
    assert!(matches!(told, Told::Yes), "{told:?}");
}

fn blob_place(number: usize, blob: &str) -> String {
    format!("{}/blobs/{}", repository(number), digest_of(blob.as_bytes()))
}

/// Brings a blob as clients do, unless it is there.
fn push_blob(client: &Client, number: usize, blob: &str) -> Told {
    if client.http.registry("HEAD", &blob_place(number, blob), &[], None).status == 200 {
        return Told::Yes;
    }
    let begun =
        client.http.registry("POST", &format!("{}/blobs/uploads/", repository(number)), &[], Some(""));
    let Some(place) = begun.header("location").filter(|_| begun.status == 202) else {
        return Told::by(&begun);
    };
    let sent = client.http.registry("PATCH", place, &[], Some(blob));
    if sent.status != 202 {
        return Told::by(&sent);
    }
    let place = format!("{place}?digest={}", digest_of(blob.as_bytes()));
    Told::by(&client.http.registry("PUT", &place, &[], Some("")))
}

/// Brings an image with all of its blobs.
fn push(client: &Client, number: usize, image: &Image) -> Told {
    for blob in [&image.layer, &image.config] {
        match push_blob(client, number, blob) {
            Told::Yes => {}
            told => return told,
        }
    }
    let kind = format!("Content-Type: {OCI_MANIFEST}");
    let place = format!("{}/manifests/latest", repository(number));
    Told::by(&client.http.registry("PUT", &place, &[&kind], Some(&image.manifest)))
}

/// All of it is there, and a release can be made of it: that waits until it can be run.
fn is_there(client: &Client, number: usize, image: &Image) {
    let tagged = client.http.registry("GET", &format!("{}/manifests/latest", repository(number)), &[], None);
    assert_eq!(tagged.with_status(200).body, image.manifest);
    for blob in [&image.layer, &image.config] {
        let read = client.http.registry("GET", &blob_place(number, blob), &[], None);
        assert_eq!(&read.with_status(200).body, blob);
    }
    let update = json!({ "updates": [{ "type": "worker", "docker_image": image.id() }] });
    let formation = format!("/apps/{}/formation", app_of(number));
    client.http.api_json("PATCH", &formation, &update).with_status(200);
}

/// `docker push`.
struct Push;

impl Verb for Push {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        push(client, number, &Image::of(number, "serve"))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        is_there(client, number, &Image::of(number, "serve"));
    }
}

/// `heroku container:release` of an image that was pushed.
struct Release;

/// The newest release of a round's app, and its process types.
fn released(client: &Client, number: usize) -> (String, Vec<String>) {
    let releases = client.list(&format!("/apps/{}/releases", app_of(number)));
    let newest = releases.iter().max_by_key(|release| release["version"].as_i64());
    let description = newest.map_or_else(String::new, |newest| newest["description"].to_string());
    let formation = client.list(&format!("/apps/{}/formation", app_of(number)));
    let mut types: Vec<_> =
        formation.iter().filter_map(|one| one["type"].as_str().map(str::to_owned)).collect();
    types.sort();
    (description, types)
}

impl Verb for Release {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        let image = Image::of(number, "serve");
        done(&push(client, number, &image));
        is_there(client, number, &image);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let update =
            json!({ "updates": [{ "type": "clock", "docker_image": Image::of(number, "serve").id() }] });
        let formation = format!("/apps/{}/formation", app_of(number));
        Told::by(&client.http.api_json("PATCH", &formation, &update))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let (description, types) = released(client, number);
        assert!(description.contains("Deployed clock"), "{description}");
        assert_eq!(types, ["clock", "worker"]);
    }
}

/// `heroku container:rm`.
struct Remove;

impl Verb for Remove {
    fn prepare(&mut self, client: &Client, number: usize) {
        Release.prepare(client, number);
        done(&Release.attempt(client, number));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let clock = format!("/apps/{}/formation/clock", app_of(number));
        Told::by(&client.http.api_json("PATCH", &clock, &json!({ "docker_image": null })))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        match released(client, number).1.contains(&"clock".to_owned()) {
            true => self.attempt(client, number),
            false => Told::Yes,
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(released(client, number).1, ["worker"]);
    }
}

/// The same of an image whose layer another one had before, hours ago.
struct PushAgain;

impl Verb for PushAgain {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        let first = Image::of(number, "first");
        done(&push(client, number, &first));
        is_there(client, number, &first);
        client.clock.advance(HOURS);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        push(client, number, &Image::of(number, "second"))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        is_there(client, number, &Image::of(number, "second"));
    }
}

/// A blob that another app has.
struct Mount;

impl Mount {
    fn source(number: usize) -> usize {
        number + 100_000
    }
}

impl Verb for Mount {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        with_app(client, Self::source(number));
        done(&push_blob(client, Self::source(number), &format!("shared {number}")));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let digest = digest_of(format!("shared {number}").as_bytes());
        let from = format!("{}/worker", app_of(Self::source(number)));
        let place = format!("{}/blobs/uploads/?mount={digest}&from={from}", repository(number));
        let answer = client.http.registry("POST", &place, &[], Some(""));
        if answer.status == 202 { Told::No("it is to be sent".to_owned()) } else { Told::by(&answer) }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let blob = format!("shared {number}");
        let read = client.http.registry("GET", &blob_place(number, &blob), &[], None);
        assert_eq!(read.with_status(200).body, blob);
    }
}

/// An upload of which a part has come.
fn begun(client: &Client, number: usize, part: &str) -> String {
    let place = format!("{}/blobs/uploads/", repository(number));
    let begun = client.http.registry("POST", &place, &[], Some("")).with_status(202);
    let place = begun.header("location").unwrap().to_owned();
    client.http.registry("PATCH", &place, &[], Some(part)).with_status(202);
    place
}

/// An upload that its client does not want any more.
struct GiveUp {
    place: String,
}

impl Verb for GiveUp {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        self.place = begun(client, number, "a part");
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by(&client.http.registry("DELETE", &self.place, &[], None))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        match client.http.registry("GET", &self.place, &[], None).status {
            404 => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        client.http.registry("GET", &self.place, &[], None).with_status(404);
    }
}

/// An upload that is not what it is said to be.
struct Corrupt;

impl Verb for Corrupt {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let digest = digest_of(format!("right {number}").as_bytes());
        let place = format!("{}/blobs/uploads/?digest={digest}", repository(number));
        let answer = client.http.registry("POST", &place, &[], Some("wrong"));
        match answer.status {
            400 => Told::Yes,
            _ => Told::No(format!("{} {}{}", answer.status, answer.body, answer.error)),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let place = blob_place(number, &format!("right {number}"));
        assert_eq!(client.http.registry("GET", &place, &[], None).status, 404);
    }
}

/// A manifest with its tags.
struct Delete;

impl Verb for Delete {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        let image = Image::of(number, "serve");
        done(&push(client, number, &image));
        is_there(client, number, &image);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let digest = digest_of(Image::of(number, "serve").manifest.as_bytes());
        let place = format!("{}/manifests/{digest}", repository(number));
        Told::by(&client.http.registry("DELETE", &place, &[], None))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        let place = format!("{}/manifests/latest", repository(number));
        match client.http.registry("GET", &place, &[], None).status {
            404 => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let place = format!("{}/manifests/latest", repository(number));
        client.http.registry("GET", &place, &[], None).with_status(404);
    }
}

/// A blob that no manifest names.
struct DeleteBlob;

impl Verb for DeleteBlob {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        done(&push_blob(client, number, "unnamed"));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.registry("DELETE", &blob_place(number, "unnamed"), &[], None))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        match client.http.registry("GET", &blob_place(number, "unnamed"), &[], None).status {
            404 => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.http.registry("GET", &blob_place(number, "unnamed"), &[], None).with_status(404);
    }
}

/// A blob that came hours ago, and that no manifest names yet.
struct AskForOld;

impl Verb for AskForOld {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        done(&push_blob(client, number, "unnamed"));
        client.clock.advance(HOURS);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.registry("GET", &blob_place(number, "unnamed"), &[], None))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.http.registry("GET", &blob_place(number, "unnamed"), &[], None).with_status(200);
    }
}

/// An upload that was begun hours ago.
struct GoOn {
    place: String,
}

impl Verb for GoOn {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_app(client, number);
        self.place = begun(client, number, "one ");
        client.clock.advance(HOURS);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by(&client.http.registry("PATCH", &self.place, &["Content-Range: 4-6"], Some("two")))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        let status = client.http.registry("GET", &self.place, &[], None).with_status(204);
        match status.header("range") {
            Some("0-6") => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let digest = digest_of(b"one two");
        let place = format!("{}?digest={digest}", self.place);
        client.http.registry("PUT", &place, &[], Some("")).with_status(201);
        assert_eq!(
            client.http.registry("GET", &blob_place(number, "one two"), &[], None).with_status(200).body,
            "one two"
        );
    }
}
