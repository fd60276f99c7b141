//! Patterns of a `.slugignore` say the same line by line, match a folder where they match a file, and spare the file
//! itself. The input is a `.slugignore`, a NUL and a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_build::source::slugignore::{FILE_NAME, Slugignore};

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == 0) else { return };
    let (text, path) = (&input[..end], &input[end + 1..]);
    let path: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    if path.is_empty() {
        return;
    }
    let patterns = Slugignore::parse(text);
    assert!(patterns.count() <= lines(text).count());
    assert!(!patterns.matches(&[FILE_NAME.as_bytes()], true));
    let (file, folder) = (patterns.matches(&path, false), patterns.matches(&path, true));
    assert!(folder || !file, "what matches as a file matches as a folder");
    assert_eq!(folder, lines(text).any(|line| Slugignore::parse(line).matches(&path, true)));
});

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}
