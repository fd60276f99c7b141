//! Lines of a `.dockerignore` leave out what is in a folder that they leave out, as long as none takes back; a last line
//! decides alone. The input is a `.dockerignore`, a NUL and a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_build::dockerignore::Dockerignore;

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == 0) else { return };
    let Ok(path) = std::str::from_utf8(&input[end + 1..]) else { return };
    let path: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let path = path.join("/");
    let Ok(ignore) = Dockerignore::read(&input[..end]) else { return };
    if path.is_empty() {
        return;
    }
    if !ignore.takes_back() && ignore.leaves_out(&path) {
        assert!(ignore.leaves_out(&format!("{path}/in/it")), "a folder goes with what is in it");
    }
    let all = [&input[..end], b"\n**"].concat();
    if let Ok(all) = Dockerignore::read(&all) {
        assert!(all.leaves_out(&path));
    }
    let none = [&input[..end], b"\n!**"].concat();
    if let Ok(none) = Dockerignore::read(&none) {
        assert!(!none.leaves_out(&path));
    }
});
