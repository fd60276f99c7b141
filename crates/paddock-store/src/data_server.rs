//! Data servers: what runs databases on this machine, one for an add-on alone or one for many.

use std::net::IpAddr;

use paddock_core::{ContainerId, DataServerId, ServerId, Tenant, UnixMicros, VolumeId};

use crate::engine::{self, Sealed, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataServerState {
    /// It does not answer yet.
    Starting,
    Available,
    /// It has ended by itself, and is started again.
    Crashed,
    /// Nobody is on it any more; what it has is being removed.
    Removing,
}

impl DataServerState {
    pub const ALL: [Self; 4] = [Self::Starting, Self::Available, Self::Crashed, Self::Removing];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Available => "available",
            Self::Crashed => "crashed",
            Self::Removing => "removing",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(DataServerState = DataServerState::parse);

/// A data server; its secrets are read by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataServer {
    pub id: DataServerId,
    /// The server of the platform on whose machine it runs.
    pub server_id: ServerId,
    /// Number of its range of user ids, which no app or data server had before.
    pub id_range: u32,
    /// `heroku-postgresql`.
    pub service: String,
    /// What of the service it runs: `17`.
    pub version: String,
    /// Whether it is for many add-ons.
    pub shared: bool,
    /// The plan whose limits it has, when it is one add-on's own.
    pub plan: Option<String>,
    pub volume_id: VolumeId,
    /// The container that it was last started in.
    pub container_id: Option<ContainerId>,
    pub state: DataServerState,
    /// Where it is reached, for as long as it exists.
    pub address: Option<IpAddr>,
    /// How often in a row it has ended by itself.
    pub failed_starts: u32,
    /// Not to be started before.
    pub next_start_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

impl DataServer {
    /// The tenant its containers work for.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant(self.id_range)
    }
}

row!(DataServer { id, server_id, id_range, service, version, shared, volume_id, state, failed_starts, created_at,
    updated_at } optional { plan, container_id, address, next_start_at });

/// What a new data server is made of; fields as in [`DataServer`].
#[derive(Clone)]
pub struct NewDataServer {
    pub id: DataServerId,
    pub service: String,
    pub version: String,
    pub shared: bool,
    pub plan: Option<String>,
    pub volume_id: VolumeId,
    /// The superuser's; stored sealed.
    pub password: String,
}

statements! {
    BY_ID = "SELECT * FROM data_servers WHERE id = $1";
    OF_SERVER = "SELECT * FROM data_servers WHERE server_id = $1 ORDER BY created_at, id";
    WITH_ROOM = "SELECT * FROM data_servers WHERE server_id = $1 AND service = $2 AND version = $3 AND shared = 1 \
        AND state <> 'removing' \
        AND (SELECT COUNT(*) FROM addons WHERE addons.data_server_id = data_servers.id) < $4 \
        ORDER BY created_at, id LIMIT 1";
    PASSWORD = "SELECT password AS sealed FROM data_servers WHERE id = $1";
    CREATE = "INSERT INTO data_servers (id, server_id, id_range, service, version, shared, plan, volume_id, state, \
        password, failed_starts, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'starting', $9, 0, $10, $10)";
    SET_STATE = "UPDATE data_servers SET state = $2, updated_at = $3 WHERE id = $1";
    SET_PLAN = "UPDATE data_servers SET plan = $2, updated_at = $3 WHERE id = $1";
    SET_CONTAINER = "UPDATE data_servers SET container_id = $2, updated_at = $3 WHERE id = $1";
    // An earlier version kept the certificate, which is made anew for each start.
    SET_ADDRESS = "UPDATE data_servers SET address = $2, tls = NULL, updated_at = $3 WHERE id = $1";
    ANSWERS = "UPDATE data_servers SET state = 'available', updated_at = $2 \
        WHERE id = $1 AND state <> 'removing'";
    CRASHED = "UPDATE data_servers SET state = 'crashed', failed_starts = $2, next_start_at = $3, \
        updated_at = $4 WHERE id = $1 AND state <> 'removing'";
    DELETE = "DELETE FROM data_servers WHERE id = $1";
}

/// Where the superuser's password belongs.
pub(crate) fn password_place(id: DataServerId) -> String {
    format!("data-server:{id}:password")
}

reads! {
    data_server(id: DataServerId) -> one DataServer: BY_ID [id];
}

impl Store {
    /// The data servers of this server, oldest first.
    pub async fn data_servers(&self) -> Result<Vec<DataServer>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }

    /// The password of a data server's superuser.
    ///
    /// # Errors
    /// `Gone`, `Unseal`, or the database could not be read.
    pub async fn data_server_password(&self, id: DataServerId) -> Result<String> {
        let row = engine::one(&mut *self.reader().await?, PASSWORD, values![id]).await?;
        let Sealed(sealed) = row.ok_or_else(|| gone(id))?;
        self.sealer().unseal_text(&password_place(id), &sealed.unwrap_or_default())
    }
}

