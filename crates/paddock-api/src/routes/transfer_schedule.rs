//! `/client/v11/databases/{database}/transfer-schedules`: daily backups.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::backup::{Schedule, ScheduleOrder};
use paddock_wire::transfer as wire;

use super::{Access, Endpoint, Segments, delete, get, post_once};
use crate::Api;
use crate::answer::{Reply, created, ok};
use crate::authentication::By;
use crate::body::Json;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/client/v11/databases/{database}/transfer-schedules", list),
        post_once(Access::Token, "/client/v11/databases/{database}/transfer-schedules", create),
        delete(Access::Token, "/client/v11/databases/{database}/transfer-schedules/{schedule}", remove),
    ]
}

async fn list(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<Vec<wire::Schedule>> {
    let all = api.control.addons.list_schedules(&actor, &database).await?;
    Ok(ok(all.into_iter().map(view).collect()))
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    Json(body): Json<wire::NewSchedule>,
) -> Reply<wire::Schedule> {
    let order = ScheduleOrder {
        hour: body.hour,
        timezone: body.timezone.unwrap_or_default(),
        name: body.schedule_name,
    };
    Ok(created(view(api.control.addons.schedule_backups(&actor, &database, order).await?)))
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((database, schedule)): Segments<(String, String)>,
) -> Reply<wire::Schedule> {
    Ok(ok(view(api.control.addons.unschedule_backups(&actor, &database, &schedule).await?)))
}

fn view(schedule: Schedule) -> wire::Schedule {
    wire::Schedule {
        uuid: schedule.id.to_string(),
        name: schedule.name,
        callback_url: String::new(),
        days: DAYS.to_vec(),
        hour: schedule.hour,
        timezone: schedule.timezone,
        retain_weeks: schedule.weeks_kept,
        retain_months: 0,
    }
}
