//! A port for a server under test, which no other test has at the same time, also while nobody listens there.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use rustix::fs::{FlockOperation, flock};

/// Below those that the kernel gives to outgoing connections, of which tests make many.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of this machine's, held until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// One that nobody listens on and no other test has taken.
    ///
    /// # Panics
    /// When all are taken.
    #[must_use]
    pub fn take() -> Port {
        let folder = std::env::temp_dir().join("paddock-test-ports");
        fs::create_dir_all(&folder).expect("the folder of ports can be made");
        let count = u32::from(RANGE.end - RANGE.start);
        // Tests that begin at the same time do not ask for the same ones.
        let first = std::process::id().wrapping_mul(97) % count;
        let numbers = (0..count)
            .map(|step| RANGE.start + u16::try_from((first + step) % count).expect("a port is that small"));
        let mut free = numbers.filter_map(|number| {
            let lock = File::create(folder.join(number.to_string())).expect("a port can be locked");
            flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
            Some(Port { number, _lock: lock })
        });
        free.next().expect("one of 12,000 ports is free")
    }

    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}
