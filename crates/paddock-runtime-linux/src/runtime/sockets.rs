//! What processes inside listen on, as the kernel lists it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::record::Folder;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The listening TCP sockets of a container that runs; none of one that does not.
pub(super) fn listening(folder: &Folder) -> io::Result<Vec<SocketAddr>> {
    let init = match folder.state() {
        Ok(state) => state.init.filter(crate::record::ProcessRecord::is_alive),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(init) = init else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        match std::fs::read_to_string(format!("/proc/{}/net/{table}", init.pid)) {
            Ok(text) => found.extend(text.lines().skip(1).filter_map(parse)),
            // It has ended meanwhile, or the kernel has no IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // Between the check and the reading another process may have got its number.
    Ok(if init.is_alive() { found } else { Vec::new() })
}

/// The local address of a line, if it listens.
fn parse(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // Each group of eight digits is a word in the machine's own order.
    let words: Vec<u8> = address
        .as_bytes()
        .chunks(8)
        .map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?
        .concat();
    let address = match *words.as_slice() {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        ref long => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(long).ok()?)),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let line = |local: &str, state: &str| {
            parse(&format!("   0: {local} 00000000:0000 {state} 00000000:00000000"))
        };
        assert_eq!(line("0100007F:1F90", "0A"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(line("0100007F:1F90", "01"), None);
        let any = "00000000000000000000000000000000:0BB8";
        assert_eq!(line(any, "0A"), Some("[::]:3000".parse().unwrap()));
        let local = "00000000000000000000000001000000:0BB8";
        assert_eq!(line(local, "0A"), Some("[::1]:3000".parse().unwrap()));
    }
}
