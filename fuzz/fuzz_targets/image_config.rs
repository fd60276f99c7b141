//! The configuration of an image is read or refused; what was read of it is read the same of what we write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_images::oci::{ConfigFile, config_json};

fuzz_target!(|json: &[u8]| {
    match ConfigFile::read(json) {
        Ok(read) => {
            let written = config_json(&read.image, &read.diff_ids);
            let again = ConfigFile::read(&written).expect("it was written here");
            assert_eq!((&again.image, &again.diff_ids), (&read.image, &read.diff_ids));
            assert_eq!(again.check_platform(), Ok(()));
        }
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
