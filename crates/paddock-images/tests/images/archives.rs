//! Archives of layers, header by header.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// An archive that is being written, well-formed or not.
#[derive(Default)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    /// Anything, with its header as it is after `change`.
    pub(crate) fn changed(
        mut self,
        kind: u8,
        path: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        let name = &path[..path.len().min(100)];
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[156] = kind;
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn member(self, kind: u8, path: &[u8], content: &[u8]) -> Self {
        self.changed(kind, path, content, |_| {})
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.member(b'0', path.as_bytes(), content.as_bytes())
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        self.changed(b'5', path.as_bytes(), b"", |header| header.set_mode(0o750))
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link_of(b'2', path, target)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.link_of(b'1', path, target)
    }

    fn link_of(self, kind: u8, path: &str, target: &str) -> Self {
        let place = 157..157 + target.len();
        self.changed(kind, path.as_bytes(), b"", |header| {
            header.as_mut_bytes()[place].copy_from_slice(target.as_bytes());
        })
    }

    /// Records of pax for the member after them.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend(format!("{length} {key}=").bytes());
            content.extend(*value);
            content.push(b'\n');
        }
        self.member(b'x', b"PaxHeaders/x", &content)
    }

    /// The whole archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
