//! Another machine: a network namespace whose only way out is a cable to this one.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::outcome::run;

/// A network namespace and the cable to it; both go when this is dropped. Nothing in it reaches any other network.
#[derive(Debug)]
pub struct Machine {
    name: String,
    link: String,
    /// This machine's end of the cable.
    here: Ipv4Addr,
    /// The other end.
    there: Ipv4Addr,
}

impl Machine {
    /// Makes a machine and plugs the cable in.
    ///
    /// # Panics
    /// When it cannot be made; this needs root.
    #[must_use]
    pub fn connected() -> Machine {
        static MADE: AtomicU8 = AtomicU8::new(0);
        let (pid, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (here, there) = free_cable(pid);
        let (name, link) = (format!("paddock-test-{pid}-{number}"), format!("pt{pid:x}{number}"));
        let machine = Machine { name, link, here, there };
        let (name, link) = (machine.name.as_str(), machine.link.as_str());
        let (here, there) = (format!("{here}/30"), format!("{there}/30"));
        ip(&["netns", "add", name]);
        ip(&["link", "add", link, "type", "veth", "peer", "name", "cable", "netns", name]);
        ip(&["addr", "add", &here, "dev", link]);
        ip(&["link", "set", link, "up"]);
        ip(&["-netns", name, "addr", "add", &there, "dev", "cable"]);
        ip(&["-netns", name, "link", "set", "cable", "up"]);
        ip(&["-netns", name, "link", "set", "lo", "up"]);
        machine
    }

    /// The address by which the other machine reaches this one.
    #[must_use]
    pub fn address_here(&self) -> Ipv4Addr {
        self.here
    }

    /// The address of the other machine.
    #[must_use]
    pub fn address_there(&self) -> Ipv4Addr {
        self.there
    }

    /// Does something on the other machine: sockets and programs begun in it are there.
    ///
    /// # Panics
    /// When the namespace cannot be entered.
    pub fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let enter_and_work = move || {
            // Of a thread of its own: it ends there, and nobody else has moved.
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        let worked = std::thread::scope(|scope| scope.spawn(enter_and_work).join());
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for arguments in [["link", "del", &self.link], ["netns", "del", &self.name]] {
            let _ = Command::new("ip").args(arguments).output();
        }
    }
}

/// Both ends of a cable, in a range that this machine has no use for.
fn free_cable(pid: u32) -> (Ipv4Addr, Ipv4Addr) {
    let mut command = Command::new("ip");
    command.args(["-oneline", "-4", "addr", "show"]);
    let used = run(command, b"", Duration::from_secs(10)).succeeded().stdout;
    // 198.18.0.0/15 is set aside for measuring networks.
    let ranges = (0..0x8000_u32).map(|step| Ipv4Addr::from(0xc612_0000 + 4 * ((pid + step) % 0x8000)));
    let end = |range: Ipv4Addr, number: u32| Ipv4Addr::from(u32::from(range) + number);
    let free = ranges.into_iter().find(|range| !used.contains(&format!(" {}/", end(*range, 1))));
    let range = free.expect("one of 32,768 ranges is free");
    (end(range, 1), end(range, 2))
}

fn ip(arguments: &[&str]) {
    let mut command = Command::new("ip");
    command.args(arguments);
    let _ = run(command, b"", Duration::from_secs(10)).succeeded();
}
