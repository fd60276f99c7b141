//! The reference page of commands, made from the command line's own definition; a test keeps the committed page the same.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

const PAGE: &str = "../../docs/reference/commands.md";

const HEAD: &str = "# Commands of the server\n\n\
    Generated from the command line's own definition; do not edit. `cargo xtask docs --write` writes it anew.\n\n\
    Every command says the same with `--help`. Exit status: 0 when it did what it was asked, 1 when it did not and said why,\n\
    2 when it did not understand its arguments.\n";

fn page() -> String {
    let mut cli = crate::Cli::command();
    cli.build();
    let mut text = HEAD.to_owned();
    for command in visible(&cli) {
        describe(&mut text, command, "paddockd");
    }
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn describe(text: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n## {name}\n\n{}\n", sentence(&about));
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help").collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | |\n|---|---|\n");
        for arg in arguments {
            let _ = writeln!(text, "| `{}` | {} |", spelling(arg), meaning(arg));
        }
    }
    for command in visible(command) {
        describe(text, command, &name);
    }
}

fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let value = names.first().map_or_else(|| "VALUE".to_owned(), ToString::to_string);
    match arg.get_long() {
        None => value,
        Some(long) if matches!(arg.get_action(), ArgAction::SetTrue) => format!("--{long}"),
        Some(long) => format!("--{long} {value}"),
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut meaning = sentence(&help).replace('\n', " ").replace('|', "\\|");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue) {
        let _ = write!(meaning, " Default: `{}`.", defaults.join(" "));
    }
    if arg.is_required_set() {
        meaning.push_str(" Required.");
    }
    meaning
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() || text.ends_with(['.', ']', ':']) { text.to_owned() } else { format!("{text}.") }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "writing instead of comparing is the developer's choice")]
fn the_reference_page_says_what_the_commands_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var("PADDOCK_WRITE_REFERENCE").is_ok_and(|value| value == "1") {
        std::fs::write(&file, page()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(committed, page(), "run: cargo xtask docs --write");
}
