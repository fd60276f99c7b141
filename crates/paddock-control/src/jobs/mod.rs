//! Jobs get things done: builds and release phases. A row with a phase, idempotent steps, a lease; a crash makes a
//! job failed or resumed, never "running" for ever.
