//! Journeys with the real clients.
