//! Roots: what makes a layer, and what is no root of anything.

use paddock_core::VolumeId;
use paddock_core::artefact::ProgramUser;
use uuid::Uuid;

use super::{Act, Bench, ended, find, new_id, of_volume, remove, rest, shown, write};
use crate::{Access, ContainerSpec, Disk, LAYERS_MAX, Root, RuntimeError, Stream, VolumeKind};

/// What root wrote in the root of a build is in the folder `upper`, for containers that come after.
pub(super) async fn what_makes_a_layer_leaves_what_it_wrote(bench: &dyn Bench) {
    let (runtime, volume) = (bench.runtime(), VolumeId::from_uuid(Uuid::now_v7()));
    runtime.make_volume(volume, VolumeKind::Scratch { limit_bytes: Some(64 << 20) }).await.unwrap();
    let (id, disk) = (new_id(), Disk::Volume { id: volume, folder: "step".to_owned() });
    let (root, user, working_dir) = (Root::Build, ProgramUser::ROOT, "/".to_owned());
    let spec =
        ContainerSpec { root, user, working_dir, disk, ..bench.spec(id, write("/note", "of the layer")) };
    runtime.start(spec).await.unwrap();
    assert_eq!(ended(bench, id).await.status, 0);
    remove(bench, id).await;
    let mounts = vec![of_volume(volume, "step/upper", "/layer", Access::ReadOnly)];
    assert_eq!(shown(bench, "/layer/note", mounts).await.as_deref(), Some("of the layer"));
    runtime.remove_volume(volume).await.unwrap();
}

/// They can be read, and not written.
pub(super) async fn an_images_names_are_the_containers(bench: &dyn Bench) {
    let of_image = |act| ContainerSpec {
        root: Root::Image,
        hostname: "of-the-image".to_owned(),
        working_dir: "/made/here".to_owned(),
        ..bench.spec(new_id(), act)
    };
    let path = "/etc/hostname".to_owned();
    let (spec, changing) =
        (of_image(Act::Show(path.clone())), of_image(Act::Write(path, "other".to_owned())));
    for (spec, ends_well, lines) in [(spec, true, &["of-the-image"][..]), (changing, false, &[])] {
        let id = spec.id;
        bench.runtime().start(spec).await.unwrap();
        let said = rest(&mut bench.runtime().output(id, 0).await.unwrap()).await;
        assert_eq!(ended(bench, id).await.status == 0, ends_well, "{said:?}");
        let said = said.iter().filter(|piece| piece.stream == Stream::Stdout);
        assert_eq!(
            said.map(|piece| &piece.bytes[..]).collect::<Vec<_>>(),
            lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>()
        );
        remove(bench, id).await;
    }
}

/// It is refused, and nothing is left.
pub(super) async fn nothing_else_runs_as_root(bench: &dyn Bench) {
    for root in [Root::Stack, Root::Image] {
        let spec = bench.spec(new_id(), Act::Exit(0));
        refuses(bench, ContainerSpec { root, user: ProgramUser::ROOT, ..spec }).await;
    }
}

/// One more than the most is refused, and so is none where nothing makes the first one.
pub(super) async fn a_container_has_so_many_layers(bench: &dyn Bench) {
    let spec = bench.spec(new_id(), Act::Exit(0));
    let layer = spec.layers.first().expect("the bench's containers have a layer").clone();
    for root in [Root::Stack, Root::Image, Root::Build] {
        let layers = vec![layer.clone(); LAYERS_MAX + 1];
        refuses(bench, ContainerSpec { id: new_id(), root, layers, ..spec.clone() }).await;
    }
    for root in [Root::Stack, Root::Image] {
        refuses(bench, ContainerSpec { id: new_id(), root, layers: Vec::new(), ..spec.clone() }).await;
    }
}

async fn refuses(bench: &dyn Bench, spec: ContainerSpec) {
    let id = spec.id;
    let refused = bench.runtime().start(spec).await;
    assert!(matches!(refused, Err(RuntimeError::Host { .. })), "{refused:?}");
    assert_eq!(find(bench, id).await, None);
}
