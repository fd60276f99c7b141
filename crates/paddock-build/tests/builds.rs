//! Builds in real containers: Procfile-only apps, and buildpacks by URL as the contract has them.

mod support;

use support::build::{App, with_farm};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_procfile_becomes_a_slug_layer() {
    with_farm(|farm| async move {
        let files = [("Procfile", "web: ./serve --port $PORT\nworker: ./work\n"), ("serve*", "#!/bin/sh\n")];
        let built = farm.build(&App::new(), &files).await;
        let outcome = built.outcome();
        let types: Vec<_> =
            outcome.process_types.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(types, [("web", "./serve --port $PORT"), ("worker", "./work")]);
        assert_eq!(outcome.description, "Procfile");
        assert_eq!(outcome.detected.as_ref().unwrap().as_str(), "heroku/procfile");
        assert_eq!(
            built.log,
            "-----> Building on the Host stack\n\
             -----> Determining which buildpack to use for this app\n\
             -----> Procfile app detected\n\
             -----> Discovering process types\n       Procfile declares types -> web, worker\n\n\
             -----> Compressing...\n       Done: 0.1M\n"
        );
        assert!(farm.layers.contains(&outcome.layer.parse().unwrap()));

        // The same source again is the same layer.
        let again = farm.build(&App::new(), &files).await;
        assert_eq!(again.outcome().layer, outcome.layer);
    })
    .await;
}
