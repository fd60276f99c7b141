//! Schedules of daily backups: made, listed, ended.

use paddock_core::event::Event;
use paddock_core::{TransferScheduleId, UnixMicros};
use paddock_store::{Addon, NewTransferSchedule, TransferSchedule};
use uuid::Uuid;

use super::super::Addons;
use super::order::billed;
use super::zone::zone;
use crate::{Actor, Error, Result};

/// A daily backup that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleOrder {
    /// Of the day, as it was typed.
    pub hour: String,
    pub timezone: String,
    /// The config var that the database was named by.
    pub name: Option<String>,
}

/// A daily backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub id: TransferScheduleId,
    pub name: String,
    pub hour: u32,
    pub timezone: String,
    /// How many weeks one backup of each is kept.
    pub weeks_kept: usize,
    pub created_at: UnixMicros,
}

impl Addons {
    /// Has a database backed up each day, instead of when it was before.
    ///
    /// # Errors
    /// `invalid_params` for what is no hour, no time zone, or no name.
    pub async fn schedule_backups(
        &self,
        actor: &Actor,
        database: &str,
        order: ScheduleOrder,
    ) -> Result<Schedule> {
        let row = self.provisioned_row(actor, database).await?;
        let hour = parse_hour(&order.hour)?;
        let (_, timezone) = zone(&order.timezone)?;
        let name = match order.name {
            Some(name) => self.check_schedule_name(&row, name).await?,
            None => format!("{}_URL", self.name_in_app(&row).await?),
        };
        let id = TransferScheduleId::from_uuid(Uuid::now_v7());
        let at = format!("{hour}:00 {timezone}");
        let app = billed(&row)?;
        let mut tx = self.kernel.observe_app(app, "schedule backups").await?;
        let new = NewTransferSchedule { id, addon_id: row.id, name, hour, timezone };
        let made = tx.put_transfer_schedule(&new).await?;
        tx.say(app, format!("Schedule backups of {} at {at} by user {}", row.name, actor.email));
        let event = Event::BackupsScheduled { app, addon: row.id, at };
        tx.commit("transfer_schedule.made", event, actor).await?;
        self.shown_schedule(made).await
    }

    /// The schedules of all databases that are billed to the app of this one.
    pub async fn list_schedules(&self, actor: &Actor, database: &str) -> Result<Vec<Schedule>> {
        let row = self.managed_postgres_row(actor, database).await?;
        let mut shown = Vec::new();
        for one in self.kernel.store.transfer_schedules_of_app(billed(&row)?).await? {
            shown.push(self.shown_schedule(one).await?);
        }
        Ok(shown)
    }

    /// Ends a schedule, of a database or of another of its app.
    pub async fn unschedule_backups(&self, actor: &Actor, database: &str, id: &str) -> Result<Schedule> {
        let row = self.managed_postgres_row(actor, database).await?;
        let app = billed(&row)?;
        let missing = || Error::not_found("schedule");
        let of_app = self.kernel.store.transfer_schedules_of_app(app).await?;
        let found = of_app.into_iter().find(|one| one.id.to_string() == id).ok_or_else(missing)?;
        let shown = self.shown_schedule(found.clone()).await?;
        let mut tx = self.kernel.observe_app(app, "end a schedule of backups").await?;
        if !tx.delete_transfer_schedule(found.id).await? {
            return Err(missing());
        }
        tx.say(app, format!("Unschedule backups of {} by user {}", found.name, actor.email));
        let event = Event::BackupsUnscheduled { app, addon: found.addon_id };
        tx.commit("transfer_schedule.ended", event, actor).await?;
        Ok(shown)
    }

    /// A schedule is called what an app calls its database.
    async fn check_schedule_name(&self, row: &Addon, name: String) -> Result<String> {
        let attachments = self.kernel.store.attachments_of_addon(row.id).await?;
        let bare = name.strip_suffix("_URL").unwrap_or(&name);
        match attachments.iter().any(|one| one.attachment.name == bare) {
            true => Ok(name),
            false => Err(Error::invalid(format!(
                "No app has {} attached by the name of the schedule. Name it as one does: DATABASE_URL.",
                row.name
            ))),
        }
    }

    async fn shown_schedule(&self, row: TransferSchedule) -> Result<Schedule> {
        let weeks_kept = match self.kernel.store.addon(row.addon_id).await? {
            Some(addon) => paddock_addons::postgres::retention(self.resource(&addon).await?.plan).weeks,
            None => 0,
        };
        let TransferSchedule { id, name, hour, timezone, created_at, .. } = row;
        Ok(Schedule { id, name, hour, timezone, weeks_kept, created_at })
    }
}

fn parse_hour(text: &str) -> Result<u32> {
    let hour = text.parse().ok().filter(|hour| *hour < 24 && text.bytes().all(|c| c.is_ascii_digit()));
    hour.ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(20).collect();
        Error::invalid(format!("{shown:?} is no hour of the day: name one from 0 to 23."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_one_of_the_day() {
        for (text, hour) in [("0", 0), ("2", 2), ("02", 2), ("23", 23)] {
            assert_eq!(parse_hour(text).unwrap(), hour);
        }
        for text in ["24", "25", "-1", "+1", "2.5", "", " 2", "two", "99999999999999"] {
            assert!(parse_hour(text).is_err(), "{text:?}");
        }
    }
}
