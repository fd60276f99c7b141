//! What a file is, by the end of its name.

/// Of an ending that is not known.
const UNKNOWN: &str = "application/octet-stream";

const TYPES: [(&str, &str); 62] = [
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avif", "image/avif"),
    ("bin", UNKNOWN),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/opus"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The media type of a file of this name.
pub(crate) fn of_name(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let found = ending.and_then(|ending| TYPES.binary_search_by(|(known, _)| (*known).cmp(&ending)).ok());
    found.map_or(UNKNOWN, |index| TYPES[index].1)
}

/// Whether it is text, which has a character set and gets smaller when it is compressed.
pub(crate) fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("json")
        || media_type.ends_with("xml")
        || media_type == "application/rtf"
}

/// The media type with the site's character set, which JSON and XML say of themselves.
pub(crate) fn with_charset(media_type: &'static str, charset: &str) -> String {
    if media_type.starts_with("text/") {
        return format!("{media_type}; charset={charset}");
    }
    media_type.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_in_order_and_found() {
        assert!(TYPES.is_sorted_by(|(one, _), (other, _)| one < other));
        for (name, media_type) in [
            ("index.html", "text/html"),
            ("A.JPG", "image/jpeg"),
            ("app.min.js", "text/javascript"),
            ("feed", UNKNOWN),
            ("x.odd", UNKNOWN),
        ] {
            assert_eq!(of_name(name), media_type, "{name}");
        }
        assert!(is_text("image/svg+xml") && !is_text("image/png") && !is_text("application/wasm"));
        assert_eq!(with_charset("text/css", "UTF-8"), "text/css; charset=UTF-8");
        assert_eq!(with_charset("application/json", "UTF-8"), "application/json");
    }
}
