//! A Dockerfile becomes steps or one sentence, whatever it holds; its steps stay within what a build may have, whoever says
//! what its arguments are. The input is a Dockerfile, a NUL and a target.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use paddock_build::dockerfile::{Action, Base, Dockerfile, DockerfileError, INSTRUCTIONS_MAX, PlannedSource};

fuzz_target!(|input: &[u8]| {
    let (text, target) = match input.iter().position(|byte| *byte == 0) {
        Some(end) => (&input[..end], std::str::from_utf8(&input[end + 1..]).ok()),
        None => (input, None),
    };
    let arguments = BTreeMap::from([("A".to_owned(), "a/$B".to_owned()), ("B".to_owned(), String::new())]);
    let read = match Dockerfile::read(text) {
        Ok(read) => read,
        Err(error) => return is_sentence(&error, text),
    };
    let needed = match read.needed(target, &arguments) {
        Ok(needed) => needed,
        Err(error) => return is_sentence(&error, text),
    };
    assert!(needed.stages.is_sorted() && !needed.stages.is_empty());
    let plan = match read.plan(target, &arguments, &BTreeMap::new()) {
        Ok(plan) => plan,
        Err(error) => return is_sentence(&error, text),
    };
    let numbers: Vec<_> = plan.stages.iter().map(|stage| stage.number).collect();
    assert_eq!(numbers, needed.stages);
    for stage in &plan.stages {
        if let Base::Stage(earlier) = stage.base {
            assert!(earlier < stage.number && numbers.contains(&earlier), "a stage needs earlier ones");
        }
        assert!(stage.steps.len() <= 2 * INSTRUCTIONS_MAX);
        assert!(stage.config.working_dir.is_empty() || stage.config.working_dir.starts_with('/'));
        for step in &stage.steps {
            match &step.action {
                Action::Folder { path, .. } => assert!(path.starts_with('/') && !path.contains("/../")),
                Action::Copy(copy) => {
                    assert!(copy.to.starts_with('/') && !copy.to.contains("/../"));
                    for source in &copy.sources {
                        if let PlannedSource::Path(path) = source {
                            assert!(!path.split('/').any(|part| part == ".."), "{path}");
                        }
                    }
                }
                Action::Run(_) | Action::None => {}
            }
        }
    }
    assert_eq!(read.plan(target, &arguments, &BTreeMap::new()).as_ref(), Ok(&plan));
});

fn is_sentence(error: &DockerfileError, text: &[u8]) {
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(error.line.is_none_or(|line| (1..=lines + text.len()).contains(&line)));
    assert!(!error.problem.is_empty() && !error.problem.ends_with('.'));
}
