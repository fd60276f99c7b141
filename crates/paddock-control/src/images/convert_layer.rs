//! One layer: a blob becomes a file that can be mounted, in a container of the app that brings it, and is taken into the store
//! of layers. It is known from then on, whoever brings the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paddock_core::artefact::ProgramUser;
use paddock_core::stack::Stack;
use paddock_core::{AppId, BlobDigest, ContainerId, VolumeId, durable};
use paddock_images::Blobs;
use paddock_images::convert::{ConversionReport, ConvertedFiles, LayerLimits, convert_tar_arguments};
use paddock_images::oci::Descriptor;
use paddock_runtime::{
    Access, ContainerSpec, ContainerState, Disk, Exit, Layer, Limits, Mount, MountSource, Network, Root,
    Stdio, VolumeKind,
};
use paddock_store::{App, ConvertedLayer};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::conversion::{Outcome, Trouble};
use super::{BLOBS, Images, blocking};
use crate::kernel::{error::Error, label};

/// The platform's own program inside the container, what it reads and what it writes.
const PROGRAM: &str = "/convert/paddockd";
const BLOB: &str = "/convert/blob";
const OUT: &str = "/convert/out";
const FILE: &str = "layer.erofs";
const REPORT: &str = "report.json";
/// Folders of the disk of a conversion.
const OUT_FOLDER: &str = "out";
const ROOT_FOLDER: &str = "root";

const LIMITS: Limits = Limits { memory_bytes: 1 << 30, cpu_millicores: 4000, cpu_weight: 50, pids: 64 };
/// How long a conversion may take.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a container has to be seen as ended when its output has.
const END_TIME: Duration = Duration::from_secs(30);
/// How a converter ends that refuses what it reads; what it says last is why.
const REFUSED: i32 = 1;
/// How one ends that is sent SIGTERM. Nothing but the end of its time does that.
const TERMINATED: i32 = 128 + 15;
/// The most bytes of a sentence that is passed on.
const SENTENCE_BYTES_MAX: usize = 2000;
/// How stale it may be when a layer was last used.
const USED_EACH: Duration = Duration::from_secs(10 * 60);
/// The most conversions at a time of one app; what they leave after a kill is found by these numbers.
const SLOTS: u8 = 32;

/// A conversion's number among those of its app: its container and its disk are named by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    app: AppId,
    number: u8,
}

impl Slot {
    fn uuid(self) -> Uuid {
        // No two numbers of an app make the same, nor does any its own id.
        Uuid::from_u128(self.app.uuid().as_u128() ^ (0x1_00 + u128::from(self.number)))
    }

    pub(super) fn container(self) -> ContainerId {
        ContainerId::from_uuid(self.uuid())
    }

    pub(super) fn disk(self) -> VolumeId {
        VolumeId::from_uuid(self.uuid())
    }
}

/// The conversions that go on.
#[derive(Debug)]
pub(crate) struct Converting {
    places: Semaphore,
    /// Who is about to convert a blob waits for who does.
    blobs: Mutex<HashMap<BlobDigest, Arc<tokio::sync::Mutex<()>>>>,
    slots: Mutex<HashSet<Slot>>,
}

/// A slot until it is dropped.
pub(super) struct Held<'a> {
    all: &'a Converting,
    pub(super) slot: Slot,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.slots().remove(&self.slot);
    }
}

impl Converting {
    /// At most so many at a time.
    pub(crate) fn new(places: usize) -> Self {
        let places = Semaphore::new(places.clamp(1, usize::from(SLOTS)));
        Self { places, blobs: Mutex::default(), slots: Mutex::default() }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashSet<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot of the app; there are as many as places.
    fn slot_of(&self, app: AppId) -> Held<'_> {
        let mut slots = self.slots();
        let mut free = (0..SLOTS).map(|number| Slot { app, number }).filter(|slot| !slots.contains(slot));
        let slot = free.next().unwrap_or(Slot { app, number: SLOTS });
        slots.insert(slot);
        Held { all: self, slot }
    }

    /// The slots of an app that nobody uses; each is used from when it is answered until it is dropped.
    pub(super) fn take_unused(&self, app: AppId) -> impl Iterator<Item = Held<'_>> {
        let slots = (0..=SLOTS).map(move |number| Slot { app, number });
        slots.filter_map(|slot| self.slots().insert(slot).then_some(Held { all: self, slot }))
    }

    pub(super) fn is_used(&self, container: ContainerId) -> bool {
        self.slots().iter().any(|slot| slot.container() == container)
    }

    /// The blobs that somebody converts or is about to: they stay, though no row names them yet.
    pub(super) fn awaited(&self) -> Vec<BlobDigest> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let awaited = blobs.iter().filter(|(_, turn)| Arc::strong_count(turn) > 1);
        awaited.map(|(digest, _)| digest.clone()).collect()
    }

    pub(super) fn turn_of(&self, blob: &BlobDigest) -> Arc<tokio::sync::Mutex<()>> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for any more.
        blobs.retain(|_, turn| Arc::strong_count(turn) > 1);
        blobs.entry(blob.clone()).or_default().clone()
    }
}

