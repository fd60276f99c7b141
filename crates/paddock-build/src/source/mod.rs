//! Rules on a source tree.
