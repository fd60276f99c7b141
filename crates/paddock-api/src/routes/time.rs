//! Times of the domain as the API prints them.

use paddock_core::UnixMicros;
use paddock_wire::Time;

pub(super) fn time(at: UnixMicros) -> Time {
    Time::from_unix_micros(at.0)
}
