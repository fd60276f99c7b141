//! The limits that a router keeps.

use std::time::Duration;

/// Time limits and ceilings. Source: `docs/contract/platform-behaviour.md`, sections 1 and 2.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a client may be connected without sending a request.
    pub client_idle: Duration,
    /// How long a TLS handshake, or the first bytes once begun, may take.
    pub handshake: Duration,
    /// How long a connection to a dyno may take to be made (H19).
    pub connect: Duration,
    /// How long a dyno that refused is left alone.
    pub quarantine: Duration,
    /// How many dynos are tried for one request.
    pub connect_attempts: usize,
    /// How long a request waits for a dyno to start (H20) or to leave quarantine (H34).
    pub dyno_wait: Duration,
    /// From the last byte of the request to the head of the response (H12).
    pub first_byte: Duration,
    /// The longest silence in the middle of a request, a response or a tunnel (H15, H28).
    pub idle: Duration,
    /// How long an unused connection to a dyno is kept.
    pub dyno_keep_alive: Duration,
    /// Clients connected at once (H22).
    pub clients: usize,
    /// Clients connected at once from one address (H22).
    pub clients_per_address: usize,
    /// How long a client too many may take to send its request.
    pub surplus_idle: Duration,
    /// Requests in flight per dyno of an app (H11).
    pub in_flight_per_dyno: usize,
    /// How long a request to the platform waits for `serve` to come back.
    pub serve_wait: Duration,
    /// The longest silence of a rendezvous connection.
    pub rendezvous_idle: Duration,
    /// How long requests in flight may go on once the router was told to stop.
    pub drain: Duration,
    /// How long a router that was replaced waits for its last clients before it stops.
    pub retire: Duration,
    /// How long one resolver has for an answer.
    pub dns_answer: Duration,
    /// How long a question about a data service waits until it is known who asks; resolvers ask again after five seconds.
    pub dns_asker: Duration,
    /// DNS questions in flight; more are not answered.
    pub dns_in_flight: usize,
    /// Of these, how many one client may have.
    pub dns_of_one: usize,
    /// Bytes of the spool, beyond which the oldest records go.
    pub spool_bytes: u64,
}

impl Limits {
    /// The limits of the contract; those of clients, which it does not give, for a process with many descriptors.
    #[must_use]
    pub const fn heroku() -> Self {
        Self {
            client_idle: Duration::from_secs(60),
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            quarantine: Duration::from_secs(5),
            connect_attempts: 10,
            dyno_wait: Duration::from_secs(75),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(55),
            dyno_keep_alive: Duration::from_secs(90),
            clients: 100_000,
            clients_per_address: 50_000,
            surplus_idle: Duration::from_secs(5),
            in_flight_per_dyno: 200,
            serve_wait: Duration::from_secs(10),
            rendezvous_idle: Duration::from_secs(60 * 60),
            drain: Duration::from_secs(30),
            retire: Duration::from_secs(60 * 60),
            dns_answer: Duration::from_secs(3),
            dns_asker: Duration::from_secs(4),
            dns_in_flight: 512,
            dns_of_one: 64,
            spool_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// These, but for no more clients than a process with this many descriptors can serve.
    #[must_use]
    pub fn within_descriptors(self, descriptors: usize) -> Self {
        // One for the client, one for its dyno; the rest is for those too many, dynos kept alive, files.
        let clients = self.clients.min(descriptors / 3);
        Self { clients, clients_per_address: self.clients_per_address.min(clients.div_ceil(2)), ..self }
    }
}
