//! Header fields, in the order and with the bytes in which they came.

use bytes::{BufMut, Bytes, BytesMut};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, in any case.
    pub name: Bytes,
    /// Its value, without the white space around it.
    pub value: Bytes,
}

/// The fields of a head. Names are compared without case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|field| is(field, name)).map(|field| &field.value)
    }

    /// The values of every field of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.0.iter().filter(|field| is(field, name)).map(|field| &field.value)
    }

    /// The words of a list that is in the fields of this name.
    pub fn words<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let words = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Puts a field at the end.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Field { name: name.into(), value: value.into() });
    }

    /// Puts a field at the end, in place of all others of its name.
    pub fn set(&mut self, name: &'static str, value: impl Into<Bytes>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Takes off every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|field| !is(field, name));
    }

    /// Takes off what `keep` is false for.
    pub fn retain(&mut self, keep: impl FnMut(&Field) -> bool) {
        self.0.retain(keep);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.0.iter()
    }

    /// Writes them as they are in a head, without the empty line at its end.
    pub fn write(&self, out: &mut BytesMut) {
        for field in &self.0 {
            out.reserve(field.name.len() + field.value.len() + 4);
            out.put_slice(&field.name);
            out.put_slice(b": ");
            out.put_slice(&field.value);
            out.put_slice(b"\r\n");
        }
    }
}

fn is(field: &Field, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name.as_bytes())
}

impl<N: Into<Bytes>, V: Into<Bytes>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(list: I) -> Self {
        let mut fields = Self::default();
        for (name, value) in list {
            fields.push(name, value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_fields_keep_theirs() {
        let mut fields = Fields::default();
        fields.push("X-One", "1");
        fields.push("Connection", "a, ,b");
        fields.push("connection", "c");
        assert_eq!(fields.get("x-one").unwrap(), "1");
        assert_eq!(fields.words("CONNECTION").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        fields.set("Connection", "close");
        fields.push("X-Two", "");
        let mut written = BytesMut::new();
        fields.write(&mut written);
        assert_eq!(written, "X-One: 1\r\nConnection: close\r\nX-Two: \r\n");
    }
}
