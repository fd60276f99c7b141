//! YAML as a small tree with the line of each node: everything that costs is bounded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::ManifestError;
use crate::source::text;

/// The longest file, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// The most nodes of one, those that aliases repeat included.
const NODES_MAX: usize = 5_000;
/// How deep one may lie in another.
const DEPTH_MAX: usize = 16;
/// Puts the keys of other mappings into one.
const MERGE: &str = "<<";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// From 1 on.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    /// A text, number or truth value, as it is written.
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) name: String,
}

impl Node {
    /// How many nodes it is, itself included.
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Nothing | Value::Text(_) => 0,
            Value::List(nodes) => nodes.iter().map(Self::count).sum(),
            Value::Mapping(pairs) => pairs.iter().map(|(_, node)| 1 + node.count()).sum(),
        }
    }

    /// How many others lie in each other in it.
    fn depth(&self) -> usize {
        match &self.value {
            Value::Nothing | Value::Text(_) => 0,
            Value::List(nodes) => 1 + nodes.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(pairs) => 1 + pairs.iter().map(|(_, node)| node.depth()).max().unwrap_or(0),
        }
    }
}

/// A list or mapping whose end was not read yet.
struct Open {
    line: usize,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Mapping {
        pairs: Vec<(Key, Node)>,
        /// What the next node is the value of.
        key: Option<Key>,
    },
}

#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// Reads a file; one without anything in it is nothing.
pub(super) fn read(bytes: &[u8]) -> Result<Node, ManifestError> {
    if bytes.len() > BYTES_MAX {
        return Err(ManifestError::whole(format!("it may have {} KB, and has more", BYTES_MAX / 1024)));
    }
    let text = text::decode(bytes);
    let mut parser = Parser::new_from_str(&text);
    let mut loader = Loader::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| unreadable(&text, error.marker().line(), error.info()))?;
        loader.take(event, span.start.line())?;
    }
    Ok(loader.root.unwrap_or(Node { line: 1, value: Value::Nothing }))
}

/// Why the text is no YAML. What most often is the reason is said in other words than the parser's.
fn unreadable(text: &str, line: usize, why: &str) -> ManifestError {
    let tabbed = text.lines().enumerate().find(|(_, line)| {
        let indent = line.len() - line.trim_start().len();
        line[..indent].contains('\t') && !line.trim_start().is_empty()
    });
    match tabbed {
        Some((number, _)) if number < line + 1 => {
            ManifestError::at(number + 1, "it is indented by a tab, and YAML is indented by spaces alone")
        }
        _ => ManifestError::at(line, format!("it is no YAML: {why}")),
    }
}

impl Loader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), ManifestError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(ManifestError::at(line, "a second document begins here, and there may be one"))
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(anchor) => {
                // One that is not closed yet would be a part of itself.
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| ManifestError::at(line, "it is a part of itself"))?;
                self.count(node.count(), line)?;
                if self.open.len() + node.depth() > DEPTH_MAX {
                    return Err(too_deep(line));
                }
                self.add(Node { line, ..node }, 0)
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(1, line)?;
                self.add(Node { line, value: scalar(text, style) }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(line, anchor, OpenKind::Mapping { pairs: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), ManifestError> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let problem = format!("more than {NODES_MAX} values, those that aliases repeat included");
            return Err(ManifestError::at(line, problem));
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, anchor: usize, kind: OpenKind) -> Result<(), ManifestError> {
        self.count(1, line)?;
        if self.open.len() == DEPTH_MAX {
            return Err(too_deep(line));
        }
        if let Some(Open { kind: OpenKind::Mapping { key: None, .. }, .. }) = self.open.last() {
            return Err(ManifestError::at(line, "a key has to be a text"));
        }
        self.open.push(Open { line, anchor, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ManifestError> {
        let Some(Open { line, anchor, kind }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            OpenKind::List(nodes) => Value::List(nodes),
            OpenKind::Mapping { pairs, .. } => Value::Mapping(merged(pairs)?),
        };
        self.add(Node { line, value }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), ManifestError> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(nodes)) => nodes.push(node),
            Some(OpenKind::Mapping { pairs, key }) => match (key.take(), node.value) {
                (Some(key), value) => pairs.push((key, Node { line: node.line, value })),
                (None, Value::Text(name)) => {
                    if name != MERGE && pairs.iter().any(|(key, _)| key.name == name) {
                        return Err(ManifestError::at(node.line, format!("{name} stands there twice")));
                    }
                    *key = Some(Key { line: node.line, name });
                }
                (None, _) => return Err(ManifestError::at(node.line, "a key has to be a text")),
            },
        }
        Ok(())
    }
}

fn too_deep(line: usize) -> ManifestError {
    ManifestError::at(line, format!("more than {DEPTH_MAX} lists and mappings lie in each other"))
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    if style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") {
        return Value::Nothing;
    }
    Value::Text(text.into_owned())
}

/// Puts the keys of other mappings into their place: those that are there win.
fn merged(pairs: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, ManifestError> {
    let (others, mut own): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| key.name == MERGE);
    for (key, node) in others {
        let mappings = match node.value {
            Value::List(nodes) => nodes,
            _ => vec![node],
        };
        for mapping in mappings {
            let Value::Mapping(pairs) = mapping.value else {
                return Err(ManifestError::at(key.line, "<< takes a mapping, or a list of them"));
            };
            for (key, node) in pairs {
                if !own.iter().any(|(there, _)| there.name == key.name) {
                    own.push((key, node));
                }
            }
        }
    }
    Ok(own)
}
