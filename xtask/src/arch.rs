//! The rules of the workspace as data: which crate may use which, and the few exceptions with their reasons.
//!
//! A new row or a wider one is a decision (`docs/decisions/`), not a way to quiet the checker.

/// One crate of ours and what its normal and build dependencies may be.
pub(crate) struct Row {
    /// Package name, equal to its folder name.
    pub(crate) name: &'static str,
    /// Crates of ours that it may depend on.
    pub(crate) may_use: &'static [&'static str],
}

/// Every member of the workspace.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "paddock-core", may_use: &[] },
    Row { name: "paddock-wire", may_use: &[] },
    Row { name: "paddock-http1", may_use: &[] },
    Row { name: "paddock-files", may_use: &[] },
    Row { name: "paddock-static", may_use: &[] },
    Row { name: "paddock-ipc", may_use: &["paddock-core"] },
    Row { name: "paddock-outbound", may_use: &[] },
    Row { name: "paddock-store", may_use: &["paddock-core", "paddock-files"] },
    Row { name: "paddock-images", may_use: &["paddock-core"] },
    Row { name: "paddock-telemetry", may_use: &["paddock-core", "paddock-files"] },
    Row { name: "paddock-runtime", may_use: &["paddock-core"] },
    Row {
        name: "paddock-runtime-linux",
        may_use: &["paddock-core", "paddock-files", "paddock-runtime", "paddock-images", "paddock-ipc"],
    },
    Row { name: "paddock-addons", may_use: &["paddock-core", "paddock-runtime"] },
    Row {
        name: "paddock-build",
        may_use: &["paddock-core", "paddock-runtime", "paddock-images", "paddock-static"],
    },
    Row {
        name: "paddock-router",
        may_use: &["paddock-core", "paddock-files", "paddock-http1", "paddock-ipc"],
    },
    Row {
        name: "paddock-control",
        may_use: &[
            "paddock-core",
            "paddock-files",
            "paddock-store",
            "paddock-images",
            "paddock-telemetry",
            "paddock-runtime",
            "paddock-build",
            "paddock-addons",
            "paddock-outbound",
            "paddock-ipc",
        ],
    },
    Row { name: "paddock-api", may_use: &["paddock-core", "paddock-control", "paddock-wire", "paddock-ipc"] },
    Row {
        name: "paddockd",
        may_use: &[
            "paddock-core",
            "paddock-files",
            "paddock-ipc",
            "paddock-outbound",
            "paddock-store",
            "paddock-images",
            "paddock-telemetry",
            "paddock-runtime",
            "paddock-runtime-linux",
            "paddock-build",
            "paddock-addons",
            "paddock-router",
            "paddock-control",
            "paddock-api",
            "paddock-static",
        ],
    },
    Row { name: "paddock-testkit", may_use: &[] },
    Row { name: "e2e", may_use: &["paddock-testkit"] },
    Row { name: "xtask", may_use: &[] },
];

/// May appear among dev-dependencies only, but where a row says otherwise.
pub(crate) const DEV_ONLY: &[&str] = &["paddock-testkit"];

/// Third-party crates that every crate but core may use.
pub(crate) const FREE: &[&str] = &[
    "async-trait",
    "base64",
    "bytes",
    "crc32fast",
    "futures-util",
    "http",
    "http-body-util",
    "jiff",
    "rustix",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tokio-util",
    "tracing",
    "uuid",
];

/// All that core may use of others: no I/O, no async, no serde.
pub(crate) const CORE_MAY_USE: &[&str] = &["thiserror", "uuid"];

/// Must not occur anywhere below core.
pub(crate) const NEVER_BELOW_CORE: &[&str] =
    &["async-trait", "futures-core", "futures-util", "serde", "tokio"];

/// A third-party crate kept to the crates that own its subject.
pub(crate) struct Exclusive {
    /// The third-party crate.
    pub(crate) name: &'static str,
    /// The crates of ours that may use it.
    pub(crate) owners: &'static [&'static str],
    /// What the limit protects.
    pub(crate) reason: &'static str,
}

