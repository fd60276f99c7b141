//! What people see: standard output, at once.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use crate::output;

/// Shows text, decorated already. A reader who is gone does not end the build.
pub(super) fn write(text: &str) {
    write_bytes(text.as_bytes());
}

/// Shows bytes as they are.
pub(super) fn write_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// `-----> TEXT`.
pub(super) fn step(text: &str) {
    write(&output::step(text));
}

/// `       TEXT`.
pub(super) fn detail(text: &str) {
    write(&output::detail(text));
}

/// ` !     TEXT`.
pub(super) fn warning(text: &str) {
    write(&output::problem(text));
}

/// The screen as a descriptor for a program's output. The same one serves its errors, so that the order is kept.
pub(super) fn descriptor() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// Copies a program's output to the screen with seven spaces before each line, piece by piece as it comes.
pub(super) fn copy_indented(mut from: impl Read) -> io::Result<()> {
    let mut buffer = [0; 8 * 1024];
    let mut at_start = true;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        write_bytes(&indented(&buffer[..length], &mut at_start));
    }
}

fn indented(bytes: &[u8], at_start: &mut bool) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len() + 64);
    for byte in bytes {
        if *at_start && *byte != b'\n' {
            result.extend_from_slice(output::DETAIL.as_bytes());
        }
        result.push(*byte);
        // A progress bar that goes back to the start of its line is indented again.
        *at_start = matches!(byte, b'\n' | b'\r');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn lines_are_indented_whatever_the_pieces() {
        let mut at_start = true;
        let mut all = Vec::new();
        for piece in ["a", "b\n", "\nc\rd\n", "e"] {
            all.extend(indented(piece.as_bytes(), &mut at_start));
        }
        assert_eq!(all, b"       ab\n\n       c\r       d\n       e");
    }
}
