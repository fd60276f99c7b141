//! A router for tests: it answers on a socket as a real one does, and remembers what it was told.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use paddock_ipc::frame;
use paddock_ipc::routes::{FromRouter, RouteTable, ToRouter};
use uuid::Uuid;

/// A router that answers for as long as the test runs.
pub(crate) struct FakeRouter {
    pid: u32,
    version: u32,
    told: Mutex<Told>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) retired: bool,
    /// As it was sent, and changed since.
    pub(crate) table: Option<RouteTable>,
    /// Whole tables that came.
    pub(crate) tables: usize,
    /// Changes that came, also those that did not follow.
    pub(crate) changes: usize,
    /// It carries the next message about routes out, and hangs up in place of an answer.
    pub(crate) hangs_up: bool,
}

impl FakeRouter {
    /// Of this version, on a new socket.
    pub(crate) fn listen(path: &Path, pid: u32, version: u32) -> Arc<Self> {
        let listener = UnixListener::bind(path).unwrap();
        let router = Arc::new(Self { pid, version, told: Mutex::default() });
        let shared = router.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let router = shared.clone();
                std::thread::spawn(move || router.serve(&stream));
            }
        });
        router
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    fn serve(&self, stream: &UnixStream) {
        while let Ok(Some((message, _))) = frame::receive::<ToRouter>(stream.as_fd()) {
            let is_of_routes = matches!(message, ToRouter::Routes(_) | ToRouter::App(_));
            let answer = self.answer(message);
            if is_of_routes && std::mem::take(&mut self.told().hangs_up) {
                return;
            }
            frame::send(stream.as_fd(), &answer, &[]).unwrap();
        }
    }

    fn answer(&self, message: ToRouter) -> FromRouter {
        let mut told = self.told();
        let generation = |told: &Told| told.table.as_ref().map_or(0, |table| table.generation);
        match message {
            ToRouter::Hello { version, instance } => {
                return FromRouter::Hello {
                    version: version.min(self.version),
                    program: format!("program {}", self.pid),
                    instance,
                    pid: self.pid,
                    generation: generation(&told),
                    listeners: Vec::new(),
                    spool: Some(Uuid::from_u128(self.pid.into()).to_string()),
                    retiring: told.retired,
                };
            }
            ToRouter::Routes(table) => {
                told.tables += 1;
                told.table = Some(*table);
            }
            ToRouter::App(change) => {
                told.changes += 1;
                let follows = told.table.as_mut().is_some_and(|table| table.change(*change));
                if !follows {
                    return FromRouter::Gap { generation: generation(&told) };
                }
            }
            ToRouter::Retire => told.retired = true,
            ToRouter::Ack { .. } | ToRouter::Stop => {}
        }
        FromRouter::Done { generation: generation(&told) }
    }
}
