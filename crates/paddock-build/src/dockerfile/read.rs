//! One line of a Dockerfile, read as an instruction.

use super::DockerfileError;
use super::heredoc;
use super::instruction::{Copy, CopySource, From, Instruction, Kind, Run, RunNetwork, Words};
use super::lines::Line;
use super::words::{self, Flag, Json};

/// What is wrong: a sentence without its full stop.
type Result<T> = std::result::Result<T, String>;

pub(super) fn instruction(line: &Line, escape: char) -> std::result::Result<Instruction, DockerfileError> {
    let kind = kind(line, &line.text, escape, false);
    let kind = kind.map_err(|problem| DockerfileError::at(line.number, problem))?;
    Ok(Instruction { line: line.number, text: line.text.trim().to_owned(), kind })
}

fn kind(line: &Line, text: &str, escape: char, in_onbuild: bool) -> Result<Kind> {
    let (keyword, rest) = words::first(text);
    let keyword = keyword.to_ascii_uppercase();
    let (flags, rest) = words::flags(rest, escape);
    let mut flags = Flags { keyword: &keyword, flags };
    let kind = match keyword.as_str() {
        "ARG" => Kind::Arg(arg(rest, escape)?),
        "FROM" => Kind::From(from(rest, &mut flags)?),
        "RUN" => Kind::Run(run(line, rest, &mut flags)?),
        "COPY" | "ADD" => Kind::Copy(copy(line, rest, &mut flags)?),
        "ENV" => Kind::Env(pairs("ENV", rest, escape)?),
        "LABEL" => {
            pairs("LABEL", rest, escape)?;
            Kind::LeftOut
        }
        "WORKDIR" => Kind::Workdir(one("WORKDIR", "a folder", rest)?),
        "USER" => Kind::User(one("USER", "a name or a number", rest)?),
        "SHELL" => Kind::Shell(shell(rest)?),
        "ENTRYPOINT" => Kind::Entrypoint(command("ENTRYPOINT", rest)?),
        "CMD" => Kind::Cmd(command("CMD", rest)?),
        "EXPOSE" => Kind::Expose(one("EXPOSE", "a port", rest)?.split_whitespace().map(Into::into).collect()),
        "HEALTHCHECK" => {
            flags.flags.clear();
            one("HEALTHCHECK", "CMD or NONE", rest)?;
            Kind::LeftOut
        }
        "VOLUME" | "STOPSIGNAL" | "MAINTAINER" => {
            one(&keyword, "a word", rest)?;
            Kind::LeftOut
        }
        "ONBUILD" if in_onbuild => return Err("ONBUILD cannot stand in another ONBUILD".to_owned()),
        "ONBUILD" => {
            let kind = match kind(line, rest, escape, true)? {
                Kind::From(_) => return Err("FROM cannot stand in an ONBUILD".to_owned()),
                kind => kind,
            };
            let inner = Instruction { line: line.number, text: rest.to_owned(), kind };
            Kind::Onbuild(Box::new(inner))
        }
        _ => return Err(format!("{} is no instruction of a Dockerfile", shortened(&keyword))),
    };
    flags.end()?;
    Ok(kind)
}

/// A word of a file in a sentence.
fn shortened(word: &str) -> String {
    let mut shown: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
    if word.chars().count() > 40 {
        shown.push('…');
    }
    shown
}

struct Flags<'a> {
    keyword: &'a str,
    flags: Vec<Flag>,
}

impl Flags<'_> {
    fn all(&mut self, name: &str) -> Result<Vec<String>> {
        let (found, rest) =
            std::mem::take(&mut self.flags).into_iter().partition(|flag: &Flag| flag.name == name);
        self.flags = rest;
        let found: Vec<Flag> = found;
        let values = found.into_iter().map(|flag| flag.value.filter(|value| !value.is_empty()));
        values.collect::<Option<_>>().ok_or_else(|| format!("--{name} needs a value: --{name}=…"))
    }

    fn value(&mut self, name: &str) -> Result<Option<String>> {
        let mut values = self.all(name)?;
        if values.len() > 1 {
            return Err(format!("{} takes --{name} once", self.keyword));
        }
        Ok(values.pop())
    }

    fn switch(&mut self, name: &str) -> Result<Option<bool>> {
        let Some(at) = self.flags.iter().position(|flag| flag.name == name) else { return Ok(None) };
        match self.flags.remove(at).value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("--{name} takes true or false")),
        }
    }

    fn end(self) -> Result<()> {
        match self.flags.first() {
            None => Ok(()),
            Some(flag) => Err(format!("{} knows no flag --{}", self.keyword, shortened(&flag.name))),
        }
    }
}

fn one(keyword: &str, what: &str, rest: &str) -> Result<String> {
    if rest.is_empty() { Err(format!("{keyword} needs {what}")) } else { Ok(rest.to_owned()) }
}

