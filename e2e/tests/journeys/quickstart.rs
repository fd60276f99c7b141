//! The README's two commands, as a newcomer types them.

use std::process::Command;
use std::time::Duration;

use e2e::{Quickstart, may_run, run};

/// What the sample app answers; nothing when nobody does.
fn page(quickstart: &Quickstart) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--noproxy", "*", "--header", "Host: hello.paddock.localhost"]);
    command.arg(format!("http://127.0.0.1:{}/", quickstart.port()));
    run(command, b"", Duration::from_secs(30)).stdout
}

// buildpacks.md 8.1, 8.7
#[test]
fn quickstart_deploys_the_sample_app_and_again_changes_nothing() {
    if !may_run("quickstart") {
        return;
    }
    let quickstart = Quickstart::new();
    let port = quickstart.port();

    let first = quickstart.run(&[]).succeeded();
    let url = format!("http://hello.paddock.localhost:{port}/");
    for line in [url.as_str(), "remote: -----> ", "Released v3", "env --data", "--down"] {
        assert!(first.text().contains(line), "no {line:?} in\n{}", first.text());
    }
    assert!(!first.text().contains('\u{1b}'), "colours are for terminals only");
    assert!(page(&quickstart).contains("Hello from Paddock"), "{}", page(&quickstart));

    let second = quickstart.run(&[]).succeeded();
    assert!(second.text().contains("Everything up-to-date"), "{}", second.text());
    assert!(page(&quickstart).contains("<b>web.1</b>"), "{}", page(&quickstart));

    // More often than a dyno may crash before its next start waits: a stop is no crash.
    for _ in 0..3 {
        quickstart.run(&["--down"]).succeeded();
        assert_eq!(page(&quickstart), "", "nothing answers any more");
        quickstart.run(&[]).succeeded();
        assert!(page(&quickstart).contains("Hello from Paddock"), "what was deployed runs again");
    }
}
