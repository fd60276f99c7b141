//! The files of one library or program, and which of them names which: in its imports and in the paths of its code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tokens::{Source, Token};

/// A module by the names that lead to it; the root has none.
type Place = Vec<String>;

#[derive(Default)]
struct Module {
    file: usize,
    /// The names that its `use` declarations give, and to what.
    uses: Vec<(String, Vec<String>)>,
}

/// Something that is named in a module.
struct Named {
    file: usize,
    place: Place,
    path: Vec<String>,
}

/// The modules below one root, tests left out.
#[derive(Default)]
pub(crate) struct Modules {
    files: Vec<(String, Place)>,
    modules: BTreeMap<Place, Module>,
    named: Vec<Named>,
}

/// Gives the text of a file by its path in the source folder.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Modules {
    /// Reads a root and every file that a `mod` leads to.
    pub(crate) fn read(root: &str, read: Read<'_>) -> Result<Modules, String> {
        let mut modules = Modules::default();
        let folder = Path::new(root).parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let folder = if folder.is_empty() { folder } else { format!("{folder}/") };
        modules.read_file(root, Place::new(), &folder, read)?;
        Ok(modules)
    }

    /// The numbers of all files; the root's is 0.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.files.len()
    }

    pub(crate) fn file(&self, number: usize) -> &str {
        &self.files[number].0
    }

    /// Whether the module of one file holds that of the other.
    pub(crate) fn holds(&self, outer: usize, inner: usize) -> bool {
        self.files[inner].1.starts_with(&self.files[outer].1)
    }

    /// Which file names something in which.
    pub(crate) fn arrows(&self) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut arrows: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for Named { file, place, path } in &self.named {
            if let Some(to) = self.resolve(place, path, 0).filter(|to| to != file) {
                arrows.entry(*file).or_default().insert(to);
            }
        }
        arrows
    }

    /// The file in which a path's last name is defined, followed through what other modules hand on.
    fn resolve(&self, place: &Place, path: &[String], depth: usize) -> Option<usize> {
        // A name may be handed on in a ring of globs and aliases; nothing real is this deep.
        if depth > 8 {
            return None;
        }
        let mut current = place.clone();
        let mut names = path.iter();
        match path.first()?.as_str() {
            "crate" => {
                current.clear();
                names.next();
            }
            "self" | "super" => {}
            // Another crate, a type, or what this module imports or holds.
            first => {
                let is_held = self.modules.contains_key(&below(place, first));
                let is_imported = || self.modules.get(place)?.uses.iter().find(|(name, _)| name == first);
                if !is_held {
                    let (_, import) = is_imported()?;
                    let whole: Vec<String> = import.iter().chain(&path[1..]).cloned().collect();
                    return (import.first()? != first).then(|| self.resolve(place, &whole, depth + 1))?;
                }
            }
        }
        for (at, name) in names.clone().enumerate() {
            match name.as_str() {
                "self" => continue,
                "super" => {
                    current.pop();
                    continue;
                }
                _ => {}
            }
            let child = below(&current, name);
            if self.modules.contains_key(&child) {
                current = child;
                continue;
            }
            let module = self.modules.get(&current)?;
            if let Some((_, import)) = module.uses.iter().find(|(given, _)| given == name) {
                let rest = names.skip(at + 1);
                let whole: Vec<String> = import.iter().chain(rest).cloned().collect();
                return self.resolve(&current, &whole, depth + 1);
            }
            break;
        }
        self.modules.get(&current).map(|module| module.file)
    }

    fn read_file(&mut self, file: &str, place: Place, folder: &str, read: Read<'_>) -> Result<(), String> {
        let text = read(file).ok_or_else(|| format!("could not read {file}"))?;
        let source = Source::parse(&text).map_err(|error| format!("{file} {error}"))?;
        let tokens: Vec<Token> = source.tokens.into_iter().filter(|token| !token.in_test).collect();
        self.files.push((file.to_owned(), place.clone()));
        let mut children = Vec::new();
        self.read_module(self.files.len() - 1, place, &tokens, &mut children);
        let root = self.files.last().map_or(0, |(_, place)| place.len());
        for child in children {
            let stem = format!("{folder}{}", child[root..].join("/"));
            let (beside, within) = (format!("{stem}.rs"), format!("{stem}/mod.rs"));
            let found = if read(&within).is_some() { within } else { beside };
            self.read_file(&found, child, &format!("{stem}/"), read)?;
        }
        Ok(())
    }

    /// Notes what a module names, and the modules that it declares and does not contain.
    fn read_module(&mut self, file: usize, place: Place, tokens: &[Token], children: &mut Vec<Place>) {
        self.modules.insert(place.clone(), Module { file, uses: Vec::new() });
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let rest = &tokens[at..];
            match (token.word(), rest.get(1).and_then(Token::word)) {
                (Some("mod"), Some(name)) if rest.get(2).is_some_and(|sign| sign.is(";")) => {
                    children.push(below(&place, name));
                    at += 3;
                }
                (Some("mod"), Some(name)) if rest.get(2).is_some_and(|sign| sign.is("{")) => {
                    let length = group_length(&rest[2..]);
                    let inside = &rest[3..1 + length];
                    self.read_module(file, below(&place, name), inside, children);
                    at += 2 + length;
                }
                // Not `impl Trait + use<'a>`.
                (Some("use"), _) if !rest.get(1).is_some_and(|sign| sign.is("<")) => {
                    let is_handed_on = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1].is(")"));
                    at += 1 + self.read_use(file, &place, &rest[1..], is_handed_on);
                }
                (Some(_), _) if rest.get(1).is_some_and(|sign| sign.is("::")) => {
                    let path = path_at(rest);
                    // Not `$crate`, nor the rest of a longer path.
                    let begins = at == 0 || !(tokens[at - 1].is("$") || tokens[at - 1].is("::"));
                    at += 2 * path.len() - 1;
                    if begins {
                        self.named.push(Named { file, place: place.clone(), path });
                    }
                }
                _ => at += 1,
            }
        }
    }

    /// Takes in a `use` declaration and returns how many tokens it has after the word.
    fn read_use(&mut self, file: usize, place: &Place, tokens: &[Token], is_handed_on: bool) -> usize {
        let end = tokens.iter().position(|token| token.is(";")).unwrap_or(tokens.len());
        let mut uses = Vec::new();
        use_tree(&tokens[..end], &[], &mut uses);
        for (name, path) in uses {
            // A door to what lies within: who goes through it is said to go there.
            let is_door = is_handed_on && !matches!(path[0].as_str(), "crate" | "super");
            if !is_door {
                self.named.push(Named { file, place: place.clone(), path: path.clone() });
            }
            if let Some(module) = self.modules.get_mut(place) {
                module.uses.push((name, path));
            }
        }
        end
    }
}

