//! What a push asks for and what becomes of each of its refs.
//! Rules and texts: `docs/contract/buildpacks.md`, sections 1.2 and 8.

use serde::{Deserialize, Serialize};

/// The branches that deploy.
pub const DEPLOY_BRANCHES: [&str; 2] = ["refs/heads/main", "refs/heads/master"];

/// What git shows behind `! [remote rejected]`, as on Heroku.
pub const DECLINED: &str = "pre-receive hook declined";

/// One ref that a push wants to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefCommand {
    /// The object id that the client saw; all zeros for a new ref.
    pub old: String,
    /// The object id that it wants; all zeros to delete.
    pub new: String,
    /// The full name, e.g. `refs/heads/main`.
    #[serde(rename = "ref")]
    pub name: String,
}

impl RefCommand {
    /// Whether the ref is to be removed.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.new.bytes().all(|digit| digit == b'0')
    }

    fn deploys(&self) -> bool {
        DEPLOY_BRANCHES.contains(&self.name.as_str())
    }

    fn is_below_a_deploy_branch(&self) -> bool {
        DEPLOY_BRANCHES
            .iter()
            .any(|branch| self.name.strip_prefix(branch).is_some_and(|rest| rest.starts_with('/')))
    }

    fn is_well_formed(&self) -> bool {
        let id = |id: &str| {
            matches!(id.len(), 40 | 64)
                && id.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        id(&self.old)
            && id(&self.new)
            && self.name.starts_with("refs/")
            && !self.name.contains(['\n', '\0', ' '])
    }
}

/// What becomes of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushVerdict {
    /// Done: the server has moved the ref itself.
    Done,
    /// Done, and the ref names this commit: what was pushed is a tag of it.
    DoneAs(String),
    /// Git moves the ref.
    LetGit,
    /// Refused; git shows the reason behind `! [remote rejected]`.
    Refuse(String),
}

/// The verdict on one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    #[serde(rename = "ref")]
    pub name: String,
    /// What becomes of it.
    pub verdict: PushVerdict,
}

/// What a push comes to before anything is built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushPlan {
    /// The command that deploys, when there is one. Its result is the caller's to add.
    pub deploy: Option<RefCommand>,
    /// The results of all other commands.
    pub others: Vec<PushResult>,
    /// Lines to show the pusher first, without newlines.
    pub notices: Vec<String>,
}

/// Sorts the commands of a push: one deploys, other refs are stored, the rest is refused.
#[must_use]
pub fn plan(commands: &[RefCommand]) -> PushPlan {
    let mut plan = PushPlan::default();
    let mut stored = false;
    for command in commands {
        let verdict = if !command.is_well_formed() {
            PushVerdict::Refuse("malformed command".into())
        } else if command.is_below_a_deploy_branch() {
            // Git keeps branches as paths: with this one there could never be a deploy branch.
            PushVerdict::Refuse("a branch cannot be named below main or master".into())
        } else if !command.deploys() {
            stored = true;
            PushVerdict::LetGit
        } else if command.deletes() {
            let branch = command.name.trim_start_matches("refs/heads/");
            plan.notices.push(format!("!\tPush rejected, cannot delete {branch} branch"));
            PushVerdict::Refuse(DECLINED.into())
        } else if plan.deploy.is_some() {
            plan.notices.push(format!(
                "!\tPush rejected, main and master cannot be deployed by one push: push {} by itself",
                command.name.trim_start_matches("refs/heads/")
            ));
            PushVerdict::Refuse(DECLINED.into())
        } else {
            plan.deploy = Some(command.clone());
            continue;
        };
        plan.others.push(PushResult { name: command.name.clone(), verdict });
    }
    if stored && plan.deploy.is_none() {
        plan.notices.push("Pushed to branch other than [main, master], skipping build.".into());
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn command(name: &str, new: &str) -> RefCommand {
        RefCommand { old: ZERO.into(), new: new.into(), name: name.into() }
    }

    #[test]
    fn one_branch_deploys_and_other_refs_are_stored() {
        let plan = plan(&[command("refs/heads/main", ONE), command("refs/tags/v1", ONE)]);
        assert_eq!(plan.deploy, Some(command("refs/heads/main", ONE)));
        assert_eq!(plan.others, [PushResult { name: "refs/tags/v1".into(), verdict: PushVerdict::LetGit }]);
        assert_eq!(plan.notices, [""; 0]);
    }

    #[test]
    fn a_push_without_a_deploy_branch_says_so() {
        let plan = plan(&[command("refs/heads/topic", ONE), command("refs/heads/old", ZERO)]);
        assert_eq!(plan.deploy, None);
        assert_eq!(plan.others.len(), 2);
        assert_eq!(plan.notices, ["Pushed to branch other than [main, master], skipping build."]);
    }

    #[test]
    fn deleting_a_deploy_branch_is_refused() {
        let plan = plan(&[command("refs/heads/master", ZERO)]);
        assert_eq!(plan.notices, ["!\tPush rejected, cannot delete master branch"]);
        assert_eq!(plan.others[0].verdict, PushVerdict::Refuse(DECLINED.into()));
    }

    #[test]
    fn of_both_deploy_branches_the_first_is_built() {
        let plan = plan(&[command("refs/heads/master", ONE), command("refs/heads/main", ONE)]);
        assert_eq!(plan.deploy.unwrap().name, "refs/heads/master");
        assert_eq!(plan.others[0].verdict, PushVerdict::Refuse(DECLINED.into()));
        assert!(plan.notices[0].ends_with("push main by itself"));
    }

    #[test]
    fn a_branch_that_would_bar_the_deploy_branch_is_refused() {
        let plan = plan(&[command("refs/heads/main/x", ONE), command("refs/heads/mainly", ONE)]);
        assert!(matches!(plan.others[0].verdict, PushVerdict::Refuse(_)));
        assert_eq!(plan.others[1].verdict, PushVerdict::LetGit);
    }

    #[test]
    fn malformed_commands_are_refused() {
        for bad in [command("main", ONE), command("refs/heads/main", "--all"), command("refs/heads/a b", ONE)]
        {
            let plan = plan(&[bad]);
            assert_eq!(plan.deploy, None);
            assert!(matches!(plan.others[0].verdict, PushVerdict::Refuse(_)));
        }
    }
}
