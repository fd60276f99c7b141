//! Every journey. Each has a server, a home and a port of its own, so that several run side by side; which are alone on
//! the machine, `.config/nextest.toml` says.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

mod accounts;
mod addons;
mod backup;
mod backups_elsewhere;
mod bad_input;
mod base_images;
mod behind_a_proxy;
mod build_inputs;
mod containers;
mod contract;
mod crash;
mod database_backups;
mod docs;
mod dynos;
mod frameworks;
mod guestbook;
mod habits;
mod hang_up;
mod hostile;
mod install;
mod isolation;
mod jvm;
mod killed_runs;
mod nouns;
mod official_buildpacks;
mod operation;
mod pg;
mod php;
mod postgres;
mod proxy_form;
mod quickstart;
mod registry;
mod sites;
mod slugs;
mod source_elsewhere;
mod stacks;
mod transcript;
mod two_servers;
mod under_load;
mod upgrade;
mod your_own_postgres;
