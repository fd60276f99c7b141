//! What a `RUN --mount=…` says: pairs between commas.

use super::expand::Expander;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub kind: MountKind,
    /// Where it is seen; relative to the working folder.
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind { from: Option<String>, source: String, is_writable: bool },
    /// A folder that is not part of the image.
    Cache { id: String },
    /// A folder in memory.
    Memory,
    /// A secret that a client of Docker gives, or its keys.
    Secret { what: &'static str, is_required: bool },
}

type Result<T> = std::result::Result<T, String>;

/// The stage or image that a mount is of: it is looked for before variables have values.
pub(super) fn from_of(text: &str) -> Result<Option<String>> {
    let from = fields(text)
        .into_iter()
        .filter_map(|field| {
            field.split_once('=').map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        })
        .find(|(key, _)| key == "from");
    match from {
        Some((_, from)) if from.contains('$') => {
            Err("--mount takes no variable in from=: name a stage FROM it".to_owned())
        }
        from => Ok(from.map(|(_, from)| from)),
    }
}

#[derive(Default)]
struct Said {
    kind: String,
    from: Option<String>,
    source: String,
    target: Option<String>,
    id: Option<String>,
    is_writable: bool,
    is_required: bool,
}

pub(super) fn parse(text: &str, expander: &Expander<'_>) -> Result<Mount> {
    let mut said = Said { kind: "bind".to_owned(), ..Said::default() };
    for field in fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(expander.word(value)?)),
            None => (field.to_ascii_lowercase(), None),
        };
        said.take(&key, value)?;
    }
    said.mount()
}

impl Said {
    fn take(&mut self, key: &str, value: Option<String>) -> Result<()> {
        let yes = |value: Option<&str>| match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1" | "t") => Ok(true),
            Some("false" | "0" | "f") => Ok(false),
            Some(other) => Err(format!("--mount takes true or false for {key}, not {other}")),
        };
        match key {
            "ro" | "readonly" => self.is_writable = !yes(value.as_deref())?,
            "rw" | "readwrite" => self.is_writable = yes(value.as_deref())?,
            "required" => self.is_required = yes(value.as_deref())?,
            _ => {
                let value = value.ok_or_else(|| format!("--mount needs a value for {key}: {key}=…"))?;
                match key {
                    "type" => self.kind = value.to_ascii_lowercase(),
                    "from" => self.from = Some(value),
                    "source" | "src" => self.source = value,
                    "target" | "dst" | "destination" => self.target = Some(value),
                    "id" => self.id = Some(value),
                    // Of what is empty at first and belongs to who runs: nothing to set.
                    "sharing" | "size" | "mode" | "uid" | "gid" | "env" => {}
                    _ => return Err(format!("--mount knows no {key}")),
                }
            }
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount> {
        let is_target_needed = !matches!(self.kind.as_str(), "secret" | "ssh");
        let target = self.target.filter(|target| !target.is_empty());
        if is_target_needed && target.is_none() {
            return Err(format!("--mount of type {} needs a target=…", self.kind));
        }
        let target = target.unwrap_or_default();
        let kind = match self.kind.as_str() {
            "bind" => MountKind::Bind { from: self.from, source: self.source, is_writable: self.is_writable },
            "cache" if self.from.is_some() => {
                return Err("--mount of type cache is not built with from=…".to_owned());
            }
            "cache" => MountKind::Cache { id: self.id.unwrap_or_else(|| target.clone()) },
            "tmpfs" => MountKind::Memory,
            "secret" => MountKind::Secret { what: "secret", is_required: self.is_required },
            "ssh" => MountKind::Secret { what: "ssh", is_required: self.is_required },
            other => return Err(format!("--mount knows no type {other}")),
        };
        Ok(Mount { kind, target })
    }
}

/// The fields between commas; what is in double quotes is one, and two of them there are one.
fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted || field.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<Mount> {
        let value = |name: &str| (name == "DIR").then_some("/dir");
        parse(text, &Expander { escape: '\\', value: &value })
    }

    #[test]
    fn mounts_are_read() {
        let bind = |from: Option<&str>, source: &str, is_writable, target: &str| Mount {
            kind: MountKind::Bind { from: from.map(Into::into), source: source.into(), is_writable },
            target: target.into(),
        };
        assert_eq!(mount("target=$DIR/x"), Ok(bind(None, "", false, "/dir/x")));
        assert_eq!(
            mount("type=bind,\"source=a,b\",dst=.,rw,from=base"),
            Ok(bind(Some("base"), "a,b", true, "."))
        );
        let cache = Mount { kind: MountKind::Cache { id: "/c".into() }, target: "/c".into() };
        assert_eq!(mount("type=cache,target=/c,sharing=locked,uid=1000"), Ok(cache));
        assert_eq!(mount("type=TMPFS,target=/t,size=1g").map(|mount| mount.kind), Ok(MountKind::Memory));
        let secret = mount("type=secret,id=key,required").map(|mount| mount.kind);
        assert_eq!(secret, Ok(MountKind::Secret { what: "secret", is_required: true }));
        assert_eq!(from_of("type=bind,from=base"), Ok(Some("base".to_owned())));
        assert!(from_of("from=$X").is_err());
    }

    #[test]
    fn what_is_no_mount_says_why() {
        for (text, problem) in [
            ("type=bind", "--mount of type bind needs a target=…"),
            ("type=npipe,target=/x", "--mount knows no type npipe"),
            ("target", "--mount needs a value for target: target=…"),
            ("targte=/x", "--mount knows no targte"),
            ("target=/x,ro=maybe", "--mount takes true or false for ro, not maybe"),
            ("type=cache,from=a,target=/x", "--mount of type cache is not built with from=…"),
        ] {
            assert_eq!(mount(text), Err(problem.to_owned()), "{text}");
        }
    }
}
