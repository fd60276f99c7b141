//! A `heroku.yml` is read as what an app may have, or is one sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_build::heroku_yml::HerokuYml;

fuzz_target!(|input: &[u8]| {
    let manifest = match HerokuYml::read(input) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.problem.is_empty() && error.line.is_none_or(|line| line > 0));
            return;
        }
    };
    assert!(!manifest.images.is_empty() && manifest.images.len() <= 50);
    for (_, image) in &manifest.images {
        assert!(!image.dockerfile.starts_with('/') && !image.dockerfile.split('/').any(|part| part == ".."));
    }
    let run = manifest.run.iter().flatten().map(|(name, process)| (Some(name), process));
    for (name, process) in run.chain(manifest.release.iter().map(|release| (None, release))) {
        assert!(manifest.image_of(name, process.image.as_ref()).is_some(), "every process has an image");
    }
});
