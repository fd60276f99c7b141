//! Attachments: under which names apps use add-ons, and which config vars come of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use paddock_core::config::ConfigVars;
use paddock_core::{AccountId, AddonId, AppId, AppName, AttachmentId, DataServerId, Tenant, UnixMicros};

use crate::config::{seal_vars, unseal_vars};
use crate::engine::{self, FromRow, Row, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::span::AppSpan;
use crate::{Sealer, Store, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub id: AttachmentId,
    /// The app that uses the add-on; it need not be the one that it is billed to.
    pub app_id: AppId,
    pub addon_id: AddonId,
    /// What the app calls it, unique among its own: `DATABASE`.
    pub name: String,
    /// Which part of the add-on it is: `credential:NAME`.
    pub namespace: Option<String>,
    /// The names of its config vars; none until the add-on is provisioned.
    pub var_names: Vec<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Attachment { id, app_id, addon_id, name, var_names, created_at, updated_at } optional { namespace });

/// An attachment with what a list of attachments says of it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttachment {
    pub attachment: Attachment,
    pub app_name: AppName,
    pub addon_name: String,
    pub service: String,
    pub plan: String,
    /// The app that the add-on is billed to.
    pub billed_app_id: Option<AppId>,
    pub billed_app_name: Option<AppName>,
}

impl FromRow for ListedAttachment {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            attachment: Attachment::from_row(row)?,
            app_name: row.get("app_name")?,
            addon_name: row.get("addon_name")?,
            service: row.get("service")?,
            plan: row.get("plan")?,
            billed_app_id: row.optional("billed_app_id")?,
            billed_app_name: row.optional("billed_app_name")?,
        })
    }
}

/// What a new attachment is made of; fields as in [`Attachment`].
#[derive(Debug, Clone)]
pub struct NewAttachment {
    pub id: AttachmentId,
    pub app_id: AppId,
    pub addon_id: AddonId,
    pub name: String,
    pub namespace: Option<String>,
    /// Its config vars; stored sealed.
    pub vars: ConfigVars,
}

/// An app's number, and a data server that it has something on.
struct Attached {
    id_range: u32,
    data_server_id: DataServerId,
}

row!(Attached { id_range, data_server_id } optional {});

/// An app, and a data server that it has something on that can be used.
struct Relying {
    app_id: AppId,
    data_server_id: DataServerId,
}

row!(Relying { app_id, data_server_id } optional {});

/// The address of something that an app has attached and can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataAddress {
    pub app_id: AppId,
    pub addon_id: AddonId,
    pub address: IpAddr,
}

row!(DataAddress { app_id, addon_id, address } optional {});

/// The config vars of one attachment, sealed.
struct SealedVars {
    id: AttachmentId,
    vars: Vec<u8>,
}

row!(SealedVars { id, vars } optional {});

/// Attachments of which this is true, with what a list says of them.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "SELECT attachments.*, apps.name AS app_name, addons.name AS addon_name, addons.service, addons.plan, \
             addons.app_id AS billed_app_id, billed.name AS billed_app_name FROM attachments \
             JOIN apps ON apps.id = attachments.app_id JOIN addons ON addons.id = attachments.addon_id \
             LEFT JOIN apps AS billed ON billed.id = addons.app_id WHERE ",
            $condition,
            " ORDER BY apps.name, attachments.name"
        )
    };
}

statements! {
    LISTED = listed!("attachments.id = $1");
    LISTED_BY_NAME = listed!("attachments.app_id = $1 AND attachments.name = $2");
    LISTED_OF_APP = listed!("attachments.app_id = $1");
    LISTED_OF_ADDON = listed!("attachments.addon_id = $1");
    LISTED_OF_ACCOUNT = listed!("(apps.owner_id = $1 \
        OR apps.id IN (SELECT app_id FROM collaborators WHERE account_id = $1))");
    OF_ADDONS_OF_SERVER = "SELECT attachments.* FROM attachments JOIN addons ON addons.id = attachments.addon_id \
        WHERE addons.server_id = $1 ORDER BY attachments.addon_id, attachments.created_at, attachments.id";
    TENANTS = "SELECT DISTINCT apps.id_range, addons.data_server_id FROM attachments \
        JOIN addons ON addons.id = attachments.addon_id JOIN apps ON apps.id = attachments.app_id \
        WHERE addons.server_id = $1 AND addons.data_server_id IS NOT NULL";
    RELYING = "SELECT DISTINCT attachments.app_id, addons.data_server_id FROM attachments \
        JOIN addons ON addons.id = attachments.addon_id \
        WHERE addons.server_id = $1 AND addons.state = 'provisioned' AND addons.data_server_id IS NOT NULL";
    ADDRESSES_WITHIN = "SELECT DISTINCT attachments.app_id, attachments.addon_id, data_servers.address FROM attachments \
        JOIN apps ON apps.id = attachments.app_id JOIN addons ON addons.id = attachments.addon_id \
        JOIN data_servers ON data_servers.id = addons.data_server_id \
        WHERE data_servers.server_id = $1 AND apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 \
        AND addons.state = 'provisioned' AND data_servers.address IS NOT NULL";
    VARS = "SELECT id, vars FROM attachments WHERE id = $1";
    VARS_OF_APP = "SELECT id, vars FROM attachments WHERE app_id = $1 ORDER BY name";
    CREATE = "INSERT INTO attachments (id, app_id, addon_id, name, namespace, var_names, vars, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    SET_VARS = "UPDATE attachments SET var_names = $2, vars = $3, updated_at = $4 WHERE id = $1";
    DELETE = "DELETE FROM attachments WHERE id = $1";
}

