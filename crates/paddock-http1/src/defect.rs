//! Why a request is refused.

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// The request line is not a method, a target and a version with single spaces between them.
    RequestLine,
    /// A version that is neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// The target has no form that goes with the method, or bytes that are none of a target's.
    Target,
    /// A line does not end in CR and LF.
    LineEnd,
    /// A header has no name, a name that is no token, or control characters in its value; or it is continued.
    Header,
    /// Something is too long or too many: this.
    TooLong(&'static str),
    /// Not exactly one Host that is one.
    Host,
    /// Content-Length is no number, or several.
    Length,
    /// Both Content-Length and Transfer-Encoding.
    LengthAndCoding,
    /// A transfer coding that does not say where the body ends.
    Coding,
    /// A transfer coding that nobody knows.
    UnknownCoding,
    /// A malformed chunk.
    Chunk,
}

impl Defect {
    /// The status that says so.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::UnknownCoding => 501,
            _ => 400,
        }
    }

    /// The word for it in the app's log.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::RequestLine | Self::Version | Self::Target => "bad request line",
            Self::Chunk => "bad chunk",
            _ => "bad header",
        }
    }

    /// A sentence for who sent it.
    #[must_use]
    pub fn sentence(self) -> String {
        let sentence = match self {
            Self::RequestLine => "The request line is not METHOD TARGET HTTP/1.1.",
            Self::Version => "The request is neither HTTP/1.1 nor HTTP/1.0.",
            Self::Target => "The target of the request is none for its method.",
            Self::LineEnd => "A line of the request's head does not end in CR and LF.",
            Self::Header => "A header of the request is malformed.",
            Self::TooLong(what) => return format!("The {what} is too long."),
            Self::Host => "The request has no valid Host.",
            Self::Length => "The Content-Length of the request is not one number.",
            Self::LengthAndCoding => "The request has both Content-Length and Transfer-Encoding.",
            Self::Coding => "The Transfer-Encoding of the request is not chunked alone.",
            Self::UnknownCoding => "The Transfer-Encoding of the request is not known here.",
            Self::Chunk => "The request's body broke off or is malformed.",
        };
        sentence.to_owned()
    }
}
