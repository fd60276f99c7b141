//! How clients see log lines. Source: heroku-cli 4.2; design, section 7, "Log injection".

use bytes::Bytes;
use jiff::Timestamp;
use paddock_core::log::LogLine;

use crate::LineNumber;

/// A line as `heroku logs` prints it: `2026-11-20T17:00:00.000000+00:00 app[web.1]: text`.
///
/// A line break inside the text starts a continuation that begins with a space, so nothing in a tenant's text can be
/// taken for a line of its own with another source.
#[must_use]
pub fn render(line: &LogLine) -> String {
    let at = Timestamp::from_microsecond(line.at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    let process: String = line.process.chars().map(|c| if is_name(c) { c } else { '_' }).collect();
    let mut rendered =
        format!("{}+00:00 {}[{process}]: ", at.strftime("%Y-%m-%dT%H:%M:%S.%6f"), line.source.as_str());
    let text = line.text.trim_end_matches(['\r', '\n']);
    for (index, part) in breaks(text).enumerate() {
        if index > 0 {
            rendered.push_str("\n ");
        }
        rendered.push_str(part);
    }
    rendered
}

/// One server-sent event: `id: N`, then the text in as many `data:` fields as it has lines.
///
/// Every CR, LF or pair of them ends a line for the client, so each starts a new field here: no text can end the
/// event or add a field of another kind.
#[must_use]
pub fn sse_event(number: LineNumber, rendered: &str) -> Bytes {
    let mut event = format!("id: {}\n", number.0);
    event.reserve(rendered.len() + 16);
    for part in breaks(rendered) {
        event.push_str("data: ");
        event.push_str(part);
        event.push('\n');
    }
    event.push('\n');
    Bytes::from(event)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// The parts between line breaks (CRLF, CR, LF), as the event stream's grammar has them.
fn breaks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}
