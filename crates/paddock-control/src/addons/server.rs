//! Data servers: the containers that hold add-ons, from their rows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use paddock_addons::{
    Certificate, Credential, Login, Order, Placement, Resource, Secret, ServerAccess, ServerOrder,
    ServerPlan, Service, ServiceInfo,
};
use paddock_core::artefact::ProgramUser;
use paddock_core::config::ConfigVars;
use paddock_core::stack::Stack;
use paddock_core::{AddonId, ContainerId, CredentialId, DataServerId, ServiceId, VolumeId};
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Mount, MountSource, Network, Root, Stdio};
use paddock_store::{Addon, DataServer, NewCredential, NewDataServer, OpenCredential, Tx};
use uuid::Uuid;

use super::{Addons, DEFAULT};
use crate::kernel::label;
use crate::{Error, Result};

const DATABASE: &str = "database";
const ROLE: &str = "role";
/// The port of every data server, at an address of its own.
pub(super) const PORT: u16 = 5432;
/// Memory of a server that is shared, before the installation scales it down.
const SHARED_MEMORY_BYTES: u64 = 1 << 30;
/// No server gets less: it would not start.
const MEMORY_BYTES_MIN: u64 = 128 << 20;
/// What a server may write outside its volume: nothing that lasts.
const SCRATCH_BYTES: u64 = 64 << 20;
/// The folder of a volume that a server's files are in.
const FOLDER: &str = "data";
/// How long a server has to finish what it does.
pub(super) const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(30);

/// Where a server is reached, once it has an address.
pub(super) fn address_of(row: &DataServer) -> Option<SocketAddr> {
    row.address.map(|address| SocketAddr::new(address, PORT))
}

/// What the runtime knows a server by, whatever container it is in.
pub(super) fn service_id(id: DataServerId) -> ServiceId {
    ServiceId::from_uuid(id.uuid())
}

pub(super) fn new_credential(addon: AddonId, name: &str, login: &Login) -> NewCredential {
    NewCredential {
        id: CredentialId::from_uuid(Uuid::now_v7()),
        addon_id: addon,
        name: name.to_owned(),
        login: login.user.clone(),
        password: login.password.reveal().to_owned(),
    }
}

/// As a service's steps know it.
pub(super) fn login(row: &OpenCredential) -> Login {
    Login { user: row.credential.login.clone(), password: Secret::new(&row.password) }
}

fn logins_of(all: &[OpenCredential], credential: &str) -> Vec<Login> {
    all.iter().filter(|row| row.credential.name == credential).map(login).collect()
}

/// Where the role of a credential is among the names on a server.
pub(super) fn role_key(credential: &str) -> String {
    if credential == DEFAULT { ROLE.to_owned() } else { format!("{ROLE}:{credential}") }
}

/// The names on a server with the role of a further credential.
pub(super) fn secrets_with_role(mut secrets: ConfigVars, credential: &str, role: &str) -> ConfigVars {
    secrets.insert(role_key(credential), role.to_owned());
    secrets
}

/// The names on a server, as they are kept.
pub(super) fn secrets_of(resource: &Resource) -> ConfigVars {
    [(DATABASE, &resource.database), (ROLE, &resource.credential.role)]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
}

impl Addons {
    /// The service of an add-on. A later version may have had one that this one has not.
    pub(super) fn service_of(&self, row: &Addon) -> Result<&Arc<dyn Service>> {
        self.service_named(&row.service)
    }

    pub(super) fn service_named(&self, name: &str) -> Result<&Arc<dyn Service>> {
        let found = self.catalogue.service(name);
        found.ok_or_else(|| {
            Error::internal("find the service of an add-on", format!("there is no service {name}"))
        })
    }

    /// What a service's steps are told of an add-on.
    pub(crate) async fn resource(&self, row: &Addon) -> Result<Resource> {
        let secrets = self.kernel.store.addon_secrets(row.id).await?;
        let logins = self.kernel.store.open_credentials_of_addon(row.id).await?;
        self.resource_of(row, &secrets, &logins)
    }

    /// The same of what was read.
    pub(super) fn resource_of(
        &self,
        row: &Addon,
        secrets: &ConfigVars,
        logins: &[OpenCredential],
    ) -> Result<Resource> {
        let plan = self.service_of(row)?.info().plan(Some(&row.plan)).map_err(super::checked::refused)?;
        let named = |name: &str| secrets.get(name).cloned().unwrap_or_default();
        let credential = Credential { role: named(ROLE), logins: logins_of(logins, DEFAULT) };
        Ok(Resource { plan, database: named(DATABASE), credential })
    }

    /// The logins of a credential, oldest first.
    pub(crate) async fn logins(&self, addon: AddonId, credential: &str) -> Result<Vec<Login>> {
        let all = self.kernel.store.open_credentials_of_addon(addon).await?;
        Ok(logins_of(&all, credential))
    }

