//! Processes by what cannot be mistaken for a later one with the same number.

use std::io;

/// When a process began, by the kernel's count since the machine was started: no other process of its number has it.
///
/// # Errors
/// When the process is gone.
pub fn began(process: u32) -> io::Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; what follows the last one is numbers: state is field 3, start 22.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    Ok(fields.split(' ').nth(19).ok_or(io::ErrorKind::InvalidData)?.to_owned())
}
