//! Why a program could not be started, in words that say what to change. The kernel says "not found" of a script whose interpreter
//! is missing, and of a program for another processor only that its format is wrong.

use std::io;

/// How much of a file is looked at: as much as the kernel reads of a first line.
pub(super) const HEAD_BYTES: u64 = 256;

/// What an ELF file says it is for, by its field `e_machine`.
const MACHINES: [(u16, &str); 5] = [(3, "386"), (40, "arm"), (183, "arm64"), (243, "riscv64"), (22, "s390x")];
/// That of the machines that this server runs on.
const OURS: u16 = 62;

/// Why the program of this name did not start. `head` is how its file begins; `None` if there is no such file.
pub(super) fn why(name: &str, failure: &io::Error, head: Option<&[u8]>) -> String {
    match (failure.kind(), head) {
        (io::ErrorKind::NotFound, None) if name == "/bin/sh" => "/bin/sh: command not found: the image has no shell, \
             which reads a command that is a line. Give the words of a program as a list, or add a shell to the image"
            .to_owned(),
        (io::ErrorKind::NotFound, None) => format!("{name}: command not found"),
        (io::ErrorKind::NotFound, Some(head)) => missing_interpreter(name, head),
        (io::ErrorKind::PermissionDenied, _) => format!("{name}: permission denied"),
        _ if failure.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            wrong_format(name, head.unwrap_or_default())
        }
        _ => format!("{name}: {failure}"),
    }
}

fn missing_interpreter(name: &str, head: &[u8]) -> String {
    let Some(line) = head.strip_prefix(b"#!") else {
        return format!(
            "{name}: the loader that it was linked for is not there: it was built for another distribution, or another libc"
        );
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
    match interpreter.strip_suffix('\r') {
        Some(interpreter) => format!(
            "{name}: its lines end as on Windows (CRLF), so its first line names \"{interpreter}\\r\", which is not there: \
             save it with LF"
        ),
        None => format!("{name}: its first line names {interpreter:?}, which is not there"),
    }
}

fn wrong_format(name: &str, head: &[u8]) -> String {
    let machine = head.get(18..20).filter(|_| head.starts_with(b"\x7fELF"));
    // Which end of a number comes first is in the sixth byte.
    let machine = machine.map(|two| match head[5] {
        2 => u16::from_be_bytes([two[0], two[1]]),
        _ => u16::from_le_bytes([two[0], two[1]]),
    });
    match machine {
        Some(OURS) => format!("{name}: exec format error: the file is damaged"),
        Some(machine) => {
            let known = MACHINES.iter().find(|(number, _)| *number == machine);
            let known = known.map_or("another processor", |(_, name)| name);
            format!(
                "{name}: exec format error: it was built for {known}, and this server runs linux/amd64: build the image \
                 with --platform linux/amd64"
            )
        }
        None => format!("{name}: exec format error: it is no program, nor a script that begins with #!"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut head = b"\x7fELF\x02".to_vec();
        head.push(order);
        head.resize(18, 0);
        head.extend(machine);
        head
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let said = |name, head: Option<&[u8]>| why(name, &missing, head);
        assert_eq!(said("serve", None), "serve: command not found");
        assert!(said("/bin/sh", None).contains("the image has no shell"));
        assert_eq!(
            said("/run", Some(b"#! /bin/bash -e\necho")),
            "/run: its first line names \"/bin/bash\", which is not there"
        );
        let windows = said("/run", Some(b"#!/bin/sh\r\nexec x\r\n"));
        assert!(windows.contains("CRLF") && windows.contains("\"/bin/sh\\r\""), "{windows}");
        assert!(
            said("/run", Some(b"#!/usr/bin/env node\r\n")).contains("its first line names \"/usr/bin/env\"")
        );
        assert!(
            said("/run", Some(&elf(1, [62, 0]))).contains("the loader that it was linked for is not there")
        );
    }

    #[test]
    fn another_processor_is_named() {
        let wrong = io::Error::from(rustix::io::Errno::NOEXEC);
        let said = |head: &[u8]| why("/srv", &wrong, Some(head));
        for (head, words) in [
            (elf(1, [183, 0]), "it was built for arm64, and this server runs linux/amd64"),
            (elf(2, [0, 22]), "it was built for s390x"),
            (elf(1, [1, 1]), "it was built for another processor"),
            (elf(1, [62, 0]), "the file is damaged"),
            (b"\x7fELF".to_vec(), "it is no program"),
            (b"hello".to_vec(), "it is no program"),
            (Vec::new(), "it is no program"),
        ] {
            assert!(
                said(&head).starts_with("/srv: exec format error: ") && said(&head).contains(words),
                "{words}"
            );
        }
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(why("/srv", &denied, Some(b"")), "/srv: permission denied");
    }
}
