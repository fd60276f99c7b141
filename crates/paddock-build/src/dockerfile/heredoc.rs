//! Texts that follow an instruction: `<<NAME`, as in a shell.

use super::words;

/// Instructions that may be followed by texts.
const MAY_HAVE: [&str; 3] = ["run", "copy", "add"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    /// What ends it, and what a file made of it is called.
    pub(super) name: String,
    /// Whether variables are put in: not if its name is quoted.
    pub(super) is_expanded: bool,
    /// `<<-`: tabs at the beginning of its lines are no part of it.
    pub(super) strips_tabs: bool,
    pub(super) text: String,
}

impl Heredoc {
    /// Its text without the tabs that are no part of it.
    pub(super) fn content(&self) -> String {
        if !self.strips_tabs {
            return self.text.clone();
        }
        self.text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The texts that follow a line, in order and still empty.
pub(super) fn begun_in(line: &str) -> Vec<Heredoc> {
    let (mut keyword, mut rest) = words::first(line);
    if keyword.eq_ignore_ascii_case("onbuild") {
        (keyword, rest) = words::first(rest);
    }
    let may_have = MAY_HAVE.iter().any(|name| keyword.eq_ignore_ascii_case(name));
    if !may_have || !rest.contains("<<") || rest.trim_start().starts_with('[') {
        return Vec::new();
    }
    shell_words(rest).iter().filter_map(|word| parse(word)).collect()
}

/// What a word says, if it begins a text: digits, `<<`, a dash, a name.
pub(super) fn parse(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strips_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let quoted = rest.trim_start();
    let is_quoted = quoted.contains(['\'', '"']);
    let name: String = quoted.chars().filter(|c| !matches!(c, '\'' | '"' | '\\')).collect();
    // In a shell these end a name: `$((1 << 2))` begins no text.
    let is_name = !name.is_empty() && !name.contains(['<', '>', '(', ')', '|', ';', '&', '$', '`']);
    is_name.then(|| Heredoc { name, is_expanded: !is_quoted, strips_tabs, text: String::new() })
}

/// The words of a shell's line with their quotes; space after `<<` is no end of a word.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None => {}
        }
        word.push(c);
        let is_escaped = c == '\\' && quote != Some('\'');
        if is_escaped {
            word.extend(chars.next());
        }
        if quote.is_none() && !is_escaped && (word.ends_with("<<") || word.ends_with("<<-")) {
            while chars.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        begun_in(line).into_iter().map(|heredoc| heredoc.name).collect()
    }

    #[test]
    fn texts_begin_where_a_shell_would_begin_them() {
        for (line, expected) in [
            ("RUN <<EOF", &["EOF"][..]),
            ("run <<EOF cat > /x", &["EOF"]),
            ("RUN cat <<A 3<<-'B' && cat << C", &["A", "B", "C"]),
            ("COPY <<\"a.txt\" <<b /x/", &["a.txt", "b"]),
            ("ADD --chown=1 <<EOF /x", &["EOF"]),
            ("ONBUILD RUN <<EOF", &["EOF"]),
            ("RUN echo '<<EOF' \"<<EOF\" \\<<EOF", &[]),
            ("RUN cat <<<word", &[]),
            ("RUN echo $((1 << 2)) $((1<<2))", &[]),
            ("RUN [\"cat\", \"<<EOF\"]", &[]),
            ("CMD cat <<EOF", &[]),
            ("RUN x<<EOF", &[]),
            ("RUN <<", &[]),
        ] {
            assert_eq!(names(line), expected, "{line}");
        }
    }

    #[test]
    fn a_quoted_name_keeps_variables_out_and_a_dash_takes_tabs_off() {
        let heredoc = parse("<<-EOF").unwrap();
        assert!(heredoc.strips_tabs && heredoc.is_expanded);
        let content = Heredoc { text: "\t\ta\n b\n\t\n".to_owned(), ..heredoc }.content();
        assert_eq!(content, "a\n b\n\n");
        assert!(!parse("<<\"EOF\"").unwrap().is_expanded);
        assert!(!parse("<<'EOF'").unwrap().is_expanded);
    }
}