    /// What the certificate of a server names besides its address: the name of the add-on whose own it is, or any, since those of a
    /// shared one come and go while it runs.
    pub(super) async fn names_of(&self, row: &DataServer) -> Result<Vec<String>> {
        let domain = self.kernel.config.domain.to_ascii_lowercase();
        let name = |of: &str| format!("{of}.data.{domain}");
        if row.shared {
            return Ok(vec![name("*")]);
        }
        let own = self.kernel.store.addons_on(row.id).await?;
        Ok(own.iter().map(|addon| name(&addon.id.to_string())).collect())
    }

    /// The server of an add-on that has one to itself.
    pub(super) async fn own_server(&self, row: &Addon) -> Result<Option<DataServerId>> {
        let Some(id) = row.data_server_id else { return Ok(None) };
        let server = self.kernel.store.data_server(id).await?;
        Ok(server.filter(|server| !server.shared).map(|server| server.id))
    }

    /// A row for a server that is to be made.
    pub(super) async fn new_server(
        &self,
        tx: &mut Tx,
        info: &'static ServiceInfo,
        wanted: &Order,
    ) -> Result<DataServerId> {
        let new = NewDataServer {
            id: DataServerId::from_uuid(Uuid::now_v7()),
            service: info.name.to_owned(),
            version: wanted.version.clone(),
            shared: wanted.plan.placement == Placement::Shared,
            plan: (wanted.plan.placement == Placement::Own).then(|| wanted.plan.name.to_owned()),
            volume_id: VolumeId::from_uuid(Uuid::now_v7()),
            password: crate::kernel::secret::random(),
        };
        tx.create_data_server(&new).await?;
        Ok(new.id)
    }

    /// How the platform connects to a server that has an address.
    pub(super) fn access(&self, row: &DataServer, password: &str) -> Result<ServerAccess> {
        let address = address_of(row)
            .ok_or_else(|| Error::internal("connect to a data server", "it has no address yet"))?;
        Ok(ServerAccess {
            address,
            password: Secret::new(password),
            authority: self.certificates.authority()?,
        })
    }

    fn memory_bytes(&self, plan: Option<&'static paddock_addons::Plan>) -> u64 {
        let whole = plan.map_or(SHARED_MEMORY_BYTES, |plan| plan.memory_bytes);
        let scaled = u128::from(whole) * u128::from(self.kernel.config.data_memory_percent) / 100;
        // One server is never the whole machine, whatever its plan says.
        let most = self.kernel.config.machine.memory_bytes / 2;
        u64::try_from(scaled).unwrap_or(u64::MAX).min(most).max(MEMORY_BYTES_MIN)
    }

    /// What runs a server now: its plan, its versions, its settings.
    pub(super) fn server_plan(
        &self,
        row: &DataServer,
        password: &str,
        platform: std::net::IpAddr,
        certificate: Certificate,
    ) -> Result<ServerPlan> {
        let service = self.service_named(&row.service)?;
        let plan = row.plan.as_deref().map(|plan| service.info().plan(Some(plan))).transpose();
        let plan = plan.map_err(super::checked::refused)?;
        let order = ServerOrder {
            version: row.version.clone(),
            plan,
            memory_bytes: self.memory_bytes(plan),
            machine_millicores: self.kernel.config.machine.millicores,
            platform,
            password: Secret::new(password),
            certificate,
        };
        service.server(&order).map_err(super::checked::refused)
    }

    /// The container of a server.
    pub(super) fn server_spec(&self, row: &DataServer, id: ContainerId, plan: ServerPlan) -> ContainerSpec {
        let text =
            |file: paddock_addons::File| Mount { target: file.path, source: MountSource::Text(file.text) };
        let data = Mount {
            target: plan.data.to_owned(),
            source: MountSource::Volume {
                id: row.volume_id,
                folder: FOLDER.to_owned(),
                access: Access::ReadWrite,
            },
        };
        ContainerSpec {
            id,
            labels: label::of_data_server(row.id, row.plan.as_deref().unwrap_or_default()),
            hostname: row.id.to_string(),
            tenant: row.tenant(),
            root: Root::Stack,
            layers: vec![Layer::Stack(self.kernel.config.present(&Stack::HOST))],
            mounts: std::iter::once(data).chain(plan.files.into_iter().map(text)).collect(),
            command: plan.command,
            user: ProgramUser { uid: 1000, gid: 1000 },
            image_user: String::new(),
            env: plan.env,
            working_dir: "/".to_owned(),
            limits: plan.limits,
            disk: Disk::Limited(SCRATCH_BYTES),
            network: Network::Service(service_id(row.id)),
            stdio: Stdio::Output,
            time_limit: None,
            leftover_grace: STOP_GRACE,
        }
    }
}

/// What is known of the containers of servers, by server.
pub(super) type Containers = BTreeMap<DataServerId, Vec<paddock_runtime::Observed>>;
