//! What clients send, checked, and refusals as they are told.

use paddock_core::addon::{AddonName, AttachmentName, InvalidAddonName, InvalidAttachmentName};

use crate::{Error, Result};

/// A sentence of a service is for the user.
pub(super) fn refused(refusal: paddock_addons::Refusal) -> Error {
    Error::invalid(refusal.0)
}

pub(super) fn parse_name(text: &str) -> Result<AddonName> {
    text.parse().map_err(|error: InvalidAddonName| Error::invalid(format!("{error}.")))
}

pub(super) fn parse_attachment(text: &str) -> Result<AttachmentName> {
    text.parse().map_err(|error: InvalidAttachmentName| Error::invalid(format!("{error}.")))
}

/// There is no such attachment.
pub(super) fn gone() -> Error {
    Error::not_found_because("add_on attachment", "Couldn't find that add-on attachment.")
}
