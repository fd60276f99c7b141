//! Has databases backed up each day, as schedules have it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::addon::AddonState;
use paddock_core::plan::backup_schedule::{ScheduleSeen, is_due};
use paddock_store::TransferSchedule;

use super::super::Addons;
use super::order::write_down;
use super::zone::{today, zone};
use crate::Result;
use crate::kernel::error::chain;
use crate::kernel::reconcile::{PassReport, Reconciler};

/// Makes the backups that are due.
pub(crate) struct DailyBackups {
    addons: Arc<Addons>,
}

impl DailyBackups {
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        Self { addons }
    }

    /// Asks for the backup of a schedule, if that is due. The day is taken with it: it is asked for once.
    async fn ask(&self, schedule: &TransferSchedule) -> Result<bool> {
        let kernel = &self.addons.kernel;
        let (zone, _) = zone(&schedule.timezone)?;
        let now = kernel.now();
        let Some((day, strikes_at)) = today(&zone, schedule.hour, now) else { return Ok(false) };
        let last_day = schedule.last_day.as_deref();
        let seen = ScheduleSeen { made_at: schedule.created_at, last_day, today: &day, strikes_at };
        if !is_due(&seen, now) {
            return Ok(false);
        }
        let Some(row) = kernel.store.addon(schedule.addon_id).await? else { return Ok(false) };
        let Some(app) = row.app_id.filter(|_| row.state == AddonState::Provisioned) else { return Ok(false) };
        let from_name = self.addons.name_in_app(&row).await?;
        let wanted = self.addons.backup_of(&row, from_name, Some(schedule.id))?;
        let mut tx = kernel.observe_app(app, "ask for a daily backup").await?;
        if !tx.take_day_of_schedule(schedule.id, &day).await? {
            return Ok(false);
        }
        match write_down(&mut tx, wanted).await {
            Ok(_) => {}
            // The day is not taken, and is tried again.
            Err(error) if error.id != paddock_core::ErrorId::Conflict => return Err(error),
            Err(_) => return Ok(false),
        }
        tx.commit_quietly("transfer.scheduled").await?;
        Ok(true)
    }
}

#[async_trait]
impl Reconciler for DailyBackups {
    const NAME: &'static str = "daily_backups";
    const INTERVAL: Duration = Duration::from_secs(20);

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        for schedule in self.addons.kernel.store.transfer_schedules().await? {
            match self.ask(&schedule).await {
                Ok(true) => report.done += 1,
                Ok(false) => {}
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(schedule.id = %schedule.id, error = chain(&error), "could not ask for a daily backup, will be tried again");
                }
            }
        }
        Ok(report)
    }
}
