//! Names and secrets that are made, and the one way in which a name gets into a statement.

use std::fmt;

use crate::{Login, Random, Secret, StepError};

/// Letters and digits after the first letter, as on Heroku.
const LENGTH: usize = 13;
const SYMBOLS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const PASSWORD_BYTES: usize = 32;

/// `d1a2b3…`: 67 bits, which nobody guesses.
pub(super) fn word(letter: char, random: &mut Random<'_>) -> String {
    let mut name = String::from(letter);
    while name.len() <= LENGTH {
        let mut byte = [0];
        random(&mut byte);
        // 252 is 7 times 36: what is above would make some symbols likelier.
        if byte[0] < 252
            && let Some(symbol) = SYMBOLS.get(usize::from(byte[0]) % SYMBOLS.len())
        {
            name.push(char::from(*symbol));
        }
    }
    name
}

pub(super) fn login(random: &mut Random<'_>) -> Login {
    let mut bytes = [0; PASSWORD_BYTES];
    random(&mut bytes);
    Login { user: word('u', random), password: Secret::new(format!("p{}", paddock_core::hex(&bytes))) }
}

/// A name for a statement: nothing that would end a quoted name gets in, and it is quoted always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identifier<'a>(&'a str);

impl<'a> Identifier<'a> {
    /// # Errors
    /// It is none that was made here, or that a credential or a schema may have.
    pub(super) fn new(name: &'a str) -> Result<Self, StepError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        let shaped = (1..=63).contains(&name.len())
            && name.bytes().all(allowed)
            && name.bytes().next().is_some_and(|c| c.is_ascii_alphabetic());
        if shaped {
            Ok(Self(name))
        } else {
            Err(StepError::new(format!("name {name:?} in a statement"), "it is no name of ours"))
        }
    }

    /// The name itself, for a parameter.
    pub(super) const fn bare(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(37);
            }
        }
    }

    #[test]
    fn names_are_as_on_heroku() {
        let login = login(&mut counting());
        assert!(login.user.starts_with('u') && login.user.len() == 14, "{}", login.user);
        assert!(Identifier::new(&login.user).is_ok());
        let password = login.password.reveal();
        assert!(password.starts_with('p') && password.len() == 65, "{password}");
    }

    #[test]
    fn every_symbol_is_as_likely() {
        let mut seen = [0_u32; 256];
        for byte in 0..=u8::MAX {
            let mut first = true;
            let name = word('d', &mut |bytes: &mut [u8]| {
                bytes.fill(if first { byte } else { 0 });
                first = false;
            });
            if byte < 252 {
                seen[usize::from(name.as_bytes()[1])] += 1;
            }
        }
        assert!(SYMBOLS.iter().all(|symbol| seen[usize::from(*symbol)] == 7));
    }

    #[test]
    fn only_names_of_ours_come_into_statements() {
        assert_eq!(Identifier::new("d123").unwrap().to_string(), "\"d123\"");
        assert_eq!(Identifier::new("Read-Only_1").unwrap().to_string(), "\"Read-Only_1\"");
        for name in ["", "1d", "_a", "-a", "a\"b", "a b", "a;b", "ä", "a'", "a\\", "a\0", &"a".repeat(64)] {
            assert!(Identifier::new(name).is_err(), "{name:?}");
        }
    }
}
