//! What people see when the router answers itself: small pages of our own, or the app's page embedded by its URL.
//!
//! The router never fetches such a page (design, section 7, "Outbound rule"): the browser does.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode};
use paddock_core::code::RouterCode;

use crate::body::ResponseBody;
use crate::table::App;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The page for a code. A code without a status (the client gets no answer then) counts as 503.
pub(crate) fn for_code(app: &App, code: RouterCode) -> Response<ResponseBody> {
    let status = code.status().and_then(|status| StatusCode::from_u16(status).ok());
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
    respond(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), HTML, html)
}

/// Nobody has this host.
pub(crate) fn no_such_app(host: &str) -> Response<ResponseBody> {
    let text = format!("There is no app at {host} on this platform.");
    respond(StatusCode::NOT_FOUND, HTML, page("There's nothing here, yet", &text, None))
}

/// The platform cannot answer now.
pub(crate) fn unavailable(message: &str) -> Response<ResponseBody> {
    api_error(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
}

/// A request to the platform that nobody can read.
pub(crate) fn bad_request(message: &str) -> Response<ResponseBody> {
    api_error(StatusCode::BAD_REQUEST, "bad_request", message)
}

/// An API error of the router's own.
fn api_error(status: StatusCode, id: &str, message: &str) -> Response<ResponseBody> {
    let body = serde_json::json!({ "id": id, "message": message });
    respond(status, JSON, body.to_string())
}

/// A request the router does not take, in a sentence.
pub(crate) fn refusal(status: StatusCode, sentence: &str) -> Response<ResponseBody> {
    respond(status, TEXT, format!("{sentence}\n"))
}

fn respond(status: StatusCode, content_type: HeaderValue, body: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(Some(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(SERVER, HeaderValue::from_static("Paddock"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response
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
