//! The questions. The first column of each, `bad`, is 0, 1 or 2: green, yellow, red.
//!
//! Limits are those of Heroku's pages and of its open source of the reports: one minute for what runs or waits, 75 % and 90 % of what
//! a plan or a type can hold, 99 % of hits, ten times the size for bloat, more than 19 or 50 schemas. What is said nowhere is ours: of
//! transactions before a wraparound, half and three quarters are gone.

/// One question.
pub(super) struct Question {
    /// The check it is for.
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// How many parameters it has; the first is how many connections the plan has.
    pub(super) parameters: usize,
}

const fn plain(name: &'static str, sql: &'static str) -> Question {
    Question { name, sql, parameters: 0 }
}

/// In the order of Heroku's report.
pub(super) const ALL: &[Question] = &[
    Question { name: "Connection Count", sql: CONNECTION_COUNT, parameters: 1 },
    plain("Long Queries", LONG_QUERIES),
    plain("Long Transactions", LONG_TRANSACTIONS),
    plain("Idle in Transaction", IDLE_IN_TRANSACTION),
    plain("Indexes", INDEXES),
    plain("Bloat", BLOAT),
    plain("Hit Rate", HIT_RATE),
    plain("Blocking Queries", BLOCKING_QUERIES),
    plain("Sequences", SEQUENCES),
    plain("Unlogged Tables", UNLOGGED_TABLES),
    plain("Table Transaction ID Wraparound", TABLE_WRAPAROUND),
    plain("Database Transaction ID Wraparound", DATABASE_WRAPAROUND),
    plain("Schema Count", SCHEMA_COUNT),
];

const CONNECTION_COUNT: &str = "\
SELECT CASE WHEN count >= 0.9 * plan THEN 2 WHEN count >= 0.75 * plan THEN 1 ELSE 0 END AS bad, count \
FROM (SELECT count(*) AS count, $1::bigint AS plan FROM pg_stat_activity \
    WHERE datname = current_database() AND usename <> 'postgres') now";

const LONG_QUERIES: &str = "\
SELECT 2 AS bad, pid::bigint AS pid, (clock_timestamp() - query_start)::text AS duration, left(query, 1000) AS query \
FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres' AND state = 'active' \
    AND query_start < clock_timestamp() - interval '1 minute' ORDER BY query_start LIMIT 50";

const LONG_TRANSACTIONS: &str = "\
SELECT 2 AS bad, pid::bigint AS pid, (clock_timestamp() - xact_start)::text AS duration, state, left(query, 1000) AS query \
FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres' \
    AND xact_start < clock_timestamp() - interval '1 minute' ORDER BY xact_start LIMIT 50";

const IDLE_IN_TRANSACTION: &str = "\
SELECT 2 AS bad, pid::bigint AS pid, (clock_timestamp() - state_change)::text AS duration, left(query, 1000) AS query \
FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres' AND state LIKE 'idle in transaction%' \
    AND state_change < clock_timestamp() - interval '1 minute' ORDER BY state_change LIMIT 50";

/// Which indexes cost more than they give, and which give nothing since they are not whole. Small ones cost nothing. Sizes are those
/// of the last analysis: to ask for them now would wait for whoever has a table locked.
const INDEXES: &str = "\
WITH of_tables AS (\
    SELECT relid, seq_scan + coalesce(idx_scan, 0) AS scans, n_tup_ins + n_tup_upd + n_tup_del AS writes, \
        c.relpages::bigint * current_setting('block_size')::bigint AS bytes \
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE s.schemaname <> '_heroku'\
), indexes AS (\
    SELECT s.schemaname, s.relname, s.indexrelname, s.idx_scan, t.scans, t.writes, t.bytes AS table_bytes, \
        c.relpages::bigint * current_setting('block_size')::bigint AS bytes, m.amname = 'btree' AS is_btree, i.indisunique, i.indisvalid, \
        CASE WHEN t.scans = 0 THEN 0 ELSE 100.0 * s.idx_scan / t.scans END AS share, \
        CASE WHEN t.writes = 0 THEN s.idx_scan::numeric ELSE s.idx_scan::numeric / t.writes END AS per_write, \
        sum(t.writes) OVER () AS all_writes \
    FROM pg_stat_user_indexes s JOIN of_tables t USING (relid) JOIN pg_index i USING (indexrelid) \
        JOIN pg_class c ON c.oid = s.indexrelid JOIN pg_am m ON m.oid = c.relam\
), reasons AS (\
    SELECT CASE WHEN NOT indisvalid THEN 'Invalid Indexes' WHEN indisunique OR bytes <= 10485760 THEN NULL \
        WHEN is_btree AND idx_scan = 0 THEN 'Never Used Indexes' \
        WHEN is_btree AND per_write <= 1 AND share < 10 AND writes > 100 THEN 'Low Scans, High Writes' \
        WHEN is_btree AND share < 5 AND per_write > 1 AND bytes > 100000000 THEN 'Seldom Used Large Indexes' \
        WHEN NOT is_btree AND writes > 0.02 * (all_writes + 1) AND bytes > 100000000 THEN 'High-Write Large Non-Btree' \
        END AS reason, * FROM indexes\
) SELECT 1 AS bad, reason, schemaname || '.' || relname || '::' || indexrelname AS index, round(share, 2)::text AS index_scan_pct, \
    round(per_write, 2)::text AS scans_per_write, pg_size_pretty(bytes) AS index_size, pg_size_pretty(table_bytes) AS table_size \
FROM reasons WHERE reason IS NOT NULL ORDER BY reason, bytes DESC LIMIT 100";

