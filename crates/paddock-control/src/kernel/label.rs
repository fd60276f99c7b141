//! What the containers of dynos are labelled with, so that they are known again after a restart.

use std::collections::BTreeMap;

use paddock_core::dyno::DynoName;
use paddock_core::{AppId, BuildId, ContainerId, DataServerId, TransferId};
use paddock_runtime::Observed;

const KIND: &str = "kind";
const KIND_DYNO: &str = "dyno";
const APP: &str = "app";
const KIND_DATA_SERVER: &str = "data-server";
const SERVER: &str = "data_server";
const PLAN: &str = "plan";
const NAME: &str = "dyno";
const KIND_TRANSFER: &str = "transfer";
const TRANSFER: &str = "transfer";
const KIND_CONVERSION: &str = "conversion";
const BUILD: &str = "build";
const KIND_TRIAL: &str = "trial";
const OUTPUT: &str = "output";
const OUTPUT_LOG: &str = "log";

/// The labels of a dyno's container; `logged` when its output goes to the app's log.
pub(crate) fn of_dyno(app: AppId, name: &DynoName, logged: bool) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        (KIND.to_owned(), KIND_DYNO.to_owned()),
        (APP.to_owned(), app.to_string()),
        (NAME.to_owned(), name.to_string()),
    ]
    .into();
    if logged {
        labels.insert(OUTPUT.to_owned(), OUTPUT_LOG.to_owned());
    }
    labels
}

/// The labels of a data server's container, started with the settings of that plan; none for a server that is shared.
pub(crate) fn of_data_server(server: DataServerId, plan: &str) -> BTreeMap<String, String> {
    [(KIND, KIND_DATA_SERVER.to_owned()), (SERVER, server.to_string()), (PLAN, plan.to_owned())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The data server that a container runs, if it runs one.
pub(crate) fn data_server_of(observed: &Observed) -> Option<DataServerId> {
    let kind = observed.labels.get(KIND).map(String::as_str);
    (kind == Some(KIND_DATA_SERVER)).then_some(())?;
    observed.labels.get(SERVER)?.parse().ok()
}

/// The labels of a container that moves the data of a database.
pub(crate) fn of_transfer(transfer: TransferId) -> BTreeMap<String, String> {
    [(KIND, KIND_TRANSFER.to_owned()), (TRANSFER, transfer.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The transfer that a container works for, if it works for one.
pub(crate) fn transfer_of(observed: &Observed) -> Option<TransferId> {
    let kind = observed.labels.get(KIND).map(String::as_str);
    (kind == Some(KIND_TRANSFER)).then_some(())?;
    observed.labels.get(TRANSFER)?.parse().ok()
}

/// The labels of a container that converts a layer of an app's image.
pub(crate) fn of_conversion(app: AppId) -> BTreeMap<String, String> {
    [(KIND, KIND_CONVERSION.to_owned()), (APP, app.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The app that a container converts a layer for, if it converts one.
pub(crate) fn conversion_of(observed: &Observed) -> Option<AppId> {
    let kind = observed.labels.get(KIND).map(String::as_str);
    (kind == Some(KIND_CONVERSION)).then_some(())?;
    app_of(observed)
}

/// The plan that it was started with.
pub(crate) fn plan_of_data_server(observed: &Observed) -> &str {
    observed.labels.get(PLAN).map_or("", String::as_str)
}

/// A container that runs a dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynoContainer {
    pub(crate) id: ContainerId,
    pub(crate) app: AppId,
    pub(crate) name: String,
    pub(crate) logged: bool,
}

/// The app that a container belongs to, whatever it runs.
pub(crate) fn app_of(observed: &Observed) -> Option<AppId> {
    observed.labels.get(APP)?.parse().ok()
}

/// The labels of a container in which a stack is tried: as of a build that has no row.
pub(crate) fn of_trial(id: BuildId) -> BTreeMap<String, String> {
    [(KIND, KIND_TRIAL.to_owned()), (BUILD, id.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// The build that a container works for. These labels are the builder's.
pub(crate) fn build_of(observed: &Observed) -> Option<BuildId> {
    observed.labels.get(BUILD)?.parse().ok()
}

/// The dyno that a container runs, if it runs one.
pub(crate) fn dyno_of(observed: &Observed) -> Option<DynoContainer> {
    let label = |name: &str| observed.labels.get(name).map(String::as_str);
    (label(KIND) == Some(KIND_DYNO)).then_some(())?;
    Some(DynoContainer {
        id: observed.id,
        app: label(APP)?.parse().ok()?,
        name: label(NAME)?.to_owned(),
        logged: label(OUTPUT) == Some(OUTPUT_LOG),
    })
}
