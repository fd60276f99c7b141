//! What people see when the router answers itself: small pages of our own, or the app's page embedded by its URL.
//!
//! The router never fetches such a page (design, section 7, "Outbound rule"): the browser does.

use paddock_core::code::RouterCode;
use paddock_http1::Defect;

use crate::routes::table::App;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer of the router's own.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

/// The page for a code. A code without a status (the client gets no answer then) counts as 503.
pub(crate) fn for_code(app: &App, code: RouterCode) -> Page {
    let (own, title, text) = match code {
        RouterCode::H80 => (
            &app.maintenance_page_url,
            "Offline for maintenance",
            "This app is undergoing maintenance right now. Please check back later.",
        ),
        RouterCode::H81 => {
            (&None, "Nothing is deployed yet", "This app exists, and waits for its first deploy.")
        }
        RouterCode::H26 => {
            (&None, "Expectation failed", "The router cannot do what the Expect header asks for.")
        }
        _ => (
            &app.error_page_url,
            "Application error",
            "An error occurred in the application and your page could not be served. If you are the \
             application owner, check your logs for details: heroku logs --tail",
        ),
    };
    let html = match own {
        // Other schemes would run in the page of the app itself.
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => embedded(title, url),
        _ => page(title, text, Some(code.as_str())),
    };
    respond(code.status().unwrap_or(503), HTML, html)
}

/// Nobody has this host.
pub(crate) fn no_such_app(host: &str) -> Page {
    let text = format!("There is no app at {host} on this platform.");
    respond(404, HTML, page("There's nothing here, yet", &text, None))
}

/// The platform cannot answer now.
pub(crate) fn unavailable(message: &str) -> Page {
    api_error(503, "service_unavailable", message)
}

/// A request to the platform that nobody can read.
pub(crate) fn bad_request(defect: Defect) -> Page {
    api_error(defect.status(), "bad_request", &defect.sentence())
}

/// An API error of the router's own.
fn api_error(status: u16, id: &str, message: &str) -> Page {
    let body = serde_json::json!({ "id": id, "message": message });
    respond(status, JSON, body.to_string())
}

/// A request the router does not take, in a sentence.
pub(crate) fn refusal(status: u16, sentence: &str) -> Page {
    respond(status, TEXT, format!("{sentence}\n"))
}

fn respond(status: u16, content_type: &'static str, body: String) -> Page {
    Page { status, content_type, body }
}

/// The reason phrase of a status that the router itself answers with.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}

fn page(title: &str, text: &str, code: Option<&str>) -> String {
    let title = escape(title);
    let text = escape(text);
    let code = code.map(|code| format!("<p class=\"code\">{}</p>", escape(code))).unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;color:#2b3440;background:#f4f6f8;margin:0;\
         display:grid;place-items:center;min-height:100vh}}main{{max-width:34rem;padding:2rem}}\
         h1{{font-size:1.5rem}}.code{{color:#8a94a0;font-family:monospace}}</style></head>\
         <body><main><h1>{title}</h1><p>{text}</p>{code}</main></body></html>\n"
    )
}

fn embedded(title: &str, url: &str) -> String {
    let (title, url) = (escape(title), escape(url));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>html,body,iframe{{margin:0;border:0;padding:0;width:100%;height:100%;display:block}}</style></head>\
         <body><iframe src=\"{url}\" title=\"{title}\"></iframe></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_address_cannot_leave_its_attribute() {
        let html = embedded("x", "https://e/\"><script>alert('1')</script>&");
        assert!(
            html.contains("src=\"https://e/&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\"")
        );
        assert!(!html.contains("<script"));
    }
}
