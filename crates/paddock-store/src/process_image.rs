//! What process types run of images, as a column of JSON.

use std::collections::BTreeMap;

use paddock_core::image::{Image, ImageCommand, ImageConfig, ProcessImage};
use paddock_core::stack::{Stack, StackVersion};
use paddock_core::{LayerDigest, ProcessType};
use serde_json::{Map, Value, json};

use crate::engine::Column;

/// By process type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessImages(pub BTreeMap<ProcessType, ProcessImage>);

impl ProcessImages {
    /// What a process runs; one of a type that has no image of its own (`run`, mostly) has the web processes'.
    #[must_use]
    pub fn of(&self, process_type: &ProcessType) -> Option<&ProcessImage> {
        let web =
            || self.0.iter().find(|(process_type, _)| process_type.is_web()).map(|(_, process)| process);
        self.0.get(process_type).or_else(web).or_else(|| self.0.values().next())
    }

    /// Every layer of them.
    pub fn layers(&self) -> impl Iterator<Item = &LayerDigest> {
        self.0.values().flat_map(|process| &process.image.layers)
    }
}

impl Column for ProcessImages {
    type Raw = String;

    fn to_raw(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let processes = self.0.iter().map(|(name, process)| (name.to_string(), written(process)));
        Value::Object(processes.collect()).to_string()
    }

    fn from_raw(raw: String) -> Option<Self> {
        if raw.is_empty() {
            return Some(Self::default());
        }
        let processes: Map<String, Value> = serde_json::from_str(&raw).ok()?;
        let processes = processes.iter().map(|(name, process)| Some((name.parse().ok()?, read(process)?)));
        processes.collect::<Option<_>>().map(Self)
    }
}

impl Column for ImageConfig {
    type Raw = String;

    fn to_raw(&self) -> String {
        config(self).to_string()
    }

    fn from_raw(raw: String) -> Option<Self> {
        read_config(&serde_json::from_str(&raw).ok()?)
    }
}

impl Column for Vec<LayerDigest> {
    type Raw = String;

    fn to_raw(&self) -> String {
        texts(self).to_string()
    }

    fn from_raw(raw: String) -> Option<Self> {
        parsed(&serde_json::from_str(&raw).ok()?)
    }
}

fn written(process: &ProcessImage) -> Value {
    let command = match &process.command {
        ImageCommand::OfImage => Value::Null,
        ImageCommand::Line(line) => json!({ "line": line }),
        ImageCommand::Words(words) => json!({ "words": words }),
    };
    let Image { id, layers, base, config: of_image } = &process.image;
    let base = base.as_ref().map(|base| json!({ "stack": base.stack.as_str(), "version": base.version }));
    json!({
        "id": id.to_string(),
        "layers": texts(layers),
        "base": base,
        "config": config(of_image),
        "command": command,
    })
}

fn read(process: &Value) -> Option<ProcessImage> {
    let command = match &process["command"] {
        Value::Null => ImageCommand::OfImage,
        given => match given.get("line") {
            Some(line) => ImageCommand::Line(line.as_str()?.to_owned()),
            None => ImageCommand::Words(strings(&given["words"])?),
        },
    };
    let image = Image {
        id: process["id"].as_str()?.parse().ok()?,
        layers: parsed(&process["layers"])?,
        base: match &process["base"] {
            Value::Null => None,
            base => Some(StackVersion {
                stack: Stack::from_name(base["stack"].as_str()?)?,
                version: base["version"].as_str()?.to_owned(),
            }),
        },
        config: read_config(&process["config"])?,
    };
    Some(ProcessImage { image, command })
}

fn config(config: &ImageConfig) -> Value {
    json!({
        "entrypoint": config.entrypoint,
        "command": config.command,
        "env": config.env,
        "working_dir": config.working_dir,
        "user": config.user,
        "exposed_ports": config.exposed_ports,
        "shell": config.shell,
        "on_build": config.on_build,
    })
}

fn read_config(value: &Value) -> Option<ImageConfig> {
    let env = value["env"].as_object()?.iter();
    let port = |port: &Value| u16::try_from(port.as_u64()?).ok();
    Some(ImageConfig {
        entrypoint: strings(&value["entrypoint"])?,
        command: strings(&value["command"])?,
        env: env
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()?,
        working_dir: value["working_dir"].as_str()?.to_owned(),
        user: value["user"].as_str()?.to_owned(),
        exposed_ports: value["exposed_ports"].as_array()?.iter().map(port).collect::<Option<_>>()?,
        // Rows from before know neither.
        shell: strings(&value["shell"]).unwrap_or_default(),
        on_build: strings(&value["on_build"]).unwrap_or_default(),
    })
}

fn texts(layers: &[LayerDigest]) -> Value {
    layers.iter().map(ToString::to_string).collect()
}

fn parsed(layers: &Value) -> Option<Vec<LayerDigest>> {
    strings(layers)?.iter().map(|layer| layer.parse().ok()).collect()
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use paddock_core::BlobDigest;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let config = ImageConfig {
            entrypoint: vec!["tini".into(), "--".into()],
            command: vec!["a b".into(), String::new()],
            env: [("A".to_owned(), "\"x\"\n".to_owned())].into(),
            working_dir: "/srv".into(),
            user: "nobody".into(),
            exposed_ports: vec![80, 65_535],
            shell: vec!["/bin/bash".into(), "-c".into()],
            on_build: vec!["COPY . /app".into()],
        };
        let layers = vec![LayerDigest::of_sha256([2; 32]), LayerDigest::of_sha256([1; 32])];
        let stack = StackVersion { stack: Stack::HOST, version: "12".to_owned() };
        let bases = [None, Some(stack), None];
        let image = |base| Image {
            id: BlobDigest::of_sha256([3; 32]),
            layers: layers.clone(),
            base,
            config: config.clone(),
        };
        let commands =
            [ImageCommand::OfImage, ImageCommand::Line("a $B".into()), ImageCommand::Words(vec!["x".into()])];
        let names = ["web", "worker", "release"];
        let processes = names.into_iter().zip(commands).zip(bases);
        let processes = processes.map(|((name, command), base)| {
            (name.parse().unwrap(), ProcessImage { image: image(base), command })
        });
        let images = ProcessImages(processes.collect());
        assert_eq!(ProcessImages::from_raw(images.to_raw()), Some(images));
        assert_eq!(ProcessImages::from_raw(String::new()), Some(ProcessImages::default()));
        assert_eq!(ProcessImages::from_raw("{\"web\":{}}".to_owned()), None);
    }
}