impl Images {
    /// The layer that a blob of the app is, converted now if it was not before.
    pub(super) async fn layer(&self, app: &App, blob: &Descriptor) -> Outcome<ConvertedLayer> {
        let turn = self.converting.turn_of(&blob.digest);
        let _turn = turn.lock().await;
        if let Some(known) = self.known_layer(&blob.digest).await? {
            return Ok(known);
        }
        let place = self.converting.places.acquire().await;
        let _place = place.map_err(|error| Error::internal("convert a layer", error))?;
        let held = self.converting.slot_of(app.id);
        let converted = self.convert_in(held.slot, app, blob).await;
        let cleared = async {
            self.remove_converter(held.slot).await?;
            self.remove_disk(held.slot).await
        };
        if let Err(error) = cleared.await {
            Self::warn_left(&error);
        }
        converted
    }

    /// What a blob became before, if that is still there.
    pub(super) async fn known_layer(&self, blob: &BlobDigest) -> Outcome<Option<ConvertedLayer>> {
        let store = &self.kernel.store;
        let Some(diff_id) = store.diff_id_of_blob(blob).await? else { return Ok(None) };
        let Some(known) = store.converted_layer(&diff_id).await? else { return Ok(None) };
        let has = self.layers.has(&known.layer).await;
        if !has.map_err(|error| Error::internal("look for a layer", error))? {
            return Ok(None);
        }
        if known.used_at + USED_EACH > self.kernel.now() {
            return Ok(Some(known));
        }
        let mut tx = self.kernel.record("note that a layer is used").await?;
        let is_there = tx.use_converted_layer(&diff_id).await?;
        tx.commit_quietly("converted_layer.used").await?;
        Ok(is_there.then_some(known))
    }

    async fn convert_in(&self, slot: Slot, app: &App, blob: &Descriptor) -> Outcome<ConvertedLayer> {
        let host = |error| Trouble::Host(Error::internal("run a converter", error));
        let kind = VolumeKind::Scratch { limit_bytes: self.kernel.config.build_disk.bytes() };
        durable!("conversion.disk_made", self.runtime.make_volume(slot.disk(), kind).await).map_err(host)?;
        let spec = self.converter(slot, app, blob);
        durable!("conversion.container_started", self.runtime.start(spec).await).map_err(host)?;
        let said = self.listen(slot).await?;
        let exit = self.exit_of(slot).await?;
        // Whatever wrote the file is gone with this.
        self.remove_converter(slot).await?;
        self.judge(slot, exit, &said).await?;
        let out = self.volumes.folder_of(slot.disk()).join(OUT_FOLDER);
        let report = out.join(REPORT);
        let report = blocking(move || ConversionReport::read(&report)).await;
        let report = report.map_err(|error| Error::internal("read what a converter reports", error))?;
        let tar = report.tar.filter(|tar| tar.blob == blob.digest);
        let tar = tar.ok_or_else(|| Error::internal("convert a layer", "what was read is not the blob"))?;
        let layer = self.layers.add(&out.join(FILE)).await;
        let layer = layer.map_err(|error| Error::internal("take a converted layer in", error))?;
        let size_bytes = i64::try_from(report.layer_bytes).unwrap_or(i64::MAX);
        let mut tx = self.kernel.record("keep a converted layer").await?;
        tx.put_converted_layer(&tar.diff_id, &layer, size_bytes).await?;
        tx.put_diff_id(&blob.digest, &tar.diff_id).await?;
        for left_out in report.warnings.sentences() {
            tx.say(app.id, format!("Layer {} of an image has what no dyno gets. {left_out}", blob.digest));
        }
        tx.commit_quietly("converted_layer.kept").await?;
        Ok(ConvertedLayer { diff_id: tar.diff_id, layer, size_bytes, used_at: self.kernel.now() })
    }

    /// What the end of a converter means; an error for one that has made nothing.
    async fn judge(&self, slot: Slot, exit: Exit, said: &str) -> Outcome<()> {
        let told = |text: &str| Err(Trouble::Told(text.to_owned()));
        if exit.status == 0 {
            return Ok(());
        }
        if exit.out_of_memory {
            return told("its list of files takes more memory than a conversion may have");
        }
        let is_full = self.runtime.volume_is_full(slot.disk()).await;
        if is_full.map_err(|error| Error::internal("look at the disk of a conversion", error))? {
            return told("it is larger than an image may be when it is unpacked");
        }
        if exit.status == REFUSED && !said.is_empty() {
            return told(said.strip_prefix("layer: ").unwrap_or(said));
        }
        if is_overdue(&exit) {
            return told("converting it takes too long");
        }
        let text = format!("the converter ended with status {}: {said}", exit.status);
        Err(Error::internal("convert a layer", text).into())
    }

