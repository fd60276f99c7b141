//! Git's `proc-receive` protocol, spoken by the hook with `git receive-pack` on standard input and output.
//! Source: git's own documentation of hooks, section `proc-receive`.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use super::pkt_line::{self, PktLine};
use super::push::{PushResult, PushVerdict, RefCommand};

/// The most commands one push may have: a mirror push of a large repository fits.
const COMMANDS_MAX: usize = 10_000;

/// Agrees on the version and reads the commands.
///
/// # Errors
/// When the stream breaks or is not this protocol, version 1.
pub fn read_commands(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<Vec<RefCommand>> {
    let push_options = negotiate(reader, writer)?;
    let mut commands = Vec::new();
    while let Some(line) = data(reader)? {
        if commands.len() == COMMANDS_MAX {
            return Err(invalid("a push can change 10,000 refs at most"));
        }
        commands.push(command(&line)?);
    }
    if push_options {
        while data(reader)?.is_some() {}
    }
    Ok(commands)
}

/// Answers every command. What has no result in `results` is refused.
pub fn write_results(
    writer: &mut impl Write,
    commands: &[RefCommand],
    results: &[PushResult],
) -> io::Result<()> {
    let verdicts: HashMap<&str, &PushVerdict> =
        results.iter().map(|result| (result.name.as_str(), &result.verdict)).collect();
    for RefCommand { name, .. } in commands {
        match verdicts.get(name.as_str()) {
            Some(PushVerdict::Done) => pkt_line::write(writer, format!("ok {name}").as_bytes())?,
            Some(PushVerdict::DoneAs(commit)) => {
                pkt_line::write(writer, format!("ok {name}").as_bytes())?;
                pkt_line::write(writer, format!("option new-oid {commit}").as_bytes())?;
            }
            Some(PushVerdict::LetGit) => {
                pkt_line::write(writer, format!("ok {name}").as_bytes())?;
                pkt_line::write(writer, b"option fall-through")?;
            }
            Some(PushVerdict::Refuse(reason)) => refuse(writer, name, reason)?,
            None => refuse(writer, name, "the platform did not answer")?,
        }
    }
    pkt_line::write_flush(writer)?;
    writer.flush()
}

fn refuse(writer: &mut impl Write, name: &str, reason: &str) -> io::Result<()> {
    // A reason is one short line: git puts it between parentheses.
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
    pkt_line::write(writer, format!("ng {name} {reason}").as_bytes())
}

/// The version line, `version=1` and features behind a NUL; whether push options will follow the commands.
fn negotiate(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<bool> {
    let line = data(reader)?.ok_or_else(|| invalid("no version line"))?;
    let mut parts = line.splitn(2, |byte| *byte == 0);
    let version = parts.next().unwrap_or_default();
    if version.trim_ascii_end() != b"version=1" {
        return Err(invalid("unknown version of the proc-receive protocol"));
    }
    let features = parts.next().unwrap_or_default();
    let push_options = features.split(u8::is_ascii_whitespace).any(|feature| feature == b"push-options");
    while data(reader)?.is_some() {}
    pkt_line::write(writer, if push_options { b"version=1\0push-options" } else { b"version=1" })?;
    pkt_line::write_flush(writer)?;
    writer.flush()?;
    Ok(push_options)
}

/// The data of the next pkt-line; `None` at a flush.
fn data(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    match pkt_line::read(reader)? {
        Some(PktLine::Data(data)) => Ok(Some(data)),
        Some(PktLine::Flush) => Ok(None),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn command(line: &[u8]) -> io::Result<RefCommand> {
    let line = std::str::from_utf8(line.trim_ascii_end()).map_err(|_| invalid("a ref name is not UTF-8"))?;
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(old), Some(new), Some(name)) => {
            Ok(RefCommand { old: old.into(), new: new.into(), name: name.into() })
        }
        _ => Err(invalid("malformed command")),
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn conversation(version: &[u8], commands: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        pkt_line::write(&mut bytes, version).unwrap();
        pkt_line::write_flush(&mut bytes).unwrap();
        for command in commands {
            pkt_line::write(&mut bytes, command.as_bytes()).unwrap();
        }
        pkt_line::write_flush(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn commands_are_read_and_answered() {
        let input = conversation(
            b"version=1\0push-options atomic\n",
            &[
                &format!("{ZERO} {ONE} refs/heads/main\n"),
                &format!("{ZERO} {ONE} refs/tags/a"),
                &format!("{ZERO} {ONE} refs/heads/b"),
            ],
        );
        // Push options were announced, so their (empty) section follows.
        let input = [input, b"0000".to_vec()].concat();
        let mut output = Vec::new();
        let commands = read_commands(&mut &input[..], &mut output).unwrap();
        assert_eq!(output, b"001aversion=1\0push-options0000");
        assert_eq!(commands.len(), 3);
        assert_eq!(
            commands[0],
            RefCommand { old: ZERO.into(), new: ONE.into(), name: "refs/heads/main".into() }
        );

        let results = [
            PushResult { name: "refs/heads/main".into(), verdict: PushVerdict::Refuse("a\nb".into()) },
            PushResult { name: "refs/tags/a".into(), verdict: PushVerdict::LetGit },
        ];
        let mut output = Vec::new();
        write_results(&mut output, &commands, &results).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(
            text.starts_with("0019ng refs/heads/main ab0012ok refs/tags/a0017option fall-through"),
            "{text}"
        );
        assert!(text.ends_with("refs/heads/b the platform did not answer0000"), "{text}");
    }

    #[test]
    fn other_versions_and_malformed_commands_are_refused() {
        let mut output = Vec::new();
        for input in [
            conversation(b"version=2", &[]),
            conversation(b"version=1", &["nothing"]),
            conversation(b"version=1", &[])[..8].to_vec(),
            Vec::new(),
        ] {
            assert!(read_commands(&mut &input[..], &mut output).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_commands(&mut &bytes[..], &mut Vec::new());
            let input = [conversation(b"version=1", &[])[..17].to_vec(), bytes].concat();
            let _ = read_commands(&mut &input[..], &mut Vec::new());
        }
    }
}
