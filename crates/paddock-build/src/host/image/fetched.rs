//! What steps need that is found out before the first of them: what of the context they copy, and what they fetch.

use std::collections::BTreeMap;

use paddock_runtime::{Access, Network};

use super::containers::{Over, folder};
use super::making::{Job, Making};
use super::source::Context;
use crate::dockerfile::{Action, CopyStep, Plan, PlannedMount, PlannedSource};
use crate::host::BuildFailure;
use crate::image_step::task::{self, Fetch, Look, Selection, Task};

/// By stage, step, and place among what the step needs.
type Place = (usize, usize, usize);

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Digests of what is copied or mounted of the context, or why it is nothing.
    pub(super) of_context: BTreeMap<Place, Result<String, String>>,
    /// What was fetched: a folder of the volume, and the digest of what is in it.
    pub(super) fetched: BTreeMap<(usize, usize), (String, String)>,
}

/// What a copy takes from the context, if it takes something.
pub(super) fn of_copy(copy: &CopyStep) -> Option<Selection> {
    let paths = copy.sources.iter().filter_map(|source| match source {
        PlannedSource::Path(path) => Some(path.clone()),
        _ => None,
    });
    let paths: Vec<_> = paths.collect();
    (!paths.is_empty()).then(|| Selection { paths, excludes: copy.excludes.clone() })
}

/// What a mount shows.
pub(super) fn of_mount(source: &str) -> Selection {
    Selection { paths: vec![source.to_owned()], excludes: Vec::new() }
}

impl Making<'_> {
    pub(super) async fn find_out(&mut self, plan: &Plan, context: &Context) -> Result<Found, BuildFailure> {
        let mut found = Found::default();
        let wanted = wanted(plan);
        if !wanted.is_empty() {
            let selections = wanted.values().cloned().collect();
            let looked = self.digests(&context.place, &context.ignore, selections).await?;
            found.of_context = wanted.into_keys().zip(looked).collect();
        }
        for (stage, index, copy, line) in copies(plan) {
            let urls = copy.sources.iter().filter_map(|source| match source {
                PlannedSource::Url(url) => Some(url.clone()),
                _ => None,
            });
            let urls: Vec<_> = urls.collect();
            if urls.is_empty() {
                continue;
            }
            let place = self.fetch(urls, copy.checksum.clone(), line).await?;
            let everything = Selection { paths: vec![String::new()], excludes: Vec::new() };
            let digest = self.digests(&place, "", vec![everything]).await?.pop();
            let digest = digest.and_then(Result::ok);
            let digest = digest.ok_or_else(|| BuildFailure::platform("what was fetched is not there"))?;
            found.fetched.insert((stage, index), (place, digest));
        }
        Ok(found)
    }

    async fn digests(
        &mut self,
        place: &str,
        ignore: &str,
        selections: Vec<Selection>,
    ) -> Result<Vec<Result<String, String>>, BuildFailure> {
        let count = selections.len();
        let job = Job {
            over: Over::Nothing,
            task: Task::Look(Look { ignore: ignore.to_owned(), selections }),
            mounts: vec![folder(self.request, place, task::CONTEXT, Access::ReadOnly)],
            network: Network::None,
        };
        let result = self.look(job, "").await?;
        if result.looked.len() != count {
            return Err(BuildFailure::platform(
                "a look at the context has other results than were asked for",
            ));
        }
        Ok(result.looked)
    }

    /// Fetches into a folder of the volume, by the stack's own tools and the rules of the tenants' network.
    async fn fetch(
        &mut self,
        urls: Vec<String>,
        checksum: Option<String>,
        line: usize,
    ) -> Result<String, BuildFailure> {
        let place = format!("fetched-{}", self.next_number());
        let env = self.builder.config.site_env.clone();
        let job = Job {
            over: Over::Stack(self.builder.config.host_stack.clone()),
            task: Task::Fetch(Fetch { urls, checksum, env }),
            mounts: vec![folder(self.request, &place, task::BUNDLE, Access::ReadWrite)],
            network: Network::Outbound,
        };
        self.look(job, &format!("line {line}: ADD ")).await?;
        Ok(place)
    }
}

fn copies(plan: &Plan) -> Vec<(usize, usize, &CopyStep, usize)> {
    let mut copies = Vec::new();
    for stage in &plan.stages {
        for (index, step) in stage.steps.iter().enumerate() {
            if let Action::Copy(copy) = &step.action {
                copies.push((stage.number, index, copy, step.line));
            }
        }
    }
    copies
}

/// What of the context is looked at.
fn wanted(plan: &Plan) -> BTreeMap<Place, Selection> {
    let mut wanted = BTreeMap::new();
    for stage in &plan.stages {
        for (index, step) in stage.steps.iter().enumerate() {
            let here = |place| (stage.number, index, place);
            match &step.action {
                Action::Copy(copy) if copy.from.is_none() => {
                    wanted.extend(of_copy(copy).map(|selection| (here(0), selection)));
                }
                Action::Run(run) => {
                    for (place, mount) in run.mounts.iter().enumerate() {
                        if let PlannedMount::Bind { from: None, source, .. } = mount {
                            wanted.insert(here(place), of_mount(source));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    wanted
}
