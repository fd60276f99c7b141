//! The files of an image, by the layers that they are in.

use std::collections::BTreeMap;

use paddock_core::LayerDigest;
use paddock_core::stack::StackVersion;
use serde::{Serialize, Serializer};

use super::BuiltImage;

/// The files that an image has so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Files {
    /// The uppermost first.
    #[serde(serialize_with = "texts")]
    pub(super) layers: Vec<LayerDigest>,
    #[serde(serialize_with = "texts")]
    pub(super) base: Option<StackVersion>,
}

fn texts<'a, T: std::fmt::Display + 'a, S: Serializer>(
    values: impl IntoIterator<Item = &'a T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.into_iter().map(ToString::to_string))
}

impl Files {
    /// Lays a layer upon the others. Where it was among them it hides all that it had there, and no layer is mounted upon itself.
    pub(super) fn lay(&mut self, layer: LayerDigest) {
        self.layers.retain(|below| *below != layer);
        self.layers.insert(0, layer);
    }

    pub(super) fn count(&self) -> usize {
        self.layers.len() + usize::from(self.base.is_some())
    }
}

/// An image that was built.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) image: BuiltImage,
    /// Of the layers that its steps came to.
    pub(super) sizes: BTreeMap<LayerDigest, u64>,
}
