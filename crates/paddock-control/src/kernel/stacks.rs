//! Stacks: those that are rules (`host`, `container`), those that the operator added to this server, and the names that
//! people's files carry.
//!
//! Source: `docs/contract/platform-behaviour.md`, section 10.

use paddock_core::UnixMicros;
use paddock_core::stack::{Stack, StackBase, StackSupport, StackVersion};
use paddock_store::{AddedStack, Build, Tx};

use crate::kernel::Kernel;
use crate::kernel::fixed::{fixed_id, fixed_since};
use crate::{Error, Result};

/// Heroku's for Cloud Native Buildpacks.
pub(crate) const CNB: &str = "cnb";

/// A stack of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackRow {
    pub stack: Stack,
    /// For how long it is looked after.
    pub support: StackSupport,
    /// When it was introduced.
    pub since: UnixMicros,
    pub updated_at: UnixMicros,
}

impl StackRow {
    /// One that is a rule.
    fn of_rule(stack: Stack) -> Self {
        Self { stack, support: StackSupport::default(), since: fixed_since(), updated_at: fixed_since() }
    }

    /// Whether this is its name or its id.
    pub(crate) fn is(&self, identity: &str) -> bool {
        identity == self.stack.as_str() || identity == fixed_id("stack", self.stack.as_str()).to_string()
    }
}

impl From<AddedStack> for StackRow {
    fn from(added: AddedStack) -> Self {
        Self {
            support: added.support(),
            stack: added.name,
            since: added.created_at,
            updated_at: added.updated_at,
        }
    }
}

/// What somebody's word for a stack stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedStack {
    pub(crate) stack: Stack,
    /// What the app's log is told of it.
    pub(crate) notice: Option<String>,
}

impl NamedStack {
    /// What an app has of which nobody said anything.
    pub(crate) fn usual() -> Self {
        Self { stack: Stack::DEFAULT, notice: None }
    }
}

impl Kernel {
    /// Every stack of this server.
    pub(crate) async fn stacks(&self) -> Result<Vec<StackRow>> {
        let rules = [Stack::HOST, Stack::CONTAINER].map(StackRow::of_rule);
        let added = self.store.added_stacks().await?.into_iter().map(StackRow::from);
        Ok(rules.into_iter().chain(added).collect())
    }

    /// The stack with this name or id; for one of Heroku's that this server has not, `host`.
    ///
    /// # Errors
    /// `invalid_params` for another, and for one on which nothing is built any more.
    pub(crate) async fn named_stack(&self, identity: &str) -> Result<NamedStack> {
        let all = self.stacks().await?;
        if let Some(row) = all.iter().find(|row| row.is(identity)) {
            if row.support.has_ended(self.now()) {
                return Err(Error::invalid(format!(
                    "{} Available: {}.",
                    ended(&row.stack, row.support),
                    self.names(&all)
                )));
            }
            return Ok(NamedStack { stack: row.stack.clone(), notice: None });
        }
        if Stack::from_name(identity).is_some_and(|stack| stack.is_of_heroku()) {
            let host = Stack::HOST;
            let notice = format!("Stack {identity} is not on this server: builds run on {}", host.as_str());
            return Ok(NamedStack { stack: host, notice: Some(notice) });
        }
        let why = match identity {
            CNB => "is not built: this server has no Cloud Native Buildpacks.",
            _ => "is not available on this server.",
        };
        Err(Error::invalid(format!("Stack {identity} {why} Available: {}.", self.names(&all))))
    }

    /// What can be chosen, for a sentence.
    fn names(&self, all: &[StackRow]) -> String {
        let now = self.now();
        let chosen = all.iter().filter(|row| !row.support.has_ended(now));
        chosen.map(|row| row.stack.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The version of a stack that something new is laid upon.
    ///
    /// # Errors
    /// `invalid_params` when nothing is built on it any more, or it is not there any more.
    pub(crate) async fn version_to_build_on(&self, tx: &mut Tx, stack: &Stack) -> Result<String> {
        if stack.is_rule() {
            return Ok(self.config.present(stack).version);
        }
        let gone = || {
            Error::invalid(format!(
                "The stack {} is not on this server any more: nothing can be built on it. {CHOOSE}",
                stack.as_str()
            ))
        };
        let row = tx.added_stack(stack).await?.ok_or_else(gone)?;
        if row.support().has_ended(self.now()) {
            return Err(Error::invalid(format!("{} {CHOOSE}", ended(stack, row.support()))));
        }
        Ok(tx.newest_version(stack).await?.ok_or_else(gone)?.version)
    }

    /// What the slug of a build is laid upon.
    pub(crate) fn version_of_build(&self, build: &Build) -> StackVersion {
        match build.stack.is_rule() {
            true => self.config.present(&build.stack),
            false => StackVersion { stack: build.stack.clone(), version: build.stack_version.clone() },
        }
    }

    /// What a build itself is laid upon.
    ///
    /// # Errors
    /// `not_found` when that version of its stack is not there any more.
    pub(crate) async fn base_of_build(&self, build: &Build) -> Result<StackBase> {
        let StackVersion { stack, version } = self.version_of_build(build);
        Ok(self.store.base_of_builds(&stack, &version).await?)
    }

    /// What is said to who builds on a stack that has an end.
    pub(crate) async fn warning_of_stack(&self, stack: &Stack) -> Result<Option<String>> {
        if stack.is_rule() {
            return Ok(None);
        }
        let row = self.store.added_stacks().await?.into_iter().find(|row| row.name == *stack);
        let Some(end) = row.and_then(|row| row.ends_at) else { return Ok(None) };
        let (name, day) = (stack.as_str(), day(end));
        Ok(Some(format!(
            "The stack {name} is deprecated: from {day} on nothing is built on it. What runs goes on. {CHOOSE}"
        )))
    }
}

const CHOOSE: &str = "Choose another with: heroku stack:set STACK (heroku apps:stacks lists them)";

fn ended(stack: &Stack, support: StackSupport) -> String {
    let since = support.ends_at.map(day).unwrap_or_default();
    format!("Support of the stack {} ended on {since}: nothing is built on it any more.", stack.as_str())
}

/// `2027-04-30`.
pub(crate) fn day(at: UnixMicros) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}
