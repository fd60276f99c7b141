//! What images came to: their ids, and what processes run of them.

use std::collections::BTreeMap;

use paddock_core::build_record::BuildRecord;
use paddock_core::image::{ImageCommand, ImageConfig};
use paddock_core::{BlobDigest, ProcessType};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::files::{Built, Files};
use super::{BuiltImage, BuiltProcess, ImageOutcome};
use crate::dockerfile::architecture;
use crate::heroku_yml::{Command, HerokuYml, ImageBuild, Process};
use crate::host::BuildFailure;

/// What processes run, of images that were built.
pub(super) fn of(
    manifest: &HerokuYml,
    built: &BTreeMap<ImageBuild, Built>,
) -> Result<ImageOutcome, BuildFailure> {
    let image = |name: &ProcessType| {
        let build = manifest.images.iter().find(|(image, _)| image == name).map(|(_, build)| build);
        build
            .and_then(|build| built.get(build))
            .ok_or_else(|| BuildFailure::platform("an image was not built"))
    };
    let process = |name: Option<&ProcessType>, process: &Process| {
        let named = manifest.image_of(name, process.image.as_ref());
        let named = named.ok_or_else(|| BuildFailure::platform("a process has no image"))?;
        Ok(BuiltProcess { image: image(named)?.image.clone(), command: command(process.command.as_ref()) })
    };
    let mut processes = BTreeMap::new();
    match &manifest.run {
        Some(run) => {
            for (name, said) in run {
                processes.insert(name.clone(), process(Some(name), said)?);
            }
        }
        None => {
            for (name, _) in &manifest.images {
                let image = image(name)?.image.clone();
                processes.insert(name.clone(), BuiltProcess { image, command: ImageCommand::OfImage });
            }
        }
    }
    if let Some(release) = &manifest.release {
        processes.insert(ProcessType::release(), process(None, release)?);
    }
    let layers: BTreeMap<_, _> = built.values().flat_map(|built| &built.sizes).collect();
    let size_bytes = layers.values().copied().sum();
    let record = BuildRecord::default();
    Ok(ImageOutcome { processes, setup: manifest.setup.clone(), size_bytes, record })
}

fn command(said: Option<&Command>) -> ImageCommand {
    match said {
        None => ImageCommand::OfImage,
        Some(Command::Line(line)) => ImageCommand::Line(line.clone()),
        Some(Command::Words(words)) => ImageCommand::Words(words.clone()),
    }
}

/// An image of these files. Its id is the digest of what says how it is run, as registries know it: no history, no date.
pub(super) fn image(files: Files, config: ImageConfig) -> BuiltImage {
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| {
        let is_empty = value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_str().is_some_and(str::is_empty);
        if !is_empty {
            said.insert(name.to_owned(), value);
        }
    };
    say("Entrypoint", json!(config.entrypoint));
    say("Cmd", json!(config.command));
    say("Env", config.env.iter().map(|(name, value)| format!("{name}={value}")).collect());
    say("WorkingDir", json!(config.working_dir));
    say("User", json!(config.user));
    let ports = config.exposed_ports.iter().map(|port| (format!("{port}/tcp"), json!({})));
    say("ExposedPorts", Value::Object(ports.collect()));
    let base = files.base.iter().map(ToString::to_string);
    let layers: Vec<String> = base.chain(files.layers.iter().rev().map(ToString::to_string)).collect();
    let whole = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": said,
        "rootfs": { "type": "layers", "diff_ids": layers },
    });
    let id = BlobDigest::of_sha256(Sha256::digest(whole.to_string()).into());
    BuiltImage { id, layers: files.layers, base: files.base, config }
}

#[cfg(test)]
mod tests {
    use paddock_core::LayerDigest;

    use super::*;

    fn built(byte: u8) -> Built {
        let layer = LayerDigest::of_sha256([byte; 32]);
        let files = Files { layers: vec![layer.clone()], base: None };
        Built { image: image(files, ImageConfig::default()), sizes: [(layer, 10)].into() }
    }

    fn outcome(manifest: &str) -> ImageOutcome {
        let manifest = HerokuYml::read(manifest.as_bytes()).unwrap();
        let built = manifest.images.iter().zip(1..).map(|((_, build), byte)| (build.clone(), built(byte)));
        of(&manifest, &built.collect()).unwrap()
    }

    #[test]
    fn processes_are_those_of_run_or_one_for_each_image() {
        let images = "build: {docker: {web: A, worker: B, again: A}}\n";
        let shown = |outcome: &ImageOutcome| {
            let shown = |(name, process): (&ProcessType, &BuiltProcess)| {
                let layer = process.image.layers[0].to_string();
                format!("{name} {} {:?}", &layer[layer.len() - 2..], process.command)
            };
            outcome.processes.iter().map(shown).collect::<Vec<_>>()
        };
        let all = outcome(images);
        assert_eq!(shown(&all), ["again 03 OfImage", "web 03 OfImage", "worker 02 OfImage"]);
        assert_eq!(all.size_bytes, 20, "each layer counts once");
        let said = outcome(&format!(
            "{images}release: {{command: migrate, image: worker}}\nrun: {{worker: [a, b], clock: {{command: c d}}, x: {{image: worker}}}}"
        ));
        let expected = [
            "clock 03 Line(\"c d\")",
            "release 02 Line(\"migrate\")",
            "worker 02 Words([\"a\", \"b\"])",
            "x 02 OfImage",
        ];
        assert_eq!(shown(&said), expected, "run without web has no web");
    }

    #[test]
    fn an_image_is_known_by_its_files_and_by_how_it_is_run() {
        let files = |byte| Files { layers: vec![LayerDigest::of_sha256([byte; 32])], base: None };
        let config = ImageConfig { command: vec!["a".into()], ..ImageConfig::default() };
        let id = image(files(1), config.clone()).id;
        assert_eq!(image(files(1), config.clone()).id, id);
        assert_ne!(image(files(2), config.clone()).id, id);
        assert_ne!(image(files(1), ImageConfig { working_dir: "/w".into(), ..config }).id, id);
    }
}
