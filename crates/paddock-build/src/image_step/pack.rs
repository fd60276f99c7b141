//! What a step has written becomes a layer.

use std::fs::OpenOptions;
use std::path::Path;

use paddock_images::convert::{LayerLimits, LeftOut, convert_tree};

use super::task::{LAYER_FOLDER, LAYER_NAME, StepResult, UPPER};

pub(super) fn pack(result: &mut StepResult) -> Result<(), String> {
    let file = Path::new(LAYER_FOLDER).join(LAYER_NAME);
    let output = OpenOptions::new().read(true).write(true).create_new(true).open(&file);
    let output = output.map_err(|error| format!("the layer's file could not be made: {error}"))?;
    let layer = convert_tree(Path::new(UPPER), &LeftOut::default(), output, &LayerLimits::IMAGE);
    let layer = layer.map_err(|error| error.to_string())?;
    result.entries = layer.entries;
    result.left_out = layer.warnings.sentences();
    Ok(())
}
