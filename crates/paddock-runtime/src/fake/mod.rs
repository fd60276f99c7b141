//! A runtime in memory, for tests of what stands above the port.
//!
//! A container runs until a test says how it ended ([`FakeRuntime::exit`]), or until it is stopped (status 143).
//! What it prints and listens on is told by the test as well. Commands whose first word begins with `fake-` act by
//! themselves, which is how the fake passes the contract of real backends: see [`FakeRuntime::start`].
#![expect(clippy::disallowed_methods, reason = "it stands for a runtime in tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use paddock_core::{ContainerId, ServiceId, UnixMicros, VolumeId};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    Attached, ContainerSpec, ContainerState, ExecSpec, Exit, Input, LocalVolumes, Observed, Output, Reach,
    Runtime, RuntimeError, Stream, VolumeKind,
};

mod network;
mod volumes;

use self::network::Services;
use self::volumes::Volumes;

/// Messages on their way between a client and a program.
const MESSAGES_AHEAD: usize = 16;

/// Containers that exist in memory only.
#[derive(Debug, Clone, Default)]
pub struct FakeRuntime(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    containers: Mutex<BTreeMap<ContainerId, Container>>,
    next_failure: Mutex<Option<RuntimeError>>,
    held: watch::Sender<Held>,
    changed: Notify,
    volumes: Volumes,
    services: Mutex<Services>,
}

/// Starts that a test holds up.
#[derive(Debug, Default)]
struct Held {
    /// What has this among the words of its command is held.
    word: Option<String>,
    /// What was asked to start since, each as often as it was asked.
    asked: Vec<ContainerId>,
}

#[derive(Debug)]
struct Container {
    spec: ContainerSpec,
    state: ContainerState,
    started_at: UnixMicros,
    address: Option<IpAddr>,
    output: Vec<Output>,
    acked: u64,
    listening: Vec<SocketAddr>,
    /// Counts changes of output and state.
    wake: watch::Sender<()>,
    /// Who is attached; replaced by the next client.
    client: Option<mpsc::Sender<Bytes>>,
    stopping: bool,
}

