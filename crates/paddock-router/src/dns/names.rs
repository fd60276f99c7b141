//! Names of what apps have attached, `ID.data.DOMAIN`: answered here, to the dynos of those apps, and passed on to nobody.

use std::net::IpAddr;

use tokio::time::{Instant, timeout_at};

use super::message::{HEAD, IS_ANSWER, RECURSION_AVAILABLE, question_end};
use crate::connection::router::Router;

/// A name moves to another address with what it is of.
const TTL_SECONDS: u32 = 10;
const IS_AUTHORITATIVE: u8 = 0x04;
const NO_SUCH_NAME: u8 = 3;

/// Types and the class of questions.
const A: u16 = 1;
const AAAA: u16 = 28;
const ANY: u16 = 255;
const INTERNET: u16 = 1;

/// The answer to a question about such a name; `None` for every other question.
///
/// Who asks is told by its address: it belongs to one container, the firewall drops what another one sends from it. A dyno
/// may ask before `serve` has said whose it is, so somebody unknown waits for a moment. Builds are never known.
pub(super) async fn answer(router: &Router, question: &[u8], client: IpAddr) -> Option<Vec<u8>> {
    let id = router.routes.current().id_of_data(&name_of(question)?)?;
    let (deadline, mut changes) =
        (Instant::now() + router.config.limits.dns_asker, router.routes.subscribe());
    loop {
        let asker = router.routes.current().asker(client).cloned();
        if let Some(app) = asker {
            return Some(answer_with(question, app.data.addresses.get(&id).copied()));
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Some(answer_with(question, None)),
        }
    }
}

/// The name that a question is about, in lower case and without the last dot.
fn name_of(question: &[u8]) -> Option<String> {
    let end = question_end(question)? - 4;
    let mut labels = Vec::new();
    let mut at = HEAD;
    while question[at] != 0 {
        let next = at + 1 + usize::from(question[at]);
        labels.push(std::str::from_utf8(&question[at + 1..next]).ok()?);
        at = next;
    }
    debug_assert_eq!(at + 1, end, "the name is the question but for type and class");
    Some(labels.join(".").to_ascii_lowercase())
}

/// The address, if it is of the kind that is asked for; `None` where there is no such name for who asks.
fn answer_with(question: &[u8], address: Option<IpAddr>) -> Vec<u8> {
    let end = question_end(question).unwrap_or(question.len());
    let mut answer = question[..end].to_vec();
    answer[2] = (answer[2] & 0x79) | IS_ANSWER | IS_AUTHORITATIVE;
    answer[3] = RECURSION_AVAILABLE | if address.is_none() { NO_SUCH_NAME } else { 0 };
    answer[6..HEAD].fill(0);
    let number = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let (kind, class) = (number(end - 4), number(end - 2));
    let record = address.filter(|_| class == INTERNET || class == ANY).and_then(|address| match address {
        IpAddr::V4(address) if kind == A || kind == ANY => Some((A, address.octets().to_vec())),
        IpAddr::V6(address) if kind == AAAA || kind == ANY => Some((AAAA, address.octets().to_vec())),
        _ => None,
    });
    if let Some((kind, data)) = record {
        answer[7] = 1;
        // The name is the question's.
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&INTERNET.to_be_bytes());
        answer.extend_from_slice(&TTL_SECONDS.to_be_bytes());
        answer.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        answer.extend_from_slice(&data);
    }
    answer
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02Ab\x04data\x04test\0\0\x01\0\x01";

    #[test]
    fn a_name_is_read_as_it_is_compared() {
        assert_eq!(name_of(QUESTION).as_deref(), Some("ab.data.test"));
        // A dot within a label is no dot between two.
        assert_eq!(name_of(b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01\xff\0\0\x01\0\x01"), None);
    }

    #[test]
    fn only_the_kind_that_is_asked_for_is_told() {
        let address = Some(IpAddr::from([10, 1, 2, 3]));
        let told = answer_with(QUESTION, address);
        assert_eq!(told[..12], *b"\x12\x34\x85\x80\0\x01\0\x01\0\0\0\0");
        assert_eq!(told[QUESTION.len()..], *b"\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04\x0a\x01\x02\x03");
        let mut other = QUESTION.to_vec();
        let kind = other.len() - 3;
        other[kind] = 28;
        let told = answer_with(&other, address);
        assert_eq!(
            told[..12],
            *b"\x12\x34\x85\x80\0\x01\0\0\0\0\0\0",
            "no such data, and there is such a name"
        );
        assert_eq!(told.len(), other.len());
        assert_eq!(answer_with(QUESTION, None)[3], 0x83);
    }

    proptest! {
        #[test]
        fn any_question_has_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut message = QUESTION[..HEAD].to_vec();
            message.extend(bytes);
            if question_end(&message).is_some() {
                let _ = name_of(&message);
                prop_assert!(answer_with(&message, Some(IpAddr::from([10, 1, 2, 3]))).len() >= HEAD);
            }
        }
    }
}
