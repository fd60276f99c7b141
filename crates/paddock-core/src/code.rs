//! Error codes of the router (H), of dynos (R) and of logging (L), with the texts users know.
//!
//! Source: `docs/contract/platform-behaviour.md`, section 2. Codes that are retired (H16, H23) or whose fields were never
//! seen (H83) are absent.

use std::fmt;

/// How bad a router line is: the value of its `at=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterAt {
    /// As intended.
    Info,
    /// The client's doing.
    Warning,
    /// A request failed.
    Error,
}

impl RouterAt {
    /// The text after `at=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Why the router itself answered a request, or why it could not finish an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouterCode {
    /// Every web dyno has crashed.
    H10,
    /// Too many requests of the app are in flight.
    H11,
    /// No first byte within 30 s after the whole request was sent.
    H12,
    /// The dyno closed the connection without a byte of response.
    H13,
    /// No web dynos are wanted.
    H14,
    /// The dyno was silent for 55 s in the middle of its response.
    H15,
    /// The response cannot be parsed.
    H17,
    /// The dyno closed the connection in the middle of its response.
    H18,
    /// Connecting to the dyno took longer than 5 s.
    H19,
    /// No dyno was up within 75 s.
    H20,
    /// The dyno refused the connection.
    H21,
    /// Too many client connections.
    H22,
    /// The router ended before the request did.
    H24,
    /// The response breaks a limit.
    H25,
    /// The request asks for something no router does.
    H26,
    /// The client went away.
    H27,
    /// The client was silent for 55 s.
    H28,
    /// The host does not belong to the endpoint the client connected to.
    H31,
    /// The certificate does not match the host.
    H32,
    /// An HTTP/2 stream was broken by the client or the dyno.
    H33,
    /// Every dyno that is up refused a connection within the last 5 s.
    H34,
    /// Maintenance mode is on.
    H80,
    /// Nothing was deployed.
    H81,
    /// The hours of an eco pool are used up.
    H82,
    /// A fault of the platform.
    H99,
}

impl RouterCode {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 25] = [
        Self::H10,
        Self::H11,
        Self::H12,
        Self::H13,
        Self::H14,
        Self::H15,
        Self::H17,
        Self::H18,
        Self::H19,
        Self::H20,
        Self::H21,
        Self::H22,
        Self::H24,
        Self::H25,
        Self::H26,
        Self::H27,
        Self::H28,
        Self::H31,
        Self::H32,
        Self::H33,
        Self::H34,
        Self::H80,
        Self::H81,
        Self::H82,
        Self::H99,
    ];

    /// The text after `code=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The text after `desc=`, without quotes.
    #[must_use]
    pub const fn desc(self) -> &'static str {
        self.row().1
    }

    /// The value of `at=`.
    #[must_use]
    pub const fn at(self) -> RouterAt {
        match self {
            Self::H80 | Self::H81 | Self::H82 => RouterAt::Info,
            Self::H27 | Self::H28 => RouterAt::Warning,
            _ => RouterAt::Error,
        }
    }

    /// The status in the line, and to the client where it can still be told; `None` stays empty in the line.
    /// H26 is 417 for an unsupported `Expect`; a header or chunk that is not HTTP is 400.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::H24 | Self::H33 => None,
            Self::H25 => Some(502),
            Self::H26 => Some(417),
            Self::H27 | Self::H28 => Some(499),
            Self::H31 => Some(421),
            Self::H32 => Some(495),
            _ => Some(503),
        }
    }

    /// Which side broke the connection: the text after the `sock=` that begins such a line.
    #[must_use]
    pub const fn sock(self) -> Option<&'static str> {
        match self {
            Self::H18 => Some("backend"),
            Self::H27 => Some("client"),
            _ => None,
        }
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::H10 => ("H10", "App crashed"),
            Self::H11 => ("H11", "Backlog too deep"),
            Self::H12 => ("H12", "Request timeout"),
            Self::H13 => ("H13", "Connection closed without response"),
            Self::H14 => ("H14", "No web processes running"),
            Self::H15 => ("H15", "Idle connection"),
            Self::H17 => ("H17", "Poorly formatted HTTP response"),
            Self::H18 => ("H18", "Server Request Interrupted"),
            Self::H19 => ("H19", "Backend connection timeout"),
            Self::H20 => ("H20", "App boot timeout"),
            Self::H21 => ("H21", "Backend connection refused"),
            Self::H22 => ("H22", "Connection limit reached"),
            Self::H24 => ("H24", "Forced close"),
            Self::H25 => ("H25", "HTTP restriction"),
            Self::H26 => ("H26", "Request Error"),
            Self::H27 => ("H27", "Client Request Interrupted"),
            Self::H28 => ("H28", "Client Connection Idle"),
            Self::H31 => ("H31", "Misdirected Request"),
            Self::H32 => ("H32", "TLS Certificate Mismatch"),
            Self::H33 => ("H33", "HTTP/2 Stream Broken"),
            Self::H34 => ("H34", "All up dynos are quarantined"),
            Self::H80 => ("H80", "Maintenance mode"),
            Self::H81 => ("H81", "Blank app"),
            Self::H82 => ("H82", "You've used up your dyno hour pool"),
            Self::H99 => ("H99", "Platform error"),
        }
    }
}