impl FakeRuntime {
    /// A runtime without containers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next start fail with this error.
    pub fn fail_next_start(&self, error: RuntimeError) {
        *self.0.next_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// From now on, what has `word` among the words of its command hangs while it starts.
    pub fn hold_starts(&self, word: &str) {
        self.0.held.send_replace(Held { word: Some(word.to_owned()), asked: Vec::new() });
    }

    /// What hangs while it starts, each as often as it was asked to start.
    #[must_use]
    pub fn held_starts(&self) -> Vec<ContainerId> {
        self.0.held.borrow().asked.clone()
    }

    /// Lets what hangs start.
    pub fn release_starts(&self) {
        self.0.held.send_modify(|held| held.word = None);
    }

    /// Whether this start hangs now. It is noted then.
    fn is_held(&self, id: ContainerId, command: &[String]) -> bool {
        let is_held = |held: &mut Held| {
            let is_held = held.word.as_ref().is_some_and(|word| command.contains(word));
            if is_held {
                held.asked.push(id);
            }
            is_held
        };
        self.0.held.send_if_modified(is_held)
    }

    /// What a container was started with.
    #[must_use]
    pub fn spec(&self, id: ContainerId) -> Option<ContainerSpec> {
        self.containers().get(&id).map(|container| container.spec.clone())
    }

    /// What every container was started with, in the order of their ids.
    #[must_use]
    pub fn specs(&self) -> Vec<ContainerSpec> {
        self.containers().values().map(|container| container.spec.clone()).collect()
    }

    /// Lets a running container end.
    pub fn exit(&self, id: ContainerId, exit: Exit) {
        self.change(id, |container| {
            if container.state == ContainerState::Running {
                container.state = ContainerState::Exited { exit, at: now() };
                container.client = None;
            }
        });
    }

    /// Lets a container print a line.
    pub fn print(&self, id: ContainerId, stream: Stream, line: &str) {
        let bytes = Bytes::copy_from_slice(line.as_bytes());
        self.change(id, |container| {
            let seq = container.output.last().map_or(1, |last| last.seq + 1);
            container.output.push(Output { seq, at: now(), stream, bytes, ends_line: true });
        });
    }

    /// Lets a container listen on these addresses.
    pub fn listen(&self, id: ContainerId, addresses: Vec<SocketAddr>) {
        self.change(id, |container| container.listening = addresses);
    }

    /// Up to which number a container's output was acknowledged.
    #[must_use]
    pub fn acked(&self, id: ContainerId) -> Option<u64> {
        self.containers().get(&id).map(|container| container.acked)
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Container>> {
        self.0.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: ContainerId, change: impl FnOnce(&mut Container)) {
        if let Some(container) = self.containers().get_mut(&id) {
            change(container);
            container.wake.send_replace(());
        }
        self.0.changed.notify_waiters();
        self.0.changed.notify_one();
    }

    fn with<T>(&self, id: ContainerId, look: impl FnOnce(&mut Container) -> T) -> Result<T, RuntimeError> {
        self.containers().get_mut(&id).map(look).ok_or(RuntimeError::NoSuchContainer(id))
    }

    /// Plays a command that begins with `fake-`.
    fn play(&self, id: ContainerId, spec: &ContainerSpec) {
        let command = &spec.command;
        let number = || command.get(1).and_then(|word| word.parse().ok());
        let lines = command.get(1..).unwrap_or_default();
        match command[0].as_str() {
            "fake-write" => {
                let written = match command.as_slice() {
                    [_, path, text] => self.write_inside(spec, path, text),
                    _ => false,
                };
                self.exit(id, ended(i32::from(!written)));
            }
            "fake-show" => {
                let text = command.get(1).and_then(|path| self.read_inside(spec, path));
                text.iter()
                    .flat_map(|text| text.lines())
                    .for_each(|line| self.print(id, Stream::Stdout, line));
                self.exit(id, ended(i32::from(text.is_none())));
            }
            "fake-connect" => {
                let connected = match command.as_slice() {
                    [_, address, port] => address.parse().ok().zip(port.parse().ok()),
                    _ => None,
                };
                let connected = connected.is_some_and(|(address, port)| self.reaches(spec, address, port));
                self.exit(id, ended(i32::from(!connected)));
            }
            "fake-exit" => self.exit(id, ended(number().unwrap_or(0))),
            "fake-print" => {
                lines.iter().for_each(|line| self.print(id, Stream::Stdout, line));
                self.exit(id, ended(0));
            }
            "fake-print-then-run" => lines.iter().for_each(|line| self.print(id, Stream::Stdout, line)),
            "fake-end-on-term" | "fake-ignore-term" | "fake-end-on-hang-up" | "fake-ignore-hang-up" => {
                self.print(id, Stream::Stdout, "ready");
            }
            "fake-listen" => {
                let port = command.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
                self.listen(id, vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]);
            }
            _ => {}
        }
    }

    /// Acts on SIGTERM as the command does.
    fn terminate(&self, id: ContainerId, command: &[String]) {
        match command.first().map_or("", String::as_str) {
            "fake-end-on-term" => self.exit(id, ended(wanted_status(command))),
            "fake-ignore-term" => {}
            _ => self.exit(id, ended(143)),
        }
    }
}

/// The status that a command which ends on a signal was told to end with.
fn wanted_status(command: &[String]) -> i32 {
    command.get(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn ended(status: i32) -> Exit {
    Exit { status, out_of_memory: false, killed_after_grace: false }
}

fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Runtime for FakeRuntime {
    /// `fake-exit N`, `fake-print LINE…`, `fake-print-then-run LINE`, `fake-end-on-term N`, `fake-ignore-term`,
    /// `fake-end-on-hang-up N`, `fake-ignore-hang-up`, `fake-echo`, `fake-listen PORT`, `fake-write PATH TEXT`,
    /// `fake-show PATH`, `fake-connect ADDRESS PORT` act by themselves, `fake-missing` cannot be started; any other command runs until the test ends it.
    async fn start(&self, spec: ContainerSpec) -> Result<(), RuntimeError> {
        let (id, command) = (spec.id, spec.command.clone());
        if self.containers().contains_key(&id) {
            return Ok(());
        }
        if let Some(reason) = spec.refusal() {
            return Err(RuntimeError::host(format!("start container {id}"), reason));
        }
        let failure = self.0.next_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = failure {
            return Err(error);
        }
        if command.first().is_none_or(|word| word == "fake-missing") {
            let program = command.first().cloned().unwrap_or_default();
            return Err(RuntimeError::Program { program, reason: "command not found".to_owned() });
        }
        let (time_limit, played) = (spec.time_limit, spec.clone());
        let is_held = self.is_held(id, &command);
        {
            let mut containers = self.containers();
            let address = self.address_for(&spec, &containers)?;
            let container = Container {
                spec,
                state: if is_held { ContainerState::Unknown } else { ContainerState::Running },
                started_at: now(),
                address,
                output: Vec::new(),
                acked: 0,
                listening: Vec::new(),
                wake: watch::Sender::new(()),
                client: None,
                stopping: false,
            };
            containers.insert(id, container);
        }
        if is_held {
            let _ = self.0.held.subscribe().wait_for(|held| held.word.is_none()).await;
            self.change(id, |container| {
                container.state = ContainerState::Running;
                container.started_at = now();
            });
        }
        self.change(id, |_| {});
        self.play(id, &played);
        if let Some(limit) = time_limit {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(limit).await;
                this.terminate(id, &command);
            });
        }
        Ok(())
    }

    async fn observe(&self) -> Result<Vec<Observed>, RuntimeError> {
        let containers = self.containers();
        let observed = containers.iter().map(|(id, container)| Observed {
            id: *id,
            labels: container.spec.labels.clone(),
            state: container.state,
            started_at: container.started_at,
            address: container.address,
        });
        Ok(observed.collect())
    }

    async fn changed(&self) {
        self.0.changed.notified().await;
    }

    async fn stop(&self, id: ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let asked = self.with(id, |container| {
            let first = !std::mem::replace(&mut container.stopping, true);
            (first, container.spec.command.clone())
        });
        let Ok((first, command)) = asked else { return Ok(()) };
        if first {
            self.terminate(id, &command);
        }
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            this.exit(id, Exit { status: 137, out_of_memory: false, killed_after_grace: true });
        });
        Ok(())
    }

    async fn hang_up(&self, id: ContainerId) -> Result<(), RuntimeError> {
        let Ok(command) = self.with(id, |container| container.spec.command.clone()) else { return Ok(()) };
        match command.first().map_or("", String::as_str) {
            "fake-end-on-hang-up" => self.exit(id, ended(wanted_status(&command))),
            "fake-ignore-hang-up" => {}
            _ => self.exit(id, ended(129)),
        }
        Ok(())
    }

    async fn remove(&self, id: ContainerId) -> Result<(), RuntimeError> {
        self.containers().remove(&id);
        self.0.changed.notify_waiters();
        self.0.changed.notify_one();
        Ok(())
    }

    async fn output(&self, id: ContainerId, after: u64) -> Result<mpsc::Receiver<Output>, RuntimeError> {
        let mut wake = self.with(id, |container| container.wake.subscribe())?;
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let (this, mut after) = (self.clone(), after);
        tokio::spawn(async move {
            loop {
                wake.mark_unchanged();
                let looked = this.with(id, |container| {
                    let fresh: Vec<_> =
                        container.output.iter().filter(|piece| piece.seq > after).cloned().collect();
                    (fresh, container.state != ContainerState::Running)
                });
                let Ok((fresh, over)) = looked else { return };
                for piece in fresh {
                    after = piece.seq;
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                tokio::select! {
                    () = sender.closed() => return,
                    changed = wake.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(receiver)
    }

    async fn ack(&self, id: ContainerId, seq: u64) -> Result<(), RuntimeError> {
        self.with(id, |container| {
            container.acked = container.acked.max(seq);
            container.output.retain(|piece| piece.seq > seq);
        })
    }

    /// Echoes what it gets; `Input::End` ends the program.
    async fn attach(&self, id: ContainerId) -> Result<Attached, RuntimeError> {
        let (input, mut inputs) = mpsc::channel(MESSAGES_AHEAD);
        let (outputs, output) = mpsc::channel(MESSAGES_AHEAD);
        // The container holds the only lasting sender: replacing it ends the earlier client's output.
        let weak = outputs.downgrade();
        self.with(id, |container| container.client = Some(outputs))?;
        let this = self.clone();
        tokio::spawn(async move {
            while let Some(message) = inputs.recv().await {
                match (message, weak.upgrade()) {
                    (Input::Bytes(bytes), Some(outputs)) => {
                        let _ = outputs.send(bytes).await;
                    }
                    (Input::End, Some(_)) => this.exit(id, ended(0)),
                    (Input::Resize { .. }, Some(_)) => {}
                    (_, None) => return,
                }
            }
        });
        Ok(Attached { input, output })
    }

    /// Echoes what it gets until `Input::End`.
    async fn exec(&self, id: ContainerId, _spec: ExecSpec) -> Result<Attached, RuntimeError> {
        self.with(id, |_| ())?;
        let (input, mut inputs) = mpsc::channel(MESSAGES_AHEAD);
        let (outputs, output) = mpsc::channel(MESSAGES_AHEAD);
        tokio::spawn(async move {
            while let Some(message) = inputs.recv().await {
                match message {
                    Input::Bytes(bytes) => {
                        if outputs.send(bytes).await.is_err() {
                            return;
                        }
                    }
                    Input::Resize { .. } => {}
                    Input::End => return,
                }
            }
        });
        Ok(Attached { input, output })
    }

    async fn listening(&self, id: ContainerId) -> Result<Vec<SocketAddr>, RuntimeError> {
        self.with(id, |container| container.listening.clone())
    }

    /// A folder that is as large as the machine's disk, whatever the limit.
    async fn make_volume(&self, id: VolumeId, _kind: VolumeKind) -> Result<(), RuntimeError> {
        std::fs::create_dir_all(self.folder_of(id))
            .map_err(|error| RuntimeError::host("make a volume", error))
    }

    async fn volume_is_full(&self, _id: VolumeId) -> Result<bool, RuntimeError> {
        Ok(false)
    }

    async fn remove_volume(&self, id: VolumeId) -> Result<(), RuntimeError> {
        match std::fs::remove_dir_all(self.folder_of(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RuntimeError::host("remove a volume", error))
            }
            _ => Ok(()),
        }
    }

    fn platform_address(&self) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, 1).into()
    }

    async fn address_of(&self, service: ServiceId) -> Result<IpAddr, RuntimeError> {
        self.services().address_of(service)
    }

    async fn release_address(&self, service: ServiceId) -> Result<(), RuntimeError> {
        self.forget_address(service)
    }

    async fn set_reach(&self, reach: BTreeSet<Reach>) -> Result<(), RuntimeError> {
        self.services().reach = reach;
        Ok(())
    }

    async fn reconcile_network(&self) -> Result<(), RuntimeError> {
        Ok(())
    }
}
