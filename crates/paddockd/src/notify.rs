//! Telling the service manager how we are: one datagram to the socket that it names in the environment.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket; a leading `@` stands for an abstract name.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Everything answers: what waits for us may begin.
pub(crate) fn ready() {
    tell("READY=1\nSTATUS=Ready\n");
}

/// We end; dynos and the router may go on.
pub(crate) fn stopping() {
    tell("STOPPING=1\nSTATUS=Ending\n");
}

fn tell(state: &str) {
    #[expect(clippy::disallowed_methods, reason = "the server binary is where the environment is read")]
    let Some(name) = std::env::var_os(VARIABLE) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "the service manager could not be told: {}", state.trim_end().replace('\n', ", "));
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_arrives_at_both_kinds_of_socket() {
        let name = format!("/tmp/paddockd-notify-{}", std::process::id());
        let _ = std::fs::remove_file(&name);
        let by_path = UnixDatagram::bind(&name).unwrap();
        let unique = format!("paddockd-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(unique.as_bytes()).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (socket, named) in [(by_path, name.clone()), (by_name, format!("@{unique}"))] {
            send(OsStr::new(&named), "READY=1\n").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\n");
        }
        std::fs::remove_file(&name).unwrap();
        assert!(send(OsStr::new("/tmp/nobody-listens-here"), "READY=1\n").is_err());
    }
}
