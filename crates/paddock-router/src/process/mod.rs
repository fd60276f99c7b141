//! The process `paddockd router`: how it begins.

pub(crate) mod log_file;
pub(crate) mod privileges;
pub(crate) mod start;
