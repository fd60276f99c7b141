//! Dockerfiles that begin from images of registries that are not this server's.

use e2e::{Cli, ImageClients, Layout, OtherRegistry, Repo, Server, may_run, tar_of};

fn dockerfile(image: &str) -> String {
    format!(
        "FROM {image} AS base\nCOPY more /more\nFROM host\nWORKDIR /srv\nCOPY --from=base /low /more ./\n\
         CMD python3 -m http.server $PORT\n"
    )
}

#[test]
fn a_dockerfile_begins_from_an_image_of_another_registry() {
    if !may_run("an image of another registry") {
        return;
    }
    let mut server = Server::start_with(&["--allow-egress", "127.0.0.1/32"]);
    let (registry, clients) = (OtherRegistry::start(), ImageClients::new());
    let base = format!("{}/shared/base", registry.host());
    let mut layout = Layout::new(&clients.folder().join("made"));
    let low = tar_of(&[("low", "from below\n")]);
    let (arm, amd) = (layout.image("arm", "arm64", &[&low]), layout.image("amd", "amd64", &[&low]));
    layout.index("all", &[arm, amd]);
    let to = format!("docker://{base}:1");
    let copy = ["copy", "--all", "--dest-tls-verify=false", &layout.name("all"), &to];
    let _ = clients.skopeo(&copy).succeeded();

    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Dockerfile", &dockerfile(&format!("{base}:1"))), ("more", "first\n")]);
    cli.heroku_in(repo.path(), &["create", "pulls", "--stack", "container"]).succeeded();
    let push = || cli.git(repo.path(), &["push", "heroku", "main"]);
    let pushed = push().succeeded().text();
    assert!(pushed.contains("Pulling from") && pushed.contains("layer 1 of 1"), "{pushed}");
    assert_eq!(server.answers("pulls", "/low").body, "from below\n");
    assert_eq!(server.get("pulls", "/more").body, "first\n");

    repo.write("more", "second\n");
    repo.commit("Another file");
    let pushed = push().succeeded().text();
    assert!(pushed.contains("Pulling from") && !pushed.contains("layer 1 of 1"), "{pushed}");
    assert_eq!(server.answers("pulls", "/more").body, "second\n");

    // That its layer is known here is no reason to give it to an app that the registry gave nothing.
    cli.heroku_in(repo.path(), &["create", "others", "--stack", "container", "--no-remote"]).succeeded();
    cli.heroku_in(repo.path(), &["git:remote", "--app", "others", "--remote", "others"]).succeeded();
    let pushed = cli.git(repo.path(), &["push", "others", "main"]).succeeded().text();
    assert!(pushed.contains("layer 1 of 1"), "{pushed}");

    let registered = registry.host();
    for (image, words) in [
        (format!("{base}:none"), format!("{registered} has no {base}:none")),
        (format!("{base}:1@sha256:{}", "0".repeat(64)), format!("{registered} has no {base}@sha256:000")),
        (format!("{base}:A B"), "Dockerfile line 1".to_owned()),
        (format!("{base}/:1"), "is no name of an image".to_owned()),
    ] {
        repo.write("Dockerfile", &dockerfile(&image));
        repo.commit("Begin elsewhere");
        let refused = push().failed_saying(&words);
        assert!(!refused.text().contains("Released"), "{}", refused.text());
    }
    server.set_arguments(&[]);
    server.restart();
    repo.write("Dockerfile", &dockerfile(&format!("{base}:1")));
    repo.commit("Begin there again");
    let _ = push().failed_saying("--allow-egress 127.0.0.1/32");
    assert_eq!(server.answers("pulls", "/more").body, "second\n", "what ran goes on");
}
