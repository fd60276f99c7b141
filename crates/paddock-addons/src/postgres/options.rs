//! What may be ordered: versions and options of `addons:create`, and changes of plans.

use std::collections::BTreeMap;

use super::Postgres;
use crate::plan::printable;
use crate::{Order, Placement, Plan, Refusal, Used};

impl Postgres {
    pub(super) fn check_order(
        &self,
        plan: &'static Plan,
        options: &BTreeMap<String, String>,
    ) -> Result<Order, Refusal> {
        if self.programs.is_empty() {
            return Err(Refusal::new(
                "PostgreSQL is not installed on this server. Whoever runs it installs it (apt-get install postgresql) and starts paddockd again.",
            ));
        }
        let mut version = None;
        for (name, value) in options {
            match name.as_str() {
                "version" => version = Some(self.checked_version(value)?),
                _ => return Err(refused_option(plan, name, value)),
            }
        }
        Ok(Order { plan, version: version.unwrap_or_else(|| self.newest()) })
    }

    fn checked_version(&self, text: &str) -> Result<String, Refusal> {
        let here = || self.programs.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
        // 15.4 means 15: there is one minor version of each.
        let major = text.split('.').next().unwrap_or_default();
        let known = major.parse::<u16>().ok().filter(|major| self.programs.contains_key(major));
        known.map(|major| major.to_string()).ok_or_else(|| {
            Refusal::new(format!(
                "PostgreSQL {} is not installed on this server. The versions here: {}.",
                printable(text),
                here()
            ))
        })
    }

    fn newest(&self) -> String {
        self.programs.keys().next_back().map(u16::to_string).unwrap_or_default()
    }

    pub(super) fn check_change(
        &self,
        order: &Order,
        plan: &'static Plan,
        used: Used,
    ) -> Result<Order, Refusal> {
        let (old, new) = (order.plan, plan);
        if old.placement != new.placement {
            let kind = |plan: &Plan| match plan.placement {
                Placement::Shared => "a database in a shared server",
                Placement::Own => "a server of its own",
            };
            return Err(Refusal::new(format!(
                "{} is {}, {} is {}. Create a new database of the plan {} and copy this one to it with heroku pg:copy.",
                old.human_name,
                kind(old),
                new.human_name,
                kind(new),
                new.name
            )));
        }
        if used.storage_bytes > new.storage_bytes {
            return Err(Refusal::new(format!(
                "The database holds {}; {} has room for {}.",
                super::size::text(used.storage_bytes),
                new.human_name,
                super::size::text(new.storage_bytes)
            )));
        }
        if let Some(tables) = new.tables.filter(|tables| used.tables > u64::from(*tables)) {
            return Err(Refusal::new(format!(
                "The database has {} tables; {} allows {tables}.",
                used.tables, new.human_name
            )));
        }
        Ok(Order { plan, version: order.version.clone() })
    }
}

fn refused_option(plan: &Plan, name: &str, value: &str) -> Refusal {
    // The CLI sends what stands before `--`, too.
    let what = match name {
        "follow" => "A follower of a database",
        "fork" => "A fork of a database",
        "rollback" | "to" | "by" => "A database at an earlier time",
        "level" | "high-availability" | "recovery-time" => "The advanced tier",
        "encryption-key" => "An encryption key of one's own",
        _ => {
            return Refusal::new(format!(
                "Heroku Postgres has no option \"{}\". What can be said: --version.",
                printable(name)
            ));
        }
    };
    if plan.placement == Placement::Shared && matches!(name, "follow" | "fork" | "rollback") {
        return Refusal::new(format!(
            "{} databases have no followers, forks or rollback: --{name} {} is for standard plans, where it is not built yet.",
            plan.human_name,
            printable(value)
        ));
    }
    Refusal::new(format!("{what} (--{name}) is not built yet."))
}

#[cfg(test)]
mod tests {
    use super::super::plans::INFO;
    use super::*;

    fn postgres() -> Postgres {
        Postgres::new([(15, "/fifteen".to_owned()), (17, "/seventeen".to_owned())])
    }

    fn plan(name: &str) -> &'static Plan {
        INFO.plan(Some(name)).unwrap()
    }

    fn check(plan_name: &str, name: &str, value: &str) -> Result<Order, Refusal> {
        let options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        postgres().check_order(plan(plan_name), &options)
    }

    #[test]
    fn a_version_is_the_newest_here_or_the_one_that_is_asked_for() {
        let newest = postgres().check_order(plan("essential-0"), &BTreeMap::new()).unwrap();
        assert_eq!(newest.version, "17");
        assert_eq!(check("essential-0", "version", "15").unwrap().version, "15");
        assert_eq!(check("standard-0", "version", "17.2").unwrap().version, "17");
        for version in ["16", "9.6", "", "latest", "-15", "true"] {
            let refusal = check("essential-0", "version", version).unwrap_err().to_string();
            assert!(refusal.ends_with("The versions here: 15, 17."), "{refusal}");
        }
    }

    #[test]
    fn a_machine_without_postgresql_says_what_to_install() {
        let refusal = Postgres::new([]).check_order(plan("essential-0"), &BTreeMap::new()).unwrap_err();
        assert!(refusal.to_string().contains("apt-get install postgresql"), "{refusal}");
    }

    #[test]
    fn what_is_not_built_says_so() {
        for name in ["follow", "fork", "rollback", "to", "by", "level"] {
            for plan in ["essential-0", "standard-0"] {
                let refusal = check(plan, name, "DATABASE_URL").unwrap_err().to_string();
                assert!(refusal.contains("not built yet"), "{refusal}");
            }
        }
        let refusal = check("standard-0", "colour", "red").unwrap_err().to_string();
        assert_eq!(refusal, "Heroku Postgres has no option \"colour\". What can be said: --version.");
    }

    #[test]
    fn a_plan_changes_where_it_fits_and_does_not_move() {
        let order = Order { plan: plan("essential-1"), version: "15".to_owned() };
        let used = |storage_bytes, tables| Used { storage_bytes, tables };
        let change = |name, used| postgres().check_change(&order, plan(name), used);
        assert_eq!(change("essential-2", used(9 << 30, 3)).unwrap().plan.name, "essential-2");
        assert_eq!(change("essential-0", used(1 << 30, 4000)).unwrap().version, "15");
        let text = |result: Result<Order, Refusal>| result.unwrap_err().to_string();
        assert_eq!(
            text(change("essential-0", used(2 << 30, 3))),
            "The database holds 2 GB; Essential 0 has room for 1 GB."
        );
        assert!(text(change("essential-2", used(0, 4001))).contains("allows 4000"));
        assert!(text(change("standard-0", used(0, 0))).contains("heroku pg:copy"));
    }
}
