//! `/client/v11/databases` and `/postgres/v0/databases`: what `pg:*` asks the data host.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::postgres::{Database, PostgresCredential};
use paddock_wire::postgres as data;

use super::time::time;
use super::{Access, Endpoint, Segments, delete, get, post, post_once, put};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::body::{Json, OptionalJson};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/client/v11/databases/{database}", info),
        get(Access::Token, "/client/v11/databases/{database}/wait_status", wait_status),
        put(Access::Token, "/client/v11/databases/{database}/reset", reset),
        post(Access::Token, "/client/v11/databases/{database}/connection_reset", end_connections),
        put(Access::Token, "/client/v11/databases/{database}/stats_reset", reset_statistics),
        get(Access::Token, "/postgres/v0/databases/{database}/credentials", credentials),
        post_once(Access::Token, "/postgres/v0/databases/{database}/credentials", create_credential),
        get(Access::Token, "/postgres/v0/databases/{database}/credentials/{credential}", credential),
        delete(
            Access::Token,
            "/postgres/v0/databases/{database}/credentials/{credential}",
            destroy_credential,
        ),
        post_once(
            Access::Token,
            "/postgres/v0/databases/{database}/credentials/{credential}/credentials_rotation",
            rotate,
        ),
        post_once(Access::Token, "/postgres/v0/databases/{database}/credentials_rotation", rotate_all),
        post(Access::Token, "/postgres/v0/databases/{database}/repair-default", repair_default),
    ]
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<data::Database> {
    Ok(ok(view(api.control.addons.postgres(&actor, &database).await?)))
}

async fn wait_status(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<data::WaitStatus> {
    let status = api.control.addons.postgres_wait_status(&actor, &database).await?;
    let (waiting, error) = (status.waiting, status.error);
    Ok(ok(data::WaitStatus { waiting, error, message: status.message.to_owned() }))
}

async fn reset(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    OptionalJson(body): OptionalJson<data::Reset>,
) -> Reply<data::Message> {
    let extensions = body.extensions.unwrap_or_default();
    api.control.addons.reset_postgres(&actor, &database, &extensions).await?;
    Ok(ok(data::Message { message: "Reset successful.".to_owned() }))
}

async fn end_connections(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<data::Message> {
    api.control.addons.end_postgres_connections(&actor, &database).await?;
    Ok(ok(data::Message { message: "Connections terminated.".to_owned() }))
}

async fn reset_statistics(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<data::Message> {
    api.control.addons.reset_postgres_statistics(&actor, &database).await?;
    Ok(ok(data::Message { message: "Statistics reset successful.".to_owned() }))
}

async fn credentials(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<Vec<data::Credential>> {
    let found = api.control.addons.postgres_credentials(&actor, &database).await?;
    Ok(ok(found.into_iter().map(credential_view).collect()))
}

async fn credential(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((database, credential)): Segments<(String, String)>,
) -> Reply<data::Credential> {
    Ok(ok(credential_view(api.control.addons.postgres_credential(&actor, &database, &credential).await?)))
}

async fn create_credential(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    Json(body): Json<data::CreateCredential>,
) -> Reply<data::Message> {
    api.control.addons.create_credential(&actor, &database, &body.name).await?;
    Ok(ok(data::Message { message: format!("Credential {} created.", body.name) }))
}

async fn destroy_credential(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((database, credential)): Segments<(String, String)>,
) -> Reply<data::Message> {
    api.control.addons.destroy_credential(&actor, &database, &credential).await?;
    Ok(ok(data::Message { message: format!("The credential has been destroyed within {database}.") }))
}

async fn rotate(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((database, credential)): Segments<(String, String)>,
    OptionalJson(body): OptionalJson<data::Rotate>,
) -> Reply<data::Message> {
    let forced = body.forced.unwrap_or(false);
    api.control.addons.rotate_credential(&actor, &database, Some(&credential), forced).await?;
    Ok(ok(data::Message { message: format!("Rotating {credential} on {database}.") }))
}

async fn rotate_all(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    OptionalJson(body): OptionalJson<data::Rotate>,
) -> Reply<data::Message> {
    let forced = body.forced.unwrap_or(false);
    api.control.addons.rotate_credential(&actor, &database, None, forced).await?;
    Ok(ok(data::Message { message: format!("Rotating all credentials on {database}.") }))
}

async fn repair_default(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<data::Message> {
    api.control.addons.repair_default_credential(&actor, &database).await?;
    Ok(ok(data::Message {
        message: "Resetting permissions and object ownership for default role to factory settings."
            .to_owned(),
    }))
}

fn view(database: Database) -> data::Database {
    let row = |(name, values): (&str, Vec<String>)| data::Row {
        name: name.to_owned(),
        values,
        resolve_db_name: false,
    };
    data::Database {
        addon_id: database.id.to_string(),
        heroku_resource_id: database.id.to_string(),
        created_at: time(database.created_at),
        formation: data::Formation { id: database.id.to_string(), primary: database.name.clone() },
        metaas_source: database.name.clone(),
        metaas_server_source: database.name.clone(),
        plan: database.plan.to_owned(),
        port: database.address.map_or(0, |address| address.port()),
        database_name: Some(database.database),
        database_user: Some(database.user),
        // Where it is asked for by name: `pg:credentials:url`.
        database_password: String::new(),
        target_transaction: None,
        available_for_ingress: true,
        resource_url: database.url,
        waiting: database.waiting,
        credentials: 1,
        leader: None,
        following: None,
        info: database.rows.into_iter().map(row).collect(),
        num_bytes: database.bytes.unwrap_or(0),
        name: database.name,
    }
}

fn credential_view(credential: PostgresCredential) -> data::Credential {
    let login = |login: paddock_control::addon::postgres::PostgresLogin| data::Login {
        user: login.user,
        password: login.password,
        state: login.state.to_owned(),
    };
    data::Credential {
        uuid: credential.id,
        name: credential.name,
        state: credential.state.to_owned(),
        database: credential.database,
        host: credential.address.map(|address| address.ip().to_string()).unwrap_or_default(),
        port: credential.address.map_or(0, |address| address.port()),
        credentials: credential.logins.into_iter().map(login).collect(),
    }
}