    /// The last that a converter says.
    async fn listen(&self, slot: Slot) -> Outcome<String> {
        let output = self.runtime.output(slot.container(), 0).await;
        let mut output = output.map_err(|error| Error::internal("read the output of a converter", error))?;
        let mut last = String::new();
        while let Some(piece) = output.recv().await {
            let said = String::from_utf8_lossy(&piece.bytes);
            if !said.trim().is_empty() {
                last = said.trim().chars().filter(|c| !c.is_control()).take(SENTENCE_BYTES_MAX).collect();
            }
        }
        Ok(last)
    }

    /// Waits for the end of a converter whose output has ended.
    async fn exit_of(&self, slot: Slot) -> Outcome<Exit> {
        let mut changes = self.kernel.wakes.output.listen();
        let ended = tokio::time::timeout(END_TIME, async {
            loop {
                let all = self.runtime.observe().await;
                let all = all.map_err(|error| Error::internal("look at a converter", error))?;
                match all.iter().find(|one| one.id == slot.container()).map(|one| one.state) {
                    Some(ContainerState::Exited { exit, .. }) => return Ok(exit),
                    Some(ContainerState::Running) => changes.heard(Duration::from_millis(50)).await,
                    _ => return Err(Error::internal("run a converter", "what watched over it is gone")),
                }
            }
        });
        let ended = ended.await.map_err(|_| Error::internal("run a converter", "it does not end"))?;
        Ok(ended?)
    }

    pub(super) async fn remove_converter(&self, slot: Slot) -> crate::Result<()> {
        let removed = durable!("conversion.container_removed", self.runtime.remove(slot.container()).await);
        removed.map_err(|error| Error::internal("remove a converter", error))
    }

    pub(super) async fn remove_disk(&self, slot: Slot) -> crate::Result<()> {
        if !self.volumes.folder_of(slot.disk()).is_dir() {
            return Ok(());
        }
        let removed = durable!("conversion.disk_removed", self.runtime.remove_volume(slot.disk()).await);
        removed.map_err(|error| Error::internal("remove the disk of a conversion", error))
    }

    fn converter(&self, slot: Slot, app: &App, blob: &Descriptor) -> ContainerSpec {
        let mount = |target: &str, source| Mount { target: target.to_owned(), source };
        let of_disk = |folder: &str| MountSource::Volume {
            id: slot.disk(),
            folder: folder.to_owned(),
            access: Access::ReadWrite,
        };
        let (out, report) = (format!("{OUT}/{FILE}"), format!("{OUT}/{REPORT}"));
        let files = ConvertedFiles { out: out.as_ref(), report: report.as_ref(), limits: LayerLimits::IMAGE };
        let arguments = convert_tar_arguments(BLOB.as_ref(), &blob.media_type, &files);
        let arguments = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned());
        ContainerSpec {
            id: slot.container(),
            labels: label::of_conversion(app.id),
            hostname: "convert-1".to_owned(),
            tenant: app.tenant(),
            root: Root::Stack,
            layers: vec![Layer::Stack(self.kernel.config.present(&Stack::HOST))],
            mounts: vec![
                mount(PROGRAM, MountSource::Program),
                mount(BLOB, MountSource::Share { share: BLOBS, path: Blobs::place_of(&blob.digest) }),
                mount(OUT, of_disk(OUT_FOLDER)),
            ],
            command: [PROGRAM, "convert"].map(str::to_owned).into_iter().chain(arguments).collect(),
            user: ProgramUser::DYNO,
            image_user: String::new(),
            env: Vec::new(),
            working_dir: "/".to_owned(),
            limits: LIMITS,
            disk: Disk::Volume { id: slot.disk(), folder: ROOT_FOLDER.to_owned() },
            network: Network::None,
            stdio: Stdio::Output,
            time_limit: Some(TIME_MAX),
            leftover_grace: Duration::ZERO,
        }
    }
}

/// Whether the time of a converter was over. One that crashed ends by a signal, too.
fn is_overdue(exit: &Exit) -> bool {
    exit.killed_after_grace || exit.status == TERMINATED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_converter_that_crashes_does_not_take_too_long() {
        for (status, killed_after_grace, expected) in [
            (143, false, true),
            (137, true, true),
            (139, false, false),
            (134, false, false),
            (137, false, false),
        ] {
            let exit = Exit { status, out_of_memory: false, killed_after_grace };
            assert_eq!(is_overdue(&exit), expected, "{exit:?}");
        }
    }
}
