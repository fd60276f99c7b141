//! What a Procfile declares, written out again, declares the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_core::procfile;

fuzz_target!(|text: &str| {
    let read = procfile::parse(text);
    let lines = text.lines().count();
    assert!(read.process_types.len() + read.skipped_lines.len() <= lines);
    assert!(read.skipped_lines.iter().all(|line| (1..=lines).contains(line)));
    let mut written = String::new();
    for (process_type, command) in &read.process_types {
        assert!(!command.is_empty() && !command.contains(['\n', '\0']), "one argument of one program");
        written.push_str(&format!("{process_type}: {command}\n"));
    }
    let again = procfile::parse(&written);
    assert_eq!(again.process_types, read.process_types);
    assert_eq!(again.skipped_lines, []);
});
