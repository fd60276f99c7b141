//! Messages of DNS, as far as a forwarder reads them.

pub(super) const HEAD: usize = 12;
/// In the third byte.
pub(super) const IS_ANSWER: u8 = 0x80;
/// In the fourth.
pub(super) const RECURSION_AVAILABLE: u8 = 0x80;
const SERVER_FAILURE: u8 = 2;

/// A message with exactly one whole question.
pub(super) fn is_question(message: &[u8]) -> bool {
    message.len() > HEAD
        && message[2] & IS_ANSWER == 0
        && message[4..6] == [0, 1]
        && question_end(message).is_some()
}

/// Whether `answer` is an answer to `question`: same id, same name (in any case), type and class.
pub(super) fn answers(question: &[u8], answer: &[u8]) -> bool {
    let Some(end) = question_end(question) else { return false };
    answer.len() >= end
        && answer[2] & IS_ANSWER != 0
        && answer[..2] == question[..2]
        && answer[HEAD..end].eq_ignore_ascii_case(&question[HEAD..end])
}

/// Where the first question of a message ends.
pub(super) fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEAD;
    loop {
        match usize::from(*message.get(at)?) {
            0 => break,
            label if label < 64 => at += 1 + label,
            // A question's name is never a pointer.
            _ => return None,
        }
    }
    let end = at + 1 + 4;
    (end <= message.len()).then_some(end)
}

/// "The server failed", for a question.
pub(super) fn failure(question: &[u8]) -> Vec<u8> {
    let end = question_end(question).unwrap_or(question.len());
    let mut answer = question[..end].to_vec();
    // Opcode and "recursion desired" stay; recursion is available.
    answer[2] = (answer[2] & 0x79) | IS_ANSWER;
    answer[3] = RECURSION_AVAILABLE | SERVER_FAILURE;
    answer[6..HEAD].fill(0);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] =
        b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x01a\x02bc\0\0\x01\0\x01\0\0\x29\x10\0\0\0\0\0\0\0";

    #[test]
    fn only_the_answer_to_the_question_counts() {
        assert!(is_question(QUESTION));
        let failed = failure(QUESTION);
        assert_eq!(failed, b"\x12\x34\x81\x82\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01");
        assert!(answers(QUESTION, &failed));
        assert!(!is_question(&failed));
        let mut other = failed.clone();
        other[0] = 0;
        assert!(!answers(QUESTION, &other));
        let mut upper = failed.clone();
        upper[13] = b'A';
        assert!(answers(QUESTION, &upper));
        upper[13] = b'x';
        assert!(!answers(QUESTION, &upper));
        assert!(!answers(QUESTION, &failed[..15]));
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        for length in 0..QUESTION.len() {
            let _ = is_question(&QUESTION[..length]);
        }
        assert!(!is_question(&QUESTION[..HEAD]));
        assert!(!is_question(&QUESTION[..18]));
        let mut pointer = QUESTION.to_vec();
        pointer[12] = 0xc0;
        assert!(!is_question(&pointer));
    }
}
