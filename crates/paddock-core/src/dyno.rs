//! Dynos: sizes, names, states and why a state may follow another.

use std::fmt;
use std::str::FromStr;

use crate::process::ProcessType;

/// A dyno size. Memory, processes and share of CPU: `docs/contract/platform-behaviour.md`, section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DynoSize {
    /// 512 MB, shared CPU.
    Eco,
    /// 512 MB, shared CPU.
    Basic,
    /// 512 MB, shared CPU.
    Standard1X,
    /// 1 GB, twice the share.
    Standard2X,
    /// 2.5 GB.
    PerformanceM,
    /// 14 GB.
    PerformanceL,
}

impl DynoSize {
    /// Every size, smallest first.
    pub const ALL: [Self; 6] =
        [Self::Eco, Self::Basic, Self::Standard1X, Self::Standard2X, Self::PerformanceM, Self::PerformanceL];

    /// The size of a process type that nobody sized.
    pub const DEFAULT: Self = Self::Basic;

    /// The name as Heroku prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
        }
    }

    /// The size with this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.as_str().eq_ignore_ascii_case(name))
    }

    /// Memory in bytes; the limit equals it exactly.
    #[must_use]
    pub const fn memory_bytes(self) -> u64 {
        let megabytes = match self {
            Self::Eco | Self::Basic | Self::Standard1X => 512,
            Self::Standard2X => 1024,
            Self::PerformanceM => 2560,
            Self::PerformanceL => 14 * 1024,
        };
        megabytes * 1024 * 1024
    }

    /// Disk in bytes, where the operator does not say otherwise. Heroku names no number: it grows with the size here.
    #[must_use]
    pub const fn disk_bytes(self) -> u64 {
        let gigabytes = match self {
            Self::Eco | Self::Basic | Self::Standard1X => 2,
            Self::Standard2X => 4,
            Self::PerformanceM => 8,
            Self::PerformanceL => 16,
        };
        gigabytes * 1024 * 1024 * 1024
    }

    /// Most processes and threads.
    #[must_use]
    pub const fn pids(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 256,
            Self::Standard2X => 512,
            Self::PerformanceM => 16_384,
            Self::PerformanceL => 32_768,
        }
    }

    /// Share of CPU under contention, as a cgroup v2 weight.
    #[must_use]
    pub const fn cpu_weight(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 100,
            Self::Standard2X => 200,
            Self::PerformanceM => 1200,
            Self::PerformanceL => 5000,
        }
    }

    /// CPU time per second in thousandths of a core; the shared sizes may burst to four cores.
    #[must_use]
    pub const fn cpu_millicores(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 4000,
            Self::Standard2X => 8000,
            Self::PerformanceM => 12_000,
            Self::PerformanceL => 50_000,
        }
    }

    /// Relative compute as the API's `dyno_units`-like number says it.
    #[must_use]
    pub const fn compute(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 1,
            Self::Standard2X => 2,
            Self::PerformanceM => 12,
            Self::PerformanceL => 50,
        }
    }

    /// Whether the size has cores of its own rather than a share.
    #[must_use]
    pub const fn dedicated(self) -> bool {
        matches!(self, Self::PerformanceM | Self::PerformanceL)
    }
}

/// How much dynos may write to their disks: the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynoDisk {
    /// By the size of the dyno.
    BySize,
    /// The same for every size, in bytes.
    Same(u64),
    /// Until the machine's disk is full.
    Unlimited,
}

impl DynoDisk {
    /// The limit of a dyno of this size, in bytes.
    #[must_use]
    pub const fn bytes(self, size: DynoSize) -> Option<u64> {
        match self {
            Self::BySize => Some(size.disk_bytes()),
            Self::Same(bytes) => Some(bytes),
            Self::Unlimited => None,
        }
    }
}

/// What a dyno is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynoKind {
    /// One of a formation: kept running.
    Formation,
    /// `heroku run`: runs once.
    OneOff,
    /// The release phase: runs once for a release.
    Release,
}

impl DynoKind {
    /// The stored text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Formation => "formation",
            Self::OneOff => "one_off",
            Self::Release => "release",
        }
    }

    /// The kind with this stored text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Formation, Self::OneOff, Self::Release].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The state of a dyno as the API says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynoState {
    /// Being started; a web dyno stays here until it listens on its port.
    Starting,
    /// Running; a web dyno listens.
    Up,
    /// Asleep until a request comes.
    Idle,
    /// Its program ended though it should run; waits for its next try.
    Crashed,
    /// Stopped on purpose, or done.
    Down,
}

impl DynoState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Up, Self::Idle, Self::Crashed, Self::Down];

    /// The text in the API and in `State changed from … to …`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Down => "down",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether `next` may follow. Nothing follows `down`: a restarted dyno is a new one.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Starting => matches!(next, Self::Up | Self::Crashed | Self::Down),
            Self::Up => matches!(next, Self::Idle | Self::Crashed | Self::Down | Self::Starting),
            Self::Idle => matches!(next, Self::Starting | Self::Down),
            Self::Crashed => matches!(next, Self::Starting | Self::Down),
            Self::Down => false,
        }
    }
}

/// The name of a dyno: `web.1`, `run.4321`, `release.1234`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DynoName {
    /// The process type, or `run`, `release`.
    pub process_type: ProcessType,
    /// Counts from 1 for formation dynos; a random number for others.
    pub index: u32,
}

/// A text is not a dyno name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a dyno name: {0}")]
pub struct InvalidDynoName(pub String);

impl FromStr for DynoName {
    type Err = InvalidDynoName;

    fn from_str(text: &str) -> Result<Self, InvalidDynoName> {
        let invalid = || InvalidDynoName(text.to_owned());
        let (process_type, index) = text.rsplit_once('.').ok_or_else(invalid)?;
        let plain = !index.starts_with('0') && index.bytes().all(|c| c.is_ascii_digit());
        match (process_type.parse(), index.parse()) {
            (Ok(process_type), Ok(index)) if plain => Ok(Self { process_type, index }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.index)
    }
}

/// The feature of an app that gives its dynos variables about themselves.
pub const DYNO_METADATA: &str = "runtime-dyno-metadata";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_type_and_a_number() {
        assert_eq!("web.1".parse::<DynoName>().unwrap().to_string(), "web.1");
        for bad in ["web", "web.", "web.01", "web.-1", ".1", "we b.1", "web.99999999999"] {
            assert!(bad.parse::<DynoName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_pair_of_states_is_decided() {
        let allowed =
            |from: DynoState| DynoState::ALL.into_iter().filter(move |to| from.may_become(*to)).count();
        assert_eq!(DynoState::ALL.map(allowed), [3, 4, 2, 2, 0]);
        assert!(DynoState::ALL.into_iter().all(|state| !state.may_become(state)));
    }

    #[test]
    fn sizes_are_found_in_any_case() {
        assert_eq!(DynoSize::parse("standard-1x"), Some(DynoSize::Standard1X));
        assert_eq!(DynoSize::parse("BASIC").unwrap().memory_bytes(), 536_870_912);
        assert_eq!(DynoSize::PerformanceL.memory_bytes(), 15_032_385_536);
        assert_eq!(DynoSize::parse("huge"), None);
    }
}
