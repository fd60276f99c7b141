//! The contract of every backend, kept by real containers.

use std::sync::Arc;

use crate::support::{Fixture, with};
use paddock_core::ContainerId;
use paddock_runtime::contract::{Act, Bench, Check};
use paddock_runtime::{ContainerSpec, Disk, Runtime, Stdio};

/// With the form of disk that its containers have.
struct Linux(Arc<Fixture>, Disk);

impl Bench for Linux {
    fn runtime(&self) -> &dyn Runtime {
        &*self.0.runtime
    }

    fn spec(&self, id: ContainerId, act: Act) -> ContainerSpec {
        let stdio = if act == Act::Echo { Stdio::Pipe } else { Stdio::Output };
        let command = match act {
            Act::Exit(status) => sh(&format!("exit {status}")),
            Act::Print(lines) => [vec!["printf".to_owned(), "%s\\n".to_owned()], lines].concat(),
            Act::PrintThenRun(line) => sh(&format!("echo '{line}'; exec sleep 1000")),
            Act::EndOnTerm(status) => python(&ends_on("SIGTERM", status)),
            Act::IgnoreTerm => sh("trap '' TERM; echo ready; while :; do sleep 1000; done"),
            Act::EndOnHangUp(status) => python(&ends_on("SIGHUP", status)),
            Act::IgnoreHangUp => sh("trap '' HUP; echo ready; exec sleep 1000"),
            Act::Echo => vec!["cat".to_owned()],
            Act::Listen(port) => python(&format!(
                "import socket, time\ns = socket.socket()\ns.bind(('0.0.0.0', {port}))\ns.listen()\ntime.sleep(1000)"
            )),
            Act::Connect(address, port) => {
                python(&format!("import socket\nsocket.create_connection(('{address}', {port}), 1.5)"))
            }
            Act::Write(path, text) => {
                [sh("printf %s \"$2\" > \"$1\""), vec!["sh".to_owned(), path, text]].concat()
            }
            Act::Show(path) => vec!["cat".to_owned(), path],
            Act::Missing => vec!["no-such-program".to_owned()],
        };
        let mut spec = self.0.spec("");
        spec.disk = self.1.clone();
        ContainerSpec { id, command, stdio, ..spec }
    }
}

/// Without a child: one that is being made when the signal comes loses it to the handler of its parent.
fn ends_on(signal: &str, status: i32) -> String {
    format!(
        "import os, signal\nsignal.signal(signal.{signal}, lambda *_: os._exit({status}))\nprint('ready', flush=True)\nwhile True: signal.pause()"
    )
}

fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn python(script: &str) -> Vec<String> {
    ["python3", "-c", script].map(str::to_owned).to_vec()
}

mod with_a_limited_disk {
    use super::*;

    fn on_linux(check: Check) {
        with(|_| {}, |f| async move { check(&Linux(f, Disk::Limited(64 << 20))).await });
    }

    paddock_runtime::contract_tests!(on_linux);
}

mod with_the_machines_disk {
    use super::*;

    fn on_linux(check: Check) {
        with(|_| {}, |f| async move { check(&Linux(f, Disk::Unlimited)).await });
    }

    paddock_runtime::contract_tests!(on_linux);
}