/// Third-party crates that only some of ours may use. A direct dependency that is neither here nor free is a breach.
pub(crate) const EXCLUSIVE: &[Exclusive] = &[
    Exclusive {
        name: "sqlx",
        owners: &["paddock-addons", "paddock-store"],
        reason: "SQL of the platform's state lives in store, that of tenants' servers in addons",
    },
    Exclusive { name: "axum", owners: &["paddock-api"], reason: "HTTP shapes end at the api crate" },
    Exclusive { name: "tower", owners: &["paddock-api"], reason: "HTTP shapes end at the api crate" },
    Exclusive {
        name: "hyper",
        owners: &["paddock-api", "paddock-outbound", "paddock-static"],
        reason: "the API's socket behind the data plane, one client, and the server in dynos of static sites",
    },
    Exclusive {
        name: "hyper-util",
        owners: &["paddock-api", "paddock-outbound", "paddock-static"],
        reason: "the API's socket behind the data plane, one client, and the server in dynos of static sites",
    },
    Exclusive {
        name: "arc-swap",
        owners: &["paddock-router"],
        reason: "the route table is read without locks",
    },
    Exclusive {
        name: "rustls",
        owners: &["paddock-router", "paddock-outbound", "paddockd"],
        reason: "the router ends TLS, outbound begins it; paddockd installs the one provider",
    },
    Exclusive {
        name: "tokio-rustls",
        owners: &["paddock-router", "paddock-outbound"],
        reason: "the router ends TLS, outbound begins it",
    },
    Exclusive {
        name: "url",
        owners: &["paddock-outbound"],
        reason: "addresses that tenants name are taken apart where they are checked",
    },
    Exclusive {
        name: "rusty-s3",
        owners: &["paddock-outbound"],
        reason: "requests to a store of backups are signed where they are made (decision 27)",
    },
    Exclusive {
        name: "fastrand",
        owners: &["paddock-router"],
        reason: "for spreading load; secrets and ids are made by aws-lc-rs and uuid",
    },
    Exclusive {
        name: "percent-encoding",
        owners: &["paddock-outbound", "paddock-static", "paddock-store"],
        reason: "addresses are written and taken apart where they are used",
    },
    Exclusive {
        name: "libc",
        owners: &["paddock-runtime-linux"],
        reason: "raw kernel calls live in one crate",
    },
    Exclusive {
        name: "tar",
        owners: &["paddock-build", "paddock-control", "paddock-images"],
        reason: "archives are read by the converter (images), the unpacking of sources (build) and backups (control)",
    },
    Exclusive {
        name: "flate2",
        owners: &["paddock-build", "paddock-control", "paddock-images", "paddock-static"],
        reason: "archives are read by the converter (images), the unpacking of sources (build) and backups (control); pages are compressed (static)",
    },
    Exclusive {
        name: "ruzstd",
        owners: &["paddock-images"],
        reason: "layers are decompressed where they are converted (decision 29)",
    },
    Exclusive {
        name: "saphyr-parser",
        owners: &["paddock-build"],
        reason: "the only YAML that is read is an app's heroku.yml (decision 30)",
    },
    Exclusive { name: "argon2", owners: &["paddock-control"], reason: "passwords are checked in one place" },
    Exclusive { name: "ssh-key", owners: &["paddock-control"], reason: "keys are checked in one place" },
    Exclusive { name: "rcgen", owners: &["paddock-control"], reason: "certificates are issued in one place" },
    Exclusive {
        name: "aws-lc-rs",
        owners: &["paddock-control", "paddock-store"],
        reason: "secrets are sealed in store, tokens made in control",
    },
    Exclusive { name: "clap", owners: &["paddockd"], reason: "only programs have a command line" },
    Exclusive {
        name: "tracing-subscriber",
        owners: &["paddockd", "paddock-router"],
        reason: "where logs go is a program's choice; the router is a process of its own",
    },
    Exclusive {
        name: "regex-automata",
        owners: &["paddock-testkit"],
        reason: "patterns of the published schema; the server itself needs no regular expressions",
    },
    Exclusive {
        name: "proc-macro2",
        owners: &["xtask"],
        reason: "source is taken apart by a task, never by the server",
    },
    Exclusive {
        name: "pulldown-cmark",
        owners: &["xtask"],
        reason: "the documentation's site is built by a task, never by the server",
    },
    Exclusive { name: "tempfile", owners: &["e2e"], reason: "temporary folders are for tests" },
];

/// The areas of a crate: its first-level folders. The crate's root may name them all.
pub(crate) struct Areas {
    /// The crate.
    pub(crate) package: &'static str,
    /// Its areas.
    pub(crate) folders: &'static [&'static str],
    /// The one that every other may use.
    pub(crate) shared: &'static str,
    /// Which other area may use which.
    pub(crate) arrows: &'static [(&'static str, &'static str)],
}

/// Crates with areas.
pub(crate) const AREAS: &[Areas] = &[Areas {
    package: "paddock-control",
    folders: &[
        "kernel", "people", "app", "deploy", "dynos", "routing", "logs", "addons", "images", "platform",
    ],
    shared: "kernel",
    // A config var makes a release, and so does an attachment; the pass over dynos carries a release phase.
    arrows: &[("app", "deploy"), ("dynos", "deploy"), ("addons", "deploy")],
}];

/// Crates whose source may contain unsafe code.
pub(crate) const UNSAFE_ALLOWED: &[&str] = &["paddock-runtime-linux"];

/// Crates whose source may contain SQL.
pub(crate) const SQL_ALLOWED: &[&str] = &["paddock-addons", "paddock-store"];

/// Most lines of a source file, tests not counted.
pub(crate) const MAX_FILE_LINES: usize = 500;

/// Names that say nothing about a noun.
pub(crate) const BANNED_MODULE_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager"];