/// Where an attachment's config vars belong.
pub(crate) fn vars_place(id: AttachmentId) -> String {
    format!("attachment:{id}")
}

reads! {
    /// The attachment with this id.
    attachment(id: AttachmentId) -> one ListedAttachment: LISTED [id];
    /// The attachment that an app has under this name.
    attachment_by_name(app_id: AppId, name: &str) -> one ListedAttachment: LISTED_BY_NAME [app_id, name];
    /// The attachments that an app has, by name.
    attachments_of_app(app_id: AppId) -> all ListedAttachment: LISTED_OF_APP [app_id];
    /// The attachments to an add-on, whichever apps have them, by app and name.
    attachments_of_addon(addon_id: AddonId) -> all ListedAttachment: LISTED_OF_ADDON [addon_id];
    /// The attachments of the apps that an account owns or collaborates on, by app and name.
    attachments_of(account_id: AccountId) -> all ListedAttachment: LISTED_OF_ACCOUNT [account_id];
}

impl Store {
    /// The attachments to all add-ons that this server looks after, oldest first for each add-on.
    pub async fn attachments(&self) -> Result<Vec<Attachment>> {
        engine::all(&mut *self.reader().await?, OF_ADDONS_OF_SERVER, values![self.server.id]).await
    }

    /// Who has something attached, on which data server: whose dynos may reach it.
    pub async fn attached_tenants(&self) -> Result<Vec<(Tenant, DataServerId)>> {
        let rows: Vec<Attached> =
            engine::all(&mut *self.reader().await?, TENANTS, values![self.server.id]).await?;
        Ok(rows.into_iter().map(|row| (Tenant(row.id_range), row.data_server_id)).collect())
    }

    /// Which apps have something attached that can be used, on which data server.
    pub async fn relying_apps(&self) -> Result<Vec<(AppId, DataServerId)>> {
        let rows: Vec<Relying> =
            engine::all(&mut *self.reader().await?, RELYING, values![self.server.id]).await?;
        Ok(rows.into_iter().map(|row| (row.app_id, row.data_server_id)).collect())
    }

    /// Where on this machine is what the apps of a span have attached.
    pub async fn data_addresses_within(&self, span: AppSpan) -> Result<Vec<DataAddress>> {
        self.within(span, ADDRESSES_WITHIN).await
    }

    /// What an attachment says.
    ///
    /// # Errors
    /// `Gone`, `Unseal`, or the database could not be read.
    pub async fn attachment_vars(&self, id: AttachmentId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, VARS, values![id]).await?;
        open(self.sealer(), row.ok_or_else(|| gone(id))?)
    }
}

impl Tx {
    /// Attaches an app to an add-on. What the app's attachments say together is the caller's to bring into its config
    /// ([`Tx::set_attached`]).
    ///
    /// # Errors
    /// `AttachmentNameTaken`.
    pub async fn create_attachment(&mut self, new: &NewAttachment) -> Result<()> {
        self.touch(new.app_id);
        let sealed = seal_vars(&self.sealer, &vars_place(new.id), &new.vars)?;
        let values = values![
            new.id,
            new.app_id,
            new.addon_id,
            new.name,
            new.namespace,
            names(&new.vars),
            sealed,
            self.now
        ];
        match self.execute_unique(CREATE, values).await? {
            true => Ok(()),
            false => Err(StoreError::AttachmentNameTaken(new.name.clone())),
        }
    }

    /// Replaces what an attachment says; as with [`Tx::create_attachment`].
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_attachment_vars(&mut self, id: AttachmentId, vars: &ConfigVars) -> Result<()> {
        let sealed = seal_vars(&self.sealer, &vars_place(id), vars)?;
        let values = values![id, names(vars), sealed, self.now];
        self.change("attachment", id, SET_VARS, values).await
    }

    /// Detaches an app; as with [`Tx::create_attachment`].
    ///
    /// # Errors
    /// `Gone`.
    pub async fn delete_attachment(&mut self, id: AttachmentId) -> Result<()> {
        self.change("attachment", id, DELETE, values![id]).await
    }

    /// As [`Store::attachment_vars`].
    pub async fn attachment_vars(&mut self, id: AttachmentId) -> Result<ConfigVars> {
        let row = self.one(VARS, values![id]).await?;
        open(&self.sealer, row.ok_or_else(|| gone(id))?)
    }

    /// What all attachments of an app say together: what its config has of them once [`Tx::set_attached`] was told.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn attachment_vars_of_app(&mut self, app_id: AppId) -> Result<ConfigVars> {
        let doing = self.doing();
        let rows: Vec<SealedVars> = engine::all(self.connection(), VARS_OF_APP, values![app_id])
            .await
            .map_err(|error| error.during(doing))?;
        let mut all = BTreeMap::new();
        for row in rows {
            all.extend(open(&self.sealer, row)?);
        }
        Ok(all)
    }
}

fn names(vars: &ConfigVars) -> Vec<String> {
    vars.keys().cloned().collect()
}

fn open(sealer: &Sealer, row: SealedVars) -> Result<ConfigVars> {
    unseal_vars(sealer, &vars_place(row.id), &row.vars)
}

fn gone(id: AttachmentId) -> StoreError {
    StoreError::Gone { noun: "attachment", id: id.to_string() }
}
