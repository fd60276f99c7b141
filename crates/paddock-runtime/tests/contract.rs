//! The fake passes the contract of real backends.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

use std::collections::BTreeMap;

use paddock_core::artefact::ProgramUser;
use paddock_core::stack::{Stack, StackVersion};
use paddock_core::{ContainerId, Tenant};
use paddock_runtime::contract::{Act, Bench, Check};
use paddock_runtime::fake::FakeRuntime;
use paddock_runtime::{ContainerSpec, Disk, Layer, Limits, Network, Root, Runtime, Stdio};

struct Fake(FakeRuntime);

impl Bench for Fake {
    fn runtime(&self) -> &dyn Runtime {
        &self.0
    }

    fn spec(&self, id: ContainerId, act: Act) -> ContainerSpec {
        let words = |first: &str, rest: Vec<String>| [vec![first.to_owned()], rest].concat();
        let command = match act {
            Act::Exit(status) => words("fake-exit", vec![status.to_string()]),
            Act::Print(lines) => words("fake-print", lines),
            Act::PrintThenRun(line) => words("fake-print-then-run", vec![line]),
            Act::EndOnTerm(status) => words("fake-end-on-term", vec![status.to_string()]),
            Act::IgnoreTerm => words("fake-ignore-term", vec![]),
            Act::EndOnHangUp(status) => words("fake-end-on-hang-up", vec![status.to_string()]),
            Act::IgnoreHangUp => words("fake-ignore-hang-up", vec![]),
            Act::Echo => words("fake-echo", vec![]),
            Act::Listen(port) => words("fake-listen", vec![port.to_string()]),
            Act::Connect(address, port) => words("fake-connect", vec![address.to_string(), port.to_string()]),
            Act::Write(path, text) => words("fake-write", vec![path, text]),
            Act::Show(path) => words("fake-show", vec![path]),
            Act::Missing => words("fake-missing", vec![]),
        };
        ContainerSpec {
            id,
            labels: BTreeMap::from([("dyno".to_owned(), "web.1".to_owned())]),
            hostname: "fake".to_owned(),
            tenant: Tenant(1),
            root: Root::Stack,
            layers: vec![Layer::Stack(StackVersion { stack: Stack::HOST, version: "1".to_owned() })],
            mounts: vec![],
            stdio: if command[0] == "fake-echo" { Stdio::Pipe } else { Stdio::Output },
            command,
            user: ProgramUser::DYNO,
            image_user: String::new(),
            env: vec![],
            working_dir: "/app".to_owned(),
            limits: Limits { memory_bytes: 1, cpu_millicores: 1, cpu_weight: 1, pids: 1 },
            disk: Disk::Unlimited,
            network: Network::None,
            time_limit: None,
            leftover_grace: std::time::Duration::ZERO,
        }
    }
}

fn on_a_fake(check: Check) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tokio = tokio.expect("a runtime can be made");
    tokio.block_on(check(&Fake(FakeRuntime::new())));
}

paddock_runtime::contract_tests!(on_a_fake);
