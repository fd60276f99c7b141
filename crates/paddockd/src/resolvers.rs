//! Who answers this machine's questions for names: dynos' questions are passed on there.

use std::net::SocketAddr;

/// Those of this machine.
pub(crate) fn of_this_machine() -> Vec<SocketAddr> {
    resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// The resolvers of a resolv.conf, port 53.
fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    resolv_conf.lines().filter_map(address).map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read() {
        let found = resolvers("# x\nnameserver 10.0.0.1\nsearch a\nnameserver ::1\n");
        assert_eq!(found, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }
}
