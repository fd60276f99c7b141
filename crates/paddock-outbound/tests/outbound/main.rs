//! The client against servers on loopback: what addresses lead to, and a store in the protocol of S3.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod fetch;
mod s3;
