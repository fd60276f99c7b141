//! Every command of the documentation, as a reader types it: page by page, block by block, in one shell each.
//!
//! A block of the kind `sh` is run; `sh no-run: REASON` is not. A block of the kind `text` after it is what it prints, where a line
//! `...` stands for any lines. Ports and folders of the pages are exchanged for the test's own.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Cli, Outcome, Quickstart, Server, may_run, paddockd, run};

/// The port that the pages speak of.
const PORT: &str = "5080";
/// Stands before each block's output.
const MARK: &str = "@@block@@ ";

/// A block of commands and what they are said to print.
#[derive(Debug)]
struct Block {
    line: usize,
    commands: String,
    output: Option<String>,
}

/// A page's blocks that are run.
#[derive(Debug)]
struct Page {
    path: PathBuf,
    blocks: Vec<Block>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

impl Page {
    fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).unwrap();
        let mut blocks: Vec<Block> = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let Some(kind) = line.strip_prefix("```") else { continue };
            let body: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let body = body.join("\n") + "\n";
            match kind {
                "sh" => blocks.push(Block { line: index + 1, commands: body, output: None }),
                "text" => {
                    if let Some(block) = blocks.last_mut() {
                        block.output = Some(body);
                    }
                }
                _ => assert!(
                    kind.split_once(" no-run: ").is_some_and(|(_, reason)| reason.len() > 9),
                    "{}:{}: a block of the kind {kind:?} is not run, and does not say why",
                    path.display(),
                    index + 1
                ),
            }
        }
        Page { path: path.to_owned(), blocks }
    }

    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// Runs the blocks one after the other in one shell, and compares what they print.
    fn run(&self, reader: &Cli, folder: &Path, exchange: &[(String, String)]) {
        let mut script = String::new();
        for block in &self.blocks {
            script.push_str(&format!("echo '{MARK}{}'\n{}", block.line, block.commands));
        }
        for (page, test) in exchange {
            script = script.replace(page, test);
        }
        let file = reader.home().join("page.sh");
        fs::write(&file, script).unwrap();
        let mut shell = reader.script("bash", folder);
        // One stream, in the order in which a reader sees it.
        shell.args(["-c", "exec bash -euo pipefail \"$0\" 2>&1"]).arg(&file);
        for who in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
        }
        shell.env("PADDOCK", root());
        self.compare(&run(shell, b"", Duration::from_secs(600)), exchange);
    }

    fn compare(&self, outcome: &Outcome, exchange: &[(String, String)]) {
        let mut said: BTreeMap<usize, String> = BTreeMap::new();
        let mut at = 0;
        for line in outcome.stdout.lines() {
            if let Some(line) = line.strip_prefix(MARK) {
                at = line.parse().unwrap();
                continue;
            }
            *said.entry(at).or_default() += &format!("{line}\n");
        }
        let name = self.name();
        assert_eq!(
            outcome.status,
            0,
            "{name}:{at}: a command failed:\n{}",
            said.get(&at).map_or("", String::as_str)
        );
        for block in &self.blocks {
            let Some(wanted) = &block.output else { continue };
            let mut wanted = wanted.clone();
            for (page, test) in exchange {
                wanted = wanted.replace(page, test);
            }
            let said = said.get(&block.line).map_or("", String::as_str);
            assert!(
                matches(
                    &wanted.lines().collect::<Vec<_>>(),
                    &said.lines().map(str::trim_end).collect::<Vec<_>>()
                ),
                "{name}:{}: the page says that this prints\n{wanted}\nbut it prints\n{said}",
                block.line
            );
        }
    }
}

/// Whether lines are as wanted, where a wanted line `...` stands for any lines.
fn matches(wanted: &[&str], said: &[&str]) -> bool {
    match wanted.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skipped| matches(rest, &said[skipped..])),
        Some((first, rest)) => said.first().is_some_and(|line| line == first) && matches(rest, &said[1..]),
    }
}

/// Someone who has the official CLI, git, and nothing set up.
fn newcomer(environment: BTreeMap<String, String>) -> Cli {
    let reader = Cli::with_environment(environment);
    fs::create_dir(reader.home().join("work")).unwrap();
    reader
}

/// Where Rust and what it builds are: quickstart builds, in a home of its own.
fn toolchain() -> BTreeMap<String, String> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let or = |name: &str, folder: &str| {
        std::env::var(name).unwrap_or_else(|_| home.join(folder).display().to_string())
    };
    let mut found = BTreeMap::from([
        ("CARGO_HOME".to_owned(), or("CARGO_HOME", ".cargo")),
        ("RUSTUP_HOME".to_owned(), or("RUSTUP_HOME", ".rustup")),
    ]);
    found.extend(std::env::vars().filter(|(name, _)| name == "CARGO_TARGET_DIR"));
    found
}

#[test]
fn the_tutorial_leads_from_nothing_to_a_second_deploy() {
    if !may_run("the tutorial") {
        return;
    }
    let quickstart = Quickstart::new();
    let mut environment = toolchain();
    // Until the page has the reader point the CLI somewhere, it leads nowhere: never to the real Heroku.
    environment.insert("HEROKU_HOST".to_owned(), format!("http://localhost:{}", quickstart.port()));
    let reader = newcomer(environment);
    let exchange = [
        ("bin/quickstart".to_owned(), format!("bin/quickstart {}", quickstart.place().join(" "))),
        ("target/debug/paddockd".to_owned(), paddockd().display().to_string()),
        ("--data .paddock)".to_owned(), format!("--data {})", quickstart.data().display())),
        (format!(":{PORT}"), format!(":{}", quickstart.port())),
    ];
    Page::read(&root().join("docs/tutorial.md")).run(&reader, root(), &exchange);
}

/// How many tests share the how-tos, so that they run side by side.
const PARTS: usize = 3;

#[test]
fn each_how_to_does_what_it_says_first_part() {
    how_tos(0);
}

#[test]
fn each_how_to_does_what_it_says_second_part() {
    how_tos(1);
}

#[test]
fn each_how_to_does_what_it_says_third_part() {
    how_tos(2);
}

/// Every page whose place in the list falls to this part.
fn how_tos(part: usize) {
    if !may_run("the how-tos") {
        return;
    }
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("docs/how-to")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 5, "the how-tos were found");
    let mut server = Server::start();
    server.announce("a build could not be run");
    let mut environment = server.environment().clone();
    // Where the network has a certificate authority of its own, npm must know it beside the server's.
    environment.insert("npm_config_cafile".to_owned(), "/etc/ssl/certs/ca-certificates.crt".to_owned());
    for page in pages.iter().skip(part).step_by(PARTS) {
        let reader = newcomer(environment.clone());
        let exchange = [
            ("$PADDOCK/.paddock".to_owned(), server.data().display().to_string()),
            ("paddockd doctor".to_owned(), format!("{} doctor", paddockd().display())),
            ("paddockd storage".to_owned(), format!("{} storage", paddockd().display())),
            (format!(":{PORT}"), format!(":{}", server.port())),
        ];
        Page::read(page).run(&reader, &reader.home().join("work"), &exchange);
    }
}

#[test]
fn outputs_match_with_lines_left_out() {
    let (wanted, said) = (["...", "b", "..."], ["a", "b", "c"]);
    assert!(matches(&wanted, &said) && matches(&["a", "..."], &said) && matches(&["..."], &[]));
    assert!(!matches(&["b", "..."], &said) && !matches(&["...", "b"], &said) && !matches(&[], &said));
}
