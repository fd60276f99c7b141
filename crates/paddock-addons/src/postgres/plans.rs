//! The plans of Heroku Postgres. Source: `docs/contract/data-services.md`, section 2.1, and `platform-behaviour.md`, section 20.

use paddock_core::plan::backup_retention::Retention;

use crate::{Family, Placement, Plan, ServiceInfo};

const GB: u64 = 1 << 30;

/// Essential plans have no more tables than this.
const ESSENTIAL_TABLES: u32 = 4000;

pub(super) const INFO: ServiceInfo = ServiceInfo {
    name: "heroku-postgresql",
    human_name: "Heroku Postgres",
    addon_prefix: "postgresql",
    first_attachment: "DATABASE",
    colour_prefix: "HEROKU_POSTGRESQL",
    config_suffixes: &["URL"],
    plans: &[
        essential("essential-0", "Essential 0", &["hobby-dev", "mini", "dev"], 500, 1, 20),
        essential("essential-1", "Essential 1", &["hobby-basic", "basic"], 900, 10, 20),
        essential("essential-2", "Essential 2", &[], 2000, 32, 40),
        standard("standard-0", "Standard 0", 5000, Size { memory: 4 * GB, cores: 2, disk: 64, clients: 120 }),
        standard(
            "standard-2",
            "Standard 2",
            20_000,
            Size { memory: 8 * GB, cores: 2, disk: 256, clients: 400 },
        ),
        standard(
            "standard-3",
            "Standard 3",
            40_000,
            Size { memory: 61 * GB / 4, cores: 2, disk: 512, clients: 500 },
        ),
        standard(
            "standard-4",
            "Standard 4",
            75_000,
            Size { memory: 61 * GB / 2, cores: 4, disk: 768, clients: 500 },
        ),
        standard(
            "standard-5",
            "Standard 5",
            140_000,
            Size { memory: 61 * GB, cores: 8, disk: 1024, clients: 500 },
        ),
        standard(
            "standard-6",
            "Standard 6",
            200_000,
            Size { memory: 122 * GB, cores: 16, disk: 1536, clients: 500 },
        ),
        standard(
            "standard-7",
            "Standard 7",
            350_000,
            Size { memory: 244 * GB, cores: 32, disk: 2048, clients: 500 },
        ),
        standard(
            "standard-8",
            "Standard 8",
            450_000,
            Size { memory: 488 * GB, cores: 64, disk: 3072, clients: 500 },
        ),
        standard(
            "standard-9",
            "Standard 9",
            580_000,
            Size { memory: 768 * GB, cores: 96, disk: 4096, clients: 500 },
        ),
    ],
    families: &[
        Family {
            prefix: "premium",
            refusal: "Premium plans have a standby that takes over, which is not built yet. Choose a standard plan: heroku addons:plans heroku-postgresql.",
        },
        Family {
            prefix: "private",
            refusal: "Private plans live in a private network, which is not built yet. Choose a standard plan: heroku addons:plans heroku-postgresql.",
        },
        Family {
            prefix: "shield",
            refusal: "Shield plans live in a private network, which is not built yet. Choose a standard plan: heroku addons:plans heroku-postgresql.",
        },
        Family {
            prefix: "advanced",
            refusal: "Advanced plans have pools of instances, which are not built yet. Choose a standard plan: heroku addons:plans heroku-postgresql.",
        },
        Family {
            prefix: "performance",
            refusal: "Advanced plans have pools of instances, which are not built yet. Choose a standard plan: heroku addons:plans heroku-postgresql.",
        },
    ],
    supports_sharing: true,
};

/// How many backups of a database a plan keeps. Source: `docs/contract/data-services.md`, section 2.6.
#[must_use]
pub const fn retention(plan: &Plan) -> Retention {
    match plan.placement {
        Placement::Shared => Retention { manual: 7, days: 7, weeks: 1 },
        Placement::Own => Retention { manual: 25, days: 7, weeks: 4 },
    }
}

const fn essential(
    name: &'static str,
    human_name: &'static str,
    aliases: &'static [&'static str],
    price_cents: u32,
    disk: u64,
    connections: u32,
) -> Plan {
    Plan {
        name,
        aliases,
        human_name,
        price_cents,
        placement: Placement::Shared,
        memory_bytes: 0,
        cpu_millicores: 0,
        storage_bytes: disk * GB,
        connections,
        tables: Some(ESSENTIAL_TABLES),
    }
}

/// What a server of its own has.
struct Size {
    memory: u64,
    cores: u32,
    disk: u64,
    clients: u32,
}

const fn standard(name: &'static str, human_name: &'static str, price_cents: u32, size: Size) -> Plan {
    Plan {
        name,
        aliases: &[],
        human_name,
        price_cents,
        placement: Placement::Own,
        memory_bytes: size.memory,
        cpu_millicores: size.cores * 1000,
        storage_bytes: size.disk * GB,
        connections: size.clients,
        tables: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static str {
        INFO.plan(Some(name)).unwrap().name
    }

    #[test]
    fn old_names_are_understood_and_none_means_the_smallest() {
        for (old, new) in [
            ("hobby-dev", "essential-0"),
            ("mini", "essential-0"),
            ("dev", "essential-0"),
            ("hobby-basic", "essential-1"),
            ("basic", "essential-1"),
            ("standard-0", "standard-0"),
        ] {
            assert_eq!(named(old), new);
        }
        assert_eq!(INFO.plan(None).unwrap().name, "essential-0");
    }

    #[test]
    fn what_is_not_built_says_so_and_what_is_none_says_that() {
        for name in ["premium-0", "private-3", "shield-2", "advanced", "advanced-private", "performance"] {
            let refusal = INFO.plan(Some(name)).unwrap_err().to_string();
            assert!(refusal.contains("not built yet"), "{name}: {refusal}");
        }
        for name in ["standard-1", "premiumx", "", "Essential-0", "enormous"] {
            let refusal = INFO.plan(Some(name)).unwrap_err().to_string();
            assert!(refusal.starts_with("Couldn't find either the add-on"), "{name}: {refusal}");
        }
    }

    #[test]
    fn the_cli_tells_tiers_by_the_beginnings_of_names() {
        for plan in INFO.plans {
            assert_eq!(
                plan.name.starts_with("essential"),
                plan.placement == Placement::Shared,
                "{}",
                plan.name
            );
            assert_eq!(plan.memory_bytes == 0, plan.placement == Placement::Shared, "{}", plan.name);
        }
    }
}
