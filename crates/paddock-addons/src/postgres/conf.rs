//! The texts of `postgresql.conf` and `pg_hba.conf`.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::{Plan, ServerOrder};

const MB: u64 = 1 << 20;

/// Where a server has its secrets: in memory.
pub(super) const SECRETS: &str = "/dev/shm/postgres";
/// The port of every data server, at an address of its own.
pub(super) const PORT: u16 = 5432;

/// What a tenant may put into a database: the extensions of Debian's PostgreSQL that are marked as trusted, so that whoever
/// may create in a database may create them.
pub(super) const EXTENSIONS: [&str; 20] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "plpgsql",
    "seg",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "unaccent",
    "uuid-ossp",
];
/// What is there already, in every database.
pub(super) const STATEMENTS: &str = "pg_stat_statements";

/// Clients of a shared server: its databases together want more, never at once.
const SHARED_CONNECTIONS: u32 = 500;
/// For the platform's own connections, beside those that clients may have.
const RESERVED: u32 = 10;

/// The same for every server.
const COMMON: &str = "\
listen_addresses = '*'
unix_socket_directories = ''
ssl = on
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
authentication_timeout = 10s
superuser_reserved_connections = 5
tcp_keepalives_idle = 60
tcp_keepalives_interval = 10
tcp_keepalives_count = 6
client_connection_check_interval = 10s
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 10000
track_io_timing = on
track_activity_query_size = 4096
max_locks_per_transaction = 256
checkpoint_timeout = 15min
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '[%p] [%l-1] sql_error_code = %e '
log_timezone = 'UTC'
timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C.UTF-8'
lc_monetary = 'C.UTF-8'
lc_numeric = 'C.UTF-8'
lc_time = 'C.UTF-8'
default_text_search_config = 'pg_catalog.english'
log_statement = 'none'
";

/// Many databases that have nothing to do with each other. No tenant's statement is in the log, and no tenant fills it by errors;
/// one sort does not take the others' memory; nothing replicates from here.
const SHARED: &str = "\
wal_level = minimal
max_wal_senders = 0
max_wal_size = 1GB
max_connections = 500
work_mem = 4MB
maintenance_work_mem = 64MB
temp_buffers = 8MB
temp_file_limit = 1GB
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
autovacuum_max_workers = 5
autovacuum_naptime = 5min
jit = off
log_min_messages = log
log_min_error_statement = panic
log_min_duration_statement = -1
log_checkpoints = off
log_autovacuum_min_duration = -1
";

/// As Heroku sets them on dedicated plans (`docs/contract/platform-behaviour.md`, section 20, "pg:settings").
const OWN: &str = "\
wal_level = replica
log_min_duration_statement = 2000
log_lock_waits = on
log_min_error_statement = error
log_temp_files = 10240
";

/// How many connections a server takes.
pub(super) fn connections(order: &ServerOrder) -> u32 {
    order.plan.map_or(SHARED_CONNECTIONS, |plan| plan.connections + RESERVED)
}

/// The address space of one process of a shared server: what all share, and a quarter of the memory for itself. Beyond, its
/// statement fails; without it, the kernel would kill a process for memory, and all of them would begin anew.
pub(super) fn process_bytes(memory: u64) -> u64 {
    shared_buffers(memory) + (memory / 4).max(256 * MB) + 768 * MB
}

fn shared_buffers(memory: u64) -> u64 {
    (memory / 4).max(16 * MB)
}

pub(super) fn text(order: &ServerOrder) -> String {
    let mut text = COMMON.to_owned();
    let memory = order.memory_bytes;
    let mut line = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} = {value}");
    };
    let megabytes = |bytes: u64| format!("{}MB", bytes / MB);
    line("port", PORT.to_string());
    line("ssl_cert_file", format!("'{SECRETS}/server.crt'"));
    line("ssl_key_file", format!("'{SECRETS}/server.key'"));
    line("shared_buffers", megabytes(shared_buffers(memory)));
    line("effective_cache_size", megabytes((memory / 4 * 3).max(48 * MB)));
    let allowed = format!("'{},{STATEMENTS}'", EXTENSIONS.join(","));
    line("rds.allowed_extensions", allowed.clone());
    line("extwlist.extensions", allowed);
    if let Some(plan) = order.plan {
        line("max_connections", (plan.connections + RESERVED).to_string());
        line("work_mem", megabytes(work_mem(plan, memory)));
        line("maintenance_work_mem", megabytes((memory / 16).clamp(16 * MB, 2048 * MB)));
        line("max_wal_size", megabytes((plan.storage_bytes / 32).min(16 * 1024 * MB)));
        line("temp_file_limit", megabytes(plan.storage_bytes / 4));
        text.push_str(OWN);
    } else {
        text.push_str(SHARED);
    }
    text
}

/// A quarter of the memory, if every client sorts at once.
fn work_mem(plan: &Plan, memory: u64) -> u64 {
    (memory / 4 / u64::from(plan.connections.max(1))).clamp(4 * MB, 256 * MB)
}

/// Who is let in: everybody by TLS and a password, the superuser from the platform's own address alone.
pub(super) fn hba(platform: IpAddr) -> String {
    let bits = if platform.is_ipv4() { 32 } else { 128 };
    format!(
        "hostssl all postgres {platform}/{bits} scram-sha-256\nhost all postgres all reject\nhostssl all all all scram-sha-256\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superuser_comes_from_the_platform_alone() {
        assert_eq!(
            hba("10.0.0.1".parse().unwrap()),
            "hostssl all postgres 10.0.0.1/32 scram-sha-256\nhost all postgres all reject\nhostssl all all all scram-sha-256\n"
        );
        assert!(hba("fd00::1".parse().unwrap()).contains("fd00::1/128"));
    }
}