fn below(place: &Place, name: &str) -> Place {
    place.iter().cloned().chain([name.to_owned()]).collect()
}

/// The names at the front that `::` joins.
fn path_at(tokens: &[Token]) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(name) = tokens.get(at).and_then(Token::word) {
        path.push(name.to_owned());
        if !tokens.get(at + 1).is_some_and(|sign| sign.is("::")) {
            break;
        }
        at += 2;
    }
    path
}

/// How many tokens the group has that begins at the front, its two signs included.
fn group_length(tokens: &[Token]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.is("{") {
            depth += 1;
        } else if token.is("}") {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The names that a tree of imports gives, each with its whole path.
fn use_tree(tokens: &[Token], before: &[String], uses: &mut Vec<(String, Vec<String>)>) {
    let own = path_at(tokens);
    let path: Vec<String> = before.iter().chain(&own).cloned().collect();
    let rest = tokens.get((2 * own.len()).saturating_sub(1)..).unwrap_or_default();
    let rest = if rest.first().is_some_and(|sign| sign.is("::")) { &rest[1..] } else { rest };
    match rest.first() {
        Some(sign) if sign.is("{") => {
            let inside = &rest[1..group_length(rest) - 1];
            for tree in split_at_commas(inside) {
                use_tree(tree, &path, uses);
            }
        }
        Some(sign) if sign.is("*") => uses.push(("*".to_owned(), path)),
        alias => {
            let mut path = path;
            if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                path.pop();
            }
            let alias = alias.filter(|word| word.is("as")).and(rest.get(1));
            let name = alias.map(|alias| alias.text.clone()).or_else(|| path.last().cloned());
            uses.extend(name.map(|name| (name, path)));
        }
    }
}

fn split_at_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0usize;
    let trees = tokens.split(|token| {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is(",")
    });
    trees.filter(|tree| !tree.is_empty()).collect()
}
