//! A runtime in memory, for tests of what stands above the port.
