//! What makes a step what it is.

use paddock_core::hex;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::StepKey;
use super::files::Files;
use crate::dockerfile::{CopyStep, RunStep};
use crate::image_step::task::NewFolder;

/// Changes when the same step would come to something else.
const VERSION: &str = "1";

/// Everything that a step's layer depends on, but for what the network answers.
#[derive(Serialize)]
pub(super) struct StepInputs<'a> {
    pub(super) files: &'a Files,
    pub(super) before: &'a [NewFolder],
    pub(super) action: StepAction<'a>,
    /// Digests of files that come from the context or were fetched; what the layers of stages and images are.
    pub(super) content: Vec<String>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StepAction<'a> {
    Run(&'a RunStep),
    Copy(&'a CopyStep),
    Folders,
}

impl StepInputs<'_> {
    pub(super) fn key(&self) -> Result<StepKey, serde_json::Error> {
        let mut digest = Sha256::new();
        digest.update(VERSION);
        digest.update(serde_json::to_vec(self)?);
        Ok(StepKey(hex(&digest.finalize())))
    }
}

/// How people tell apart what steps have come to: twelve digits, as Docker shows them.
pub(super) fn shown(before: &str, what: &str) -> String {
    let digest = Sha256::new().chain_update(before).chain_update([0]).chain_update(what);
    hex(&digest.finalize())[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dockerfile::{Action, Dockerfile};

    fn keys(file: &str, content: &str) -> Vec<StepKey> {
        let dockerfile = Dockerfile::read(file.as_bytes()).unwrap();
        let plan = dockerfile.plan(None, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let key = |action| {
            let content = vec![content.to_owned()];
            StepInputs { files: &Files::default(), before: &[], action, content }.key().unwrap()
        };
        let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
        let keys = steps.filter_map(|step| match &step.action {
            Action::Run(run) => Some(key(StepAction::Run(run))),
            Action::Copy(copy) => Some(key(StepAction::Copy(copy))),
            _ => None,
        });
        keys.collect()
    }

    #[test]
    fn a_key_changes_with_all_that_the_step_depends_on_and_nothing_else() {
        let file = "FROM a\nENV A=1\nRUN make\nCOPY x /y\n";
        let [run, copy] = &keys(file, "c")[..] else { panic!() };
        assert_eq!(
            keys(&file.replace("FROM a", "# note\nFROM a\nLABEL x=y\nCMD z"), "c"),
            [run.clone(), copy.clone()]
        );
        assert_ne!(&keys(&file.replace("A=1", "A=2"), "c")[0], run, "variables");
        assert_ne!(&keys(&file.replace("RUN make", "USER u\nRUN make"), "c")[0], run, "users");
        assert_ne!(&keys(&file.replace("x /y", "--chown=1 x /y"), "c")[1], copy, "owners");
        assert_ne!(&keys(file, "d")[1], copy, "contents");
        assert_ne!(run, copy);
    }
}