impl fmt::Display for RouterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that went wrong with a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynoCode {
    /// A web process did not bind to `$PORT` in time.
    R10,
    /// A process did not end in time after SIGTERM.
    R12,
    /// The client of a one-off dyno never connected.
    R13,
    /// Memory is over the quota; the process goes on.
    R14,
    /// Memory is far over the quota; the process is killed.
    R15,
    /// A process ignores that its client is gone.
    R16,
    /// The slug is not the one that was built.
    R17,
    /// A fault of the platform.
    R99,
}

impl DynoCode {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 8] =
        [Self::R10, Self::R12, Self::R13, Self::R14, Self::R15, Self::R16, Self::R17, Self::R99];

    /// The code as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The words in the parentheses.
    #[must_use]
    pub const fn desc(self) -> &'static str {
        self.row().1
    }

    /// The log line (source `heroku`, process the dyno's name), with Heroku's usual time limits in it.
    #[must_use]
    pub fn line(self) -> String {
        let (code, desc, explanation) = self.row();
        match explanation {
            "" => format!("Error {code} ({desc})"),
            explanation => format!("Error {code} ({desc}) -> {explanation}"),
        }
    }

    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::R10 => {
                ("R10", "Boot timeout", "Web process failed to bind to $PORT within 60 seconds of launch")
            }
            Self::R12 => ("R12", "Exit timeout", "Process failed to exit within 30 seconds of SIGTERM"),
            Self::R13 => ("R13", "Attach error", "Failed to attach to process"),
            Self::R14 => ("R14", "Memory quota exceeded", ""),
            Self::R15 => ("R15", "Memory quota vastly exceeded", ""),
            Self::R16 => (
                "R16",
                "Detached",
                "An attached process is not responding to SIGHUP after its external connection was closed.",
            ),
            Self::R17 => ("R17", "Checksum error", "Checksum does not match the slug that was built"),
            Self::R99 => ("R99", "Platform error", "Failed to launch the dyno within the allotted time"),
        }
    }
}

impl fmt::Display for DynoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Log lines that were lost, and why. `since` is a time as log lines print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogCode {
    /// A drain was too slow; in that drain's stream only.
    L10 {
        /// Messages dropped.
        dropped: u64,
        /// When that began.
        since: String,
    },
    /// A tail session was too slow.
    L11 {
        /// Messages dropped.
        dropped: u64,
        /// When that began.
        since: String,
    },
    /// A buffer on the way to the log plane was full.
    L12 {
        /// Messages dropped.
        dropped: u64,
        /// When that began.
        since: String,
    },
    /// Messages could not be delivered to the log plane.
    L13 {
        /// Messages lost.
        lost: u64,
        /// When that began.
        since: String,
    },
    /// A drain's certificate is not valid.
    L14 {
        /// Why.
        error: String,
        /// The drain.
        uri: String,
    },
    /// The buffer of recent lines cannot be read now.
    L15,
}

impl LogCode {
    /// The code as text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::L10 { .. } => "L10",
            Self::L11 { .. } => "L11",
            Self::L12 { .. } => "L12",
            Self::L13 { .. } => "L13",
            Self::L14 { .. } => "L14",
            Self::L15 => "L15",
        }
    }

    /// The log line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::L10 { dropped, since } => {
                format!("Error L10 (output buffer overflow): {dropped} messages dropped since {since}.")
            }
            Self::L11 { dropped, since } => {
                let what = "Tail buffer overflow";
                format!("Error L11 ({what}) -> This tail session dropped {dropped} messages since {since}.")
            }
            Self::L12 { dropped, since } => format!("Error L12: {dropped} messages dropped since {since}."),
            Self::L13 { lost, since } => format!("Error L13: {lost} messages lost since {since}."),
            Self::L14 { error, uri } => {
                format!("Error L14 (certificate validation): error=\"{error}\" uri=\"{uri}\"")
            }
            Self::L15 => "Error L15 (Tail buffer temporarily unavailable)".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn router_codes_are_distinct_and_informing_ones_are_no_errors() {
        let mut codes: Vec<_> = RouterCode::ALL.iter().map(|code| code.as_str()).collect();
        codes.dedup();
        assert_eq!(codes.len(), RouterCode::ALL.len());
        assert!(codes.is_sorted());
        for code in RouterCode::ALL {
            assert_eq!(format!("{code:?}"), code.as_str());
            assert!(code.status().is_none_or(|status| (400..600).contains(&status)), "{code}");
        }
        assert_eq!(RouterCode::H80.at(), RouterAt::Info);
        assert_eq!(RouterCode::H27.at().as_str(), "warning");
        assert_eq!(RouterCode::H12.status(), Some(503));
    }

    #[test]
    fn lines_read_as_published() {
        assert_eq!(
            DynoCode::R10.line(),
            "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch"
        );
        assert_eq!(DynoCode::R14.line(), "Error R14 (Memory quota exceeded)");
        assert_eq!(
            DynoCode::R12.line(),
            "Error R12 (Exit timeout) -> Process failed to exit within 30 seconds of SIGTERM"
        );
        for code in DynoCode::ALL {
            assert_eq!(format!("{code:?}"), code.as_str());
            assert!(code.line().starts_with(&format!("Error {code} ({})", code.desc())));
        }
        let since = "2026-11-20T17:00:00.000000+00:00".to_owned();
        let line = LogCode::L13 { lost: 3, since }.line();
        assert_eq!(line, "Error L13: 3 messages lost since 2026-11-20T17:00:00.000000+00:00.");
    }
}