impl Tx {
    /// Makes a data server of this server, with a range of user ids that nobody ever had; it is still to be started. Within
    /// [`Store::begin_platform`].
    pub async fn create_data_server(&mut self, new: &NewDataServer) -> Result<DataServer> {
        let id_range = self.next_id_range().await?;
        let sealed = self.sealer.seal_text(&password_place(new.id), &new.password)?;
        let values = values![
            new.id,
            self.server_id,
            id_range,
            new.service,
            new.version,
            new.shared,
            new.plan,
            new.volume_id,
            sealed,
            self.now
        ];
        self.execute(CREATE, values).await?;
        self.data_server(new.id).await?.ok_or_else(|| gone(new.id))
    }

    /// The oldest shared data server of this server that runs this version and has fewer than `max` add-ons. Who places an
    /// add-on on it does so within [`Store::begin_platform`], so that no two find the last place.
    pub async fn data_server_with_room(
        &mut self,
        service: &str,
        version: &str,
        max: u32,
    ) -> Result<Option<DataServer>> {
        let values = values![self.server_id, service, version, max];
        self.one(WITH_ROOM, values).await
    }

    /// # Errors
    /// `Gone`.
    pub async fn set_data_server_state(&mut self, id: DataServerId, state: DataServerState) -> Result<()> {
        let values = values![id, state, self.now];
        self.change("data server", id, SET_STATE, values).await
    }

    /// Gives a data server that is one add-on's own the limits of another plan.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_data_server_plan(&mut self, id: DataServerId, plan: &str) -> Result<()> {
        let values = values![id, plan, self.now];
        self.change("data server", id, SET_PLAN, values).await
    }

    /// Notes the container that a data server is about to be started in; `None` when there is none any more.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_data_server_container(
        &mut self,
        id: DataServerId,
        container_id: Option<ContainerId>,
    ) -> Result<()> {
        let values = values![id, container_id, self.now];
        self.change("data server", id, SET_CONTAINER, values).await
    }

    /// Notes where a data server is reached.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_data_server_address(&mut self, id: DataServerId, address: IpAddr) -> Result<()> {
        let values = values![id, address, self.now];
        self.change("data server", id, SET_ADDRESS, values).await
    }

    /// Notes that a data server answers.
    ///
    /// # Errors
    /// `Gone`, also when it is being removed.
    pub async fn data_server_answers(&mut self, id: DataServerId) -> Result<()> {
        let values = values![id, self.now];
        self.change("data server", id, ANSWERS, values).await
    }

    /// Notes that a data server has ended by itself or does not come to answer, for the how manieth time in a row, and when
    /// it is to be started again.
    ///
    /// # Errors
    /// `Gone`, also when it is being removed.
    pub async fn data_server_crashed(
        &mut self,
        id: DataServerId,
        in_a_row: u32,
        next_start_at: UnixMicros,
    ) -> Result<()> {
        let values = values![id, in_a_row, next_start_at, self.now];
        self.change("data server", id, CRASHED, values).await
    }

    /// Deletes the row of a data server of which nothing is left. One that has add-ons cannot be deleted.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn delete_data_server(&mut self, id: DataServerId) -> Result<()> {
        self.change("data server", id, DELETE, values![id]).await
    }
}

fn gone(id: DataServerId) -> StoreError {
    StoreError::Gone { noun: "data server", id: id.to_string() }
}