fn arg(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>> {
    let named = words::quoted(&one("ARG", "a name", rest)?, escape).into_iter().map(|word| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if name.is_empty() { Err("ARG needs a name before the =".to_owned()) } else { Ok((name, value)) }
    });
    named.collect()
}

fn from(rest: &str, flags: &mut Flags<'_>) -> Result<From> {
    let platform = flags.value("platform")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let name = match words[..] {
        [_] => None,
        [_, r#as, name] if r#as.eq_ignore_ascii_case("as") => Some(stage_name(name)?),
        _ => return Err("FROM needs an image, and after it nothing or AS and a name".to_owned()),
    };
    Ok(From { base: words[0].to_owned(), platform, name })
}

fn stage_name(name: &str) -> Result<String> {
    let lower = name.to_ascii_lowercase();
    let is_name = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if is_name {
        return Ok(lower);
    }
    let name = shortened(name);
    Err(format!(
        "{name} cannot name a stage: it begins with a letter and has letters, digits, -, _ and . alone"
    ))
}

fn run(line: &Line, rest: &str, flags: &mut Flags<'_>) -> Result<Run> {
    let network = match flags.value("network")?.as_deref() {
        None | Some("default") => RunNetwork::Default,
        Some("none") => RunNetwork::None,
        Some("host") => {
            return Err("--network=host is not built: a build has a network of its own".to_owned());
        }
        Some(_) => return Err("--network takes default or none".to_owned()),
    };
    match flags.value("security")?.as_deref() {
        None | Some("sandbox") => {}
        Some(_) => return Err("--security takes sandbox alone: no build has more rights".to_owned()),
    }
    let mounts = flags.all("mount")?;
    let words = command("RUN", &one("RUN", "a command", rest)?)?;
    if words == Words::Exec(Vec::new()) {
        return Err("RUN needs a command".to_owned());
    }
    Ok(Run { words, mounts, network, texts: line.heredocs.clone() })
}

fn command(keyword: &str, rest: &str) -> Result<Words> {
    match words::json(rest) {
        Json::Words(words) => Ok(Words::Exec(words)),
        Json::NotOnlyStrings => Err(format!("the list of {keyword} may hold strings alone")),
        Json::None => Ok(Words::Line(rest.to_owned())),
    }
}

fn shell(rest: &str) -> Result<Vec<String>> {
    match words::json(rest) {
        Json::Words(words) if !words.is_empty() => Ok(words),
        _ => Err("SHELL needs a list of strings: SHELL [\"/bin/bash\", \"-c\"]".to_owned()),
    }
}

/// `NAME=VALUE …`, or one name and the rest of the line.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>> {
    let all = words::quoted(&one(keyword, "a name and a value", rest)?, escape);
    if !all.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = words::first(rest);
        if value.is_empty() {
            return Err(format!("{keyword} needs a value for {}: {keyword} NAME=VALUE", shortened(name)));
        }
        return Ok(vec![(name.to_owned(), value.to_owned())]);
    }
    let pairs = all.into_iter().map(|word| match word.split_once('=') {
        Some(("", _)) => Err(format!("{keyword} needs a name before the =")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("{keyword} takes NAME=VALUE, and {} has no =", shortened(&word))),
    });
    pairs.collect()
}

fn copy(line: &Line, rest: &str, flags: &mut Flags<'_>) -> Result<Copy> {
    let is_add = flags.keyword == "ADD";
    let mut copy = Copy { is_add, ..Copy::default() };
    copy.owner = flags.value("chown")?;
    copy.mode = flags.value("chmod")?;
    copy.excludes = flags.all("exclude")?;
    // What it changes is how a cache may be used.
    flags.switch("link")?;
    if is_add {
        copy.checksum = flags.value("checksum")?;
        copy.unpack = flags.switch("unpack")?;
        flags.switch("keep-git-dir")?;
    } else {
        copy.from = flags.value("from")?;
        if flags.switch("parents")? == Some(true) {
            return Err("COPY --parents is not built: copy each folder to its place".to_owned());
        }
    }
    let mut words = match words::json(rest) {
        Json::Words(words) => words,
        Json::NotOnlyStrings => return Err(format!("the list of {} may hold strings alone", copy.keyword())),
        Json::None => rest.split_whitespace().map(Into::into).collect(),
    };
    let to = words.pop().filter(|_| !words.is_empty());
    let to = to.ok_or_else(|| format!("{} needs what to copy, and where to", copy.keyword()))?;
    if !line.heredocs.is_empty() && heredoc::parse(&to).is_some() {
        return Err(format!("{} cannot copy to a text that follows it", copy.keyword()));
    }
    let mut texts = line.heredocs.iter();
    for word in words {
        let text = if heredoc::parse(&word).is_some() { texts.next() } else { None };
        copy.sources.push(match text {
            Some(text) => CopySource::Text {
                name: text.name.clone(),
                text: text.content(),
                is_expanded: text.is_expanded,
            },
            None => CopySource::Path(word),
        });
    }
    copy.to = to;
    Ok(copy)
}
