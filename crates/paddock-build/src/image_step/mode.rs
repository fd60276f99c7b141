//! What `--chmod` says: octal digits, or words such as `u=rwX,go-w`.

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode(Vec<Change>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    To(u32),
    /// For these classes of users, as bits of a mode.
    Of {
        classes: u32,
        sign: char,
        permissions: Permissions,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Permissions {
    /// Of one class: read 4, write 2, execute 1.
    bits: u32,
    /// `X`: execute, for folders and what somebody may execute.
    execute_where_it_is: bool,
}

const EVERYBODY: u32 = 0o777;

impl Mode {
    /// Reads it; `None` for what is none. Bits above the permissions are read and left out: no image here has them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)?;
            return Some(Self(vec![Change::To(mode & EVERYBODY)]));
        }
        let changes = text.split(',').map(Self::change).collect::<Option<Vec<_>>>()?;
        Some(Self(changes.concat()))
    }

    /// `ugo+rwx`, and perhaps more signs with permissions after that.
    fn change(text: &str) -> Option<Vec<Change>> {
        let signs = text.find(['+', '-', '='])?;
        let mut classes = 0;
        for who in text[..signs].chars() {
            classes |= match who {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => EVERYBODY,
                _ => return None,
            };
        }
        let classes = if classes == 0 { EVERYBODY } else { classes };
        let mut changes = Vec::new();
        for c in text[signs..].chars() {
            if matches!(c, '+' | '-' | '=') {
                changes.push(Change::Of { classes, sign: c, permissions: Permissions::default() });
                continue;
            }
            let Some(Change::Of { permissions, .. }) = changes.last_mut() else { return None };
            match c {
                'r' => permissions.bits |= 4,
                'w' => permissions.bits |= 2,
                'x' => permissions.bits |= 1,
                'X' => permissions.execute_where_it_is = true,
                's' | 't' => {}
                _ => return None,
            }
        }
        Some(changes)
    }

    /// The permissions of what has these.
    #[must_use]
    pub fn applied(&self, mode: u32, is_folder: bool) -> u32 {
        self.0.iter().fold(mode & EVERYBODY, |mode, change| match change {
            Change::To(mode) => *mode,
            Change::Of { classes, sign, permissions } => {
                let executes = permissions.execute_where_it_is && (is_folder || mode & 0o111 != 0);
                let bits = permissions.bits | u32::from(executes);
                let bits = (bits << 6 | bits << 3 | bits) & classes;
                match sign {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => (mode & !classes) | bits,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_digits_or_words() {
        for (text, before, is_folder, after) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, false, 0o644),
            ("4755", 0, false, 0o755),
            ("u=rwx,go=rx", 0, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("go-rwx", 0o777, false, 0o700),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u+r-w", 0o200, false, 0o400),
            ("g+s", 0o755, false, 0o755),
            ("o=", 0o777, false, 0o770),
        ] {
            assert_eq!(Mode::parse(text).unwrap().applied(before, is_folder), after, "{text}");
        }
        for text in ["", "9", "77777", "rwx", "u", "x+r", "u=q", "u=r,", "0x1"] {
            assert_eq!(Mode::parse(text), None, "{text}");
        }
    }
}
