//! Pkt-lines that were read are the bytes that were sent; commands of a push are answered line by line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_build::git::pkt_line::{DATA_BYTES_MAX, PktLine, read, write, write_flush};
use paddock_build::git::proc_receive::{read_commands, write_results};
use paddock_build::git::{PushResult, PushVerdict};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut written = Vec::new();
    let mut whole = 0;
    while let Ok(Some(line)) = read(&mut rest) {
        match line {
            PktLine::Data(data) => {
                assert!(data.len() <= DATA_BYTES_MAX);
                write(&mut written, &data).expect("it was a pkt-line");
            }
            PktLine::Flush => write_flush(&mut written).expect("a vector takes all"),
        }
        whole = bytes.len() - rest.len();
    }
    // The digits of a length may be capitals; nothing else differs.
    assert!(written.eq_ignore_ascii_case(&bytes[..whole]));
    commands(bytes);
});

fn commands(bytes: &[u8]) {
    let Ok(commands) = read_commands(&mut &bytes[..], &mut Vec::new()) else { return };
    let refused = |text: &str| PushVerdict::Refuse(text.to_owned());
    let results: Vec<_> = commands
        .iter()
        .map(|command| PushResult { name: command.name.clone(), verdict: refused(&command.old) })
        .collect();
    let mut answer = Vec::new();
    // A name that fills a pkt-line leaves no room for a verdict.
    if write_results(&mut answer, &commands, &results).is_err() {
        return;
    }
    let mut rest = &answer[..];
    for command in &commands {
        let Ok(Some(PktLine::Data(line))) = read(&mut rest) else { panic!("a line for each command") };
        assert!(line.starts_with(format!("ng {} ", command.name).as_bytes()));
    }
    assert_eq!(read(&mut rest).ok(), Some(Some(PktLine::Flush)));
    assert!(rest.is_empty());
}
