//! What a store does whichever engine it is on. The module's name says the engine: see [`fixture`].

mod account;
mod addons;
mod app;
mod build;
mod bulk;
mod concurrency;
mod domain;
mod dyno;
mod fixture;
mod job;
mod keys;
mod open;
mod record;
mod registry;
mod release;
mod report;
mod reuse;
mod seal;
mod server;
mod stacks;
mod transfers;