/// How much room rows would take by their widths, beside what tables and their b-tree indexes take; an estimate, as `pg:bloat` has
/// it, made of what was analyzed.
const BLOAT: &str = "\
WITH widths AS (\
    SELECT schemaname, tablename, sum((1 - null_frac) * avg_width) AS width, count(*) AS columns \
    FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema', '_heroku') GROUP BY 1, 2\
), tables AS (\
    SELECT c.oid, n.nspname || '.' || c.relname AS object, c.relpages, c.reltuples, w.width, \
        ceil(greatest(c.reltuples, 0) * (24 + ceil(w.columns / 8.0) + w.width + 4 + 8) \
            / (current_setting('block_size')::float8 - 24)) AS needed \
    FROM widths w JOIN pg_namespace n ON n.nspname = w.schemaname \
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.tablename AND c.relkind IN ('r', 'm')\
), sizes AS (\
    SELECT 'table' AS type, object, relpages, needed FROM tables \
    UNION ALL SELECT 'index', t.object || '::' || i.relname, i.relpages, \
        ceil(greatest(i.reltuples, 0) * (t.width + 24) / (current_setting('block_size')::float8 - 24)) \
    FROM tables t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid \
        JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree'\
), wastes AS (\
    SELECT type, object, round((relpages / greatest(needed, 1))::numeric, 1)::float8 AS bloat, \
        ((relpages - needed) * current_setting('block_size')::bigint)::bigint AS waste FROM sizes\
) SELECT 2 AS bad, type, object, bloat, pg_size_pretty(waste) AS waste \
FROM wastes WHERE waste > 52428800 AND bloat > 10 ORDER BY wastes.waste DESC LIMIT 50";

/// Of a database that was hardly read nothing is known.
const HIT_RATE: &str = "\
WITH rates AS (\
    SELECT 'overall index hit rate' AS name, sum(idx_blks_hit) AS hits, sum(idx_blks_hit + idx_blks_read) AS reads \
        FROM pg_statio_user_indexes \
    UNION ALL SELECT 'overall cache hit rate', sum(heap_blks_hit), sum(heap_blks_hit + heap_blks_read) FROM pg_statio_user_tables\
) SELECT 2 AS bad, name, round(hits / reads, 5)::float8 AS ratio FROM rates WHERE reads > 10000 AND hits < 0.99 * reads";

const BLOCKING_QUERIES: &str = "\
SELECT 2 AS bad, waits.pid::bigint AS blocked_pid, left(holds.query, 1000) AS blocking_statement, \
    (clock_timestamp() - holds.query_start)::text AS blocking_duration, holds.pid::bigint AS blocking_pid, \
    left(waits.query, 1000) AS blocked_statement, (clock_timestamp() - waits.query_start)::text AS blocked_duration \
FROM pg_stat_activity waits CROSS JOIN LATERAL unnest(pg_blocking_pids(waits.pid)) AS by (pid) \
    JOIN pg_stat_activity holds ON holds.pid = by.pid \
WHERE waits.datname = current_database() AND waits.wait_event_type = 'Lock' ORDER BY waits.query_start LIMIT 50";

/// Sequences that fill a column: what the smaller of the two holds. Those of 64 bits last.
const SEQUENCES: &str = "\
WITH filled AS (\
    SELECT s.seqrelid, n.nspname || '.' || c.relname AS sequence, t.relname || '.' || a.attname AS column, \
        least(s.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE s.seqmax END) AS most \
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i') \
            AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 \
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid JOIN pg_class t ON t.oid = d.refobjid \
    WHERE s.seqincrement > 0 AND NOT s.seqcycle\
), used AS (\
    SELECT sequence, filled.column, coalesce(pg_sequence_last_value(seqrelid), 0) AS last, most FROM filled\
) SELECT CASE WHEN last >= 0.9 * most THEN 2 ELSE 1 END AS bad, sequence, used.column AS table_column, last AS last_value, most AS max_value, \
    round(100.0 * last / most, 1)::float8 AS percent_used \
FROM used WHERE last >= 0.75 * most ORDER BY last / most::numeric DESC LIMIT 100";

const UNLOGGED_TABLES: &str = "\
SELECT 1 AS bad, n.nspname || '.' || c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relpersistence = 'u' AND c.relkind = 'r' ORDER BY 2 LIMIT 100";

/// Of two thousand million transactions, how many an old row of a table is away.
const TABLE_WRAPAROUND: &str = "\
SELECT CASE WHEN age > 1500000000 THEN 2 ELSE 1 END AS bad, object AS table, age AS transactions, \
    round(age / 20000000.0, 1)::float8 AS percent_used \
FROM (SELECT n.nspname || '.' || c.relname AS object, age(c.relfrozenxid)::bigint AS age FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 't')) aged \
WHERE age > 1000000000 ORDER BY age DESC LIMIT 50";

const DATABASE_WRAPAROUND: &str = "\
SELECT CASE WHEN age > 1500000000 THEN 2 ELSE 1 END AS bad, age AS transactions, round(age / 20000000.0, 1)::float8 AS percent_used \
FROM (SELECT age(datfrozenxid)::bigint AS age FROM pg_database WHERE datname = current_database()) aged WHERE age > 1000000000";

const SCHEMA_COUNT: &str = "\
SELECT CASE WHEN count > 50 THEN 2 WHEN count > 19 THEN 1 ELSE 0 END AS bad, count FROM (SELECT count(*) AS count FROM pg_namespace \
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', '_heroku')) counted";
