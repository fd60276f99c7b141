//! Why something was not fetched. The texts are for the user who named the address: they say what to do, and repeat
//! no credentials and no query, which may be a signature.

use std::net::IpAddr;
use std::time::Duration;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The text is no address that can be fetched.
    #[error(
        "the address is not a URL that can be fetched: it must begin with https:// or http:// and name a host"
    )]
    Address,
    /// An https address led to an http one.
    #[error("{shown} redirects from https to http, which would take the protection away")]
    Downgrade {
        /// The address that redirects.
        shown: String,
    },
    /// A port that is for other things.
    #[error("{shown} names port {port}, which is not for HTTP")]
    Port {
        /// The address.
        shown: String,
        /// Its port.
        port: u16,
    },
    /// The host is one that tenants' addresses may not lead to.
    #[error(
        "{host} is at {address}, which this platform does not fetch from: it is {kind}. Use a public address, \
             or have the operator start the server with --allow-egress {address}/{bits}"
    )]
    Refused {
        /// The host as it was named.
        host: String,
        /// What it resolved to.
        address: IpAddr,
        /// What kind of address that is.
        kind: &'static str,
        /// The bits of a network of this address alone.
        bits: u8,
    },
    /// The name does not resolve.
    #[error("the host {host} could not be found: check its name")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No address of the host takes a connection.
    #[error("no connection could be made to {host}")]
    Connect {
        /// The host.
        host: String,
        /// Why the last address did not.
        #[source]
        source: std::io::Error,
    },
    /// TLS failed, mostly for its certificate.
    #[error("{host} could not be trusted: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// In words.
        reason: String,
    },
    /// The server does not speak HTTP, or broke off.
    #[error("{shown} was not answered as HTTP has it, or the answer broke off")]
    Http {
        /// The address.
        shown: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// It answered something else than 200.
    #[error("{shown} answered with status {status}")]
    Status {
        /// The address.
        shown: String,
        /// The status.
        status: u16,
        /// How to log in there, as `WWW-Authenticate` has it.
        challenge: Option<String>,
    },
    /// A redirect without a place to go, or one too many.
    #[error("{shown} redirects {why}")]
    Redirect {
        /// The address that redirects.
        shown: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is too large.
    #[error("{shown} has more than {bytes_max} bytes, the most that are fetched")]
    TooLarge {
        /// The address.
        shown: String,
        /// The limit.
        bytes_max: u64,
    },
    /// It sent nothing for too long.
    #[error("{shown} sent nothing for {} seconds", .idle.as_secs())]
    Idle {
        /// The address.
        shown: String,
        /// The limit.
        idle: Duration,
    },
    /// It took too long in all.
    #[error("{shown} did not come within {} seconds", .limit.as_secs())]
    Slow {
        /// The address.
        shown: String,
        /// The limit.
        limit: Duration,
    },
}
