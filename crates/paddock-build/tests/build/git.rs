//! Real git clients push to and fetch from repositories over HTTP; the hook is the real one.

use std::time::Duration;

use crate::support::git::{GitServer, Work};
use bytes::Bytes;
use paddock_build::git::pkt_line::write as write_pkt_line;
use paddock_build::git::push::{DECLINED, plan};
use paddock_build::git::{GitError, GitRequest, PushRequest, PushResult, PushVerdict, Pusher, Service};
use paddock_core::{AccountId, AppId, BuildId};

fn verdict(request: &PushRequest, verdict: PushVerdict) -> Vec<PushResult> {
    let plan = plan(&request.commands);
    let deploy = plan.deploy.map(|command| PushResult { name: command.name, verdict });
    plan.others.into_iter().chain(deploy).collect()
}

async fn next_push(server: &GitServer) -> PushRequest {
    tokio::time::timeout(Duration::from_secs(20), server.hooks.accept())
        .await
        .expect("the hook connects")
        .expect("the socket works")
}

/// Pushes to a branch that nothing is built from: the commit is there, and `main` is not.
async fn push_beside_main(server: &GitServer, work: &Work) {
    let pushing = work.start_git(&["push", &server.url(), "HEAD:refs/heads/topic"]);
    let push = next_push(server).await;
    push.reply.clone().finish(plan(&push.commands).others).await;
    drop(push);
    assert!(pushing.end().success);
}

// buildpacks.md 8.1, 8.3
#[tokio::test(flavor = "multi_thread")]
async fn a_push_streams_its_build_and_the_branch_moves_with_it() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("Procfile", "web: true\n")]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:refs/heads/main"]);

    let push = next_push(&server).await;
    assert_eq!((push.app, push.pusher.request_id.as_str()), (server.app, "request"));
    let deploy = plan(&push.commands).deploy.expect("main deploys");
    assert_eq!(deploy.new, work.head());
    let build = BuildId::from_uuid(uuid::Uuid::now_v7());
    server.repositories.pin(server.app, build, &deploy.new).await.unwrap();
    push.reply.line("-----> Building");
    push.reply.progress(&Bytes::from_static(b"half a "));
    push.reply.progress(&Bytes::from_static(b"line\n"));
    server.repositories.update_ref(server.app, &deploy.name, &deploy.new, &deploy.old).await.unwrap();
    let results = verdict(&push, PushVerdict::Done);
    push.reply.finish(results).await;

    let end = pushing.end();
    assert!(end.success, "{}", end.screen);
    assert!(end.screen.contains("remote: -----> Building"), "{}", end.screen);
    assert!(end.screen.contains("remote: half a line"), "{}", end.screen);
    assert!(end.screen.contains("[new branch]      HEAD -> main"), "{}", end.screen);
    let main = server.repositories.resolve(server.app, "refs/heads/main").await.unwrap();
    assert_eq!(main, Some(work.head()));

    // What was pushed can be cloned; our own refs are not shown.
    let clone = Work::empty();
    let end = clone.git(&["clone", "-q", &server.url(), "copy"]);
    assert!(end.success, "{}", end.screen);
    assert_eq!(std::fs::read_to_string(clone.path("copy/Procfile")).unwrap(), "web: true\n");
    let refs = clone.git(&["ls-remote", &server.url()]);
    assert!(refs.screen.contains("refs/heads/main") && !refs.screen.contains("paddock"), "{}", refs.screen);
}

// buildpacks.md 8.4
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_the_push_and_the_branch_stays() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:main"]);
    let push = next_push(&server).await;
    push.reply.line(" !     Push failed");
    let results = verdict(&push, PushVerdict::Refuse(DECLINED.into()));
    push.reply.finish(results).await;

    let end = pushing.end();
    assert!(!end.success);
    assert!(
        end.screen.contains("! [remote rejected] HEAD -> main (pre-receive hook declined)"),
        "{}",
        end.screen
    );
    assert_eq!(server.repositories.resolve(server.app, "refs/heads/main").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_refs_are_stored_by_git() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:refs/heads/topic", "HEAD:refs/tags/v1"]);
    let push = next_push(&server).await;
    let plan = plan(&push.commands);
    assert_eq!(plan.deploy, None);
    plan.notices.iter().for_each(|notice| push.reply.line(notice));
    push.reply.finish(plan.others).await;

    let end = pushing.end();
    assert!(end.success, "{}", end.screen);
    assert!(
        end.screen.contains("remote: Pushed to branch other than [main, master], skipping build."),
        "{}",
        end.screen
    );
    assert_eq!(server.repositories.resolve(server.app, "refs/heads/topic").await.unwrap(), Some(work.head()));
    assert_eq!(server.repositories.resolve(server.app, "refs/tags/v1").await.unwrap(), Some(work.head()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_refuses_and_a_stray_ref_of_ours_cannot_be_pushed() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:main"]);
    drop(next_push(&server).await);
    let end = pushing.end();
    assert!(!end.success);
    assert!(end.screen.contains("The connection to the build was lost"), "{}", end.screen);

    let end = work.git(&["push", &server.url(), "HEAD:refs/paddock/builds/x"]);
    assert!(!end.success);
    assert!(end.screen.contains("deny updating a hidden ref"), "{}", end.screen);
}

// buildpacks.md 8.8
#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_who_leaves_does_not_end_the_push() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:main"]);
    let push = next_push(&server).await;
    pushing.kill();
    // The objects are there, and the reply takes whatever is said to nobody.
    let head = work.head();
    assert_eq!(server.repositories.resolve(server.app, &head).await.unwrap(), Some(head));
    for _ in 0..10_000 {
        push.reply.line("nobody reads this");
    }
    let results = verdict(&push, PushVerdict::Done);
    push.reply.finish(results).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_come_out_whole_whatever_the_attributes_say() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[
        (".gitattributes", "secret export-ignore\nid export-subst\n"),
        ("secret", "kept"),
        ("id", "$Format:%H$"),
        ("dir/name with 'quotes'\n", "x"),
    ]);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:main"]);
    let push = next_push(&server).await;
    let results = verdict(&push, PushVerdict::Done);
    push.reply.finish(results).await;
    assert!(pushing.end().success);

    let commit = work.head();
    let tar = server.path("source.tar");
    server.repositories.archive(server.app, &commit, &tar).await.unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(&tar).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    for name in ["secret", "id", "dir/name with 'quotes'\n"] {
        assert!(names.iter().any(|n| n == name), "{name:?} in {names:?}");
    }
    assert_eq!(
        server.repositories.commit_subject(server.app, &commit).await.unwrap(),
        "a subject; $(rm -rf)"
    );
    assert_eq!(server.repositories.submodules(server.app, &commit).await.unwrap(), []);
    assert!(server.repositories.size_bytes(server.app).await.unwrap() > 0);
    server.repositories.delete(server.app).await.unwrap();
    assert!(!server.repositories.path(server.app).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_pack_of_many_names_for_one_file_is_no_large_source() {
    let server = GitServer::start().await;
    let zeros = "\0".repeat(64 << 10);
    let names: Vec<String> = (0..40).map(|number| format!("copy-{number}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), zeros.as_str())).collect();
    let work = Work::with_commit(&files);
    let pushing = work.start_git(&["push", &server.url(), "HEAD:main"]);
    let push = next_push(&server).await;
    let results = verdict(&push, PushVerdict::Done);
    push.reply.finish(results).await;
    assert!(pushing.end().success);
    assert!(server.repositories.size_bytes(server.app).await.unwrap() < 100_000);

    let tar = server.path("source.tar");
    let refused = server.repositories.archive(server.app, &work.head(), &tar).await;
    assert!(
        matches!(&refused, Err(GitError::ArchiveTooLarge { limit, .. }) if *limit == 1 << 20),
        "{refused:?}"
    );
    assert!(std::fs::metadata(&tar).unwrap().len() <= 1 << 20);
}

/// What git says of a good commit on top of one with these authors that it refuses; nothing when it takes them.
async fn push_history(server: &GitServer, old: &str) -> String {
    let work = Work::with_commit(&[("Procfile", "web: true\n")]);
    let of_tip =
        |format: &str| work.git(&["log", "-1", &format!("--format={format}")]).screen.trim().to_owned();
    let text = format!("tree {}\n{old}\n\nold\n", of_tip("%T"));
    std::fs::write(work.path("object"), text).expect("the file is written");
    let written = work.git(&["hash-object", "-t", "commit", "-w", "--literally", "object"]).screen;
    let tip = work.git(&["commit-tree", &of_tip("%T"), "-p", written.trim(), "-m", "tip"]).screen;
    let pushing =
        work.start_git(&["push", "--force", &server.url(), &format!("{}:refs/heads/topic", tip.trim())]);
    let answering = async {
        let push = next_push(server).await;
        push.reply.clone().finish(plan(&push.commands).others).await;
    };
    // A push that git refuses never comes to the hook.
    let ended = tokio::task::spawn_blocking(move || pushing.end());
    tokio::select! {
        () = answering => String::new(),
        end = ended => end.expect("git ends").screen,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_history_is_taken_with_its_flaws_and_what_harms_a_checkout_is_not() {
    let server = GitServer::start().await;
    let good = "A <a@example.com> 1400000000 +0000";
    for author in [
        "A <a@example.com>1400000000 +0000",
        "A 1400000000 +0000",
        "<a@example.com> 1400000000 +0000",
        "A <a@example.com> Mon Jan 1 2001 +0000",
        "A <a@example.com> 01400000000 +0000",
        "A <a@example.com> 1400000000 +051800",
        &format!("{good}\nauthor B <b@example.com> 1400000000 +0000"),
    ] {
        let screen = push_history(&server, &format!("author {author}\ncommitter {good}")).await;
        assert_eq!(screen, "", "{author}");
    }
    let screen = push_history(&server, &format!("author {good}")).await;
    assert!(screen.contains("missingCommitter"), "{screen}");

    // A name that would lead a checkout into its own repository.
    let work = Work::with_commit(&[("Procfile", "web: true\n")]);
    let mut tree = b"100644 .git\0".to_vec();
    let blob = work.git(&["rev-parse", "HEAD:Procfile"]).screen;
    let digits = blob.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    tree.extend(digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    std::fs::write(work.path("object"), tree).unwrap();
    let tree = work.git(&["hash-object", "-t", "tree", "-w", "--literally", "object"]).screen;
    let tip = work.git(&["commit-tree", tree.trim(), "-m", "tip"]).screen;
    let end = work.git(&["push", "--force", &server.url(), &format!("{}:refs/heads/topic", tip.trim())]);
    assert!(!end.success && end.screen.contains("hasDotgit"), "{}", end.screen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_stands_for_its_commit_and_the_pusher_is_told_which() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    assert!(work.git(&["tag", "-a", "-m", "one", "v1"]).success);
    assert!(work.git(&["tag", "-a", "-m", "of a tag", "v1-signed", "v1"]).success);
    let pushing = work.start_git(&["push", &server.url(), "v1-signed:refs/heads/main"]);
    let push = next_push(&server).await;
    let deploy = plan(&push.commands).deploy.expect("main deploys");
    assert_ne!(deploy.new, work.head());
    let commit = server.repositories.resolve(server.app, &deploy.new).await.unwrap();
    assert_eq!(commit, Some(work.head()));
    server.repositories.update_ref(server.app, &deploy.name, &work.head(), &deploy.old).await.unwrap();
    let results = verdict(&push, PushVerdict::DoneAs(work.head()));
    push.reply.finish(results).await;
    let end = pushing.end();
    assert!(end.success, "{}", end.screen);
    let main = server.repositories.resolve(server.app, "refs/heads/main").await.unwrap();
    assert_eq!(main, Some(work.head()));

    // Trees and files have none; they are asked for while the push that brought them waits.
    for (thing, branch) in [("HEAD^{tree}", "refs/heads/main"), ("HEAD:a", "refs/heads/master")] {
        let pushing = work.start_git(&["push", "--force", &server.url(), &format!("{thing}:{branch}")]);
        let push = next_push(&server).await;
        let deploy = plan(&push.commands).deploy.expect("it would deploy");
        assert_eq!(server.repositories.resolve(server.app, &deploy.new).await.unwrap(), None, "{thing}");
        let results = verdict(&push, PushVerdict::Refuse(DECLINED.into()));
        push.reply.finish(results).await;
        assert!(!pushing.end().success);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_move_only_from_where_they_were() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    push_beside_main(&server, &work).await;
    let (zero, head) = ("0".repeat(40), work.head());
    let repositories = &server.repositories;
    repositories.update_ref(server.app, "refs/heads/main", &head, &zero).await.unwrap();
    let again = repositories.update_ref(server.app, "refs/heads/main", &head, &zero).await;
    assert!(matches!(again, Err(GitError::RefMoved(_))), "{again:?}");
    let from_elsewhere = repositories.update_ref(server.app, "refs/heads/main", &head, &"1".repeat(40)).await;
    assert!(matches!(from_elsewhere, Err(GitError::RefMoved(_))), "{from_elsewhere:?}");
    let from_nothing = repositories.update_ref(server.app, "refs/heads/gone", &head, &head).await;
    assert!(matches!(from_nothing, Err(GitError::RefMoved(_))), "{from_nothing:?}");
    for bad in ["--all", "", "a..b", "HEAD~1"] {
        assert!(repositories.resolve(server.app, bad).await.is_err(), "{bad:?}");
    }
    assert_eq!(repositories.resolve(server.app, "refs/heads/none").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_push_is_refused_and_harms_nothing() {
    let server = GitServer::start().await;
    let pusher = Pusher { account: AccountId::from_uuid(uuid::Uuid::nil()), request_id: "request".into() };
    let command =
        format!("{} {} refs/heads/main\0report-status side-band-64k\n", "0".repeat(40), "1".repeat(40));
    let mut push = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    push.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\x03half an obj");
    let request = GitRequest { body: std::io::Cursor::new(push), gzip: false, git_protocol: None };
    let mut reply =
        server.repositories.serve(server.app, Service::ReceivePack, request, pusher).await.unwrap();
    let mut answer = Vec::new();
    while let Some(bytes) = reply.body.recv().await {
        answer.extend_from_slice(&bytes);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("unpack") && answer.contains("ng refs/heads/main"), "{answer}");
    assert_eq!(server.repositories.resolve(server.app, "refs/heads/main").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_replacement_replaces_nothing() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("Procfile", "web: true\n")]);
    let good = work.head();
    let push = |refspec: String| {
        let pushing = work.start_git(&["push", &server.url(), &refspec]);
        let server = &server;
        async move {
            let push = next_push(server).await;
            let results = verdict(&push, PushVerdict::LetGit);
            push.reply.finish(results).await;
            let end = pushing.end();
            assert!(end.success, "{}", end.screen);
        }
    };
    push(format!("{good}:refs/heads/topic")).await;
    std::fs::write(work.path("Procfile"), "web: evil\n").unwrap();
    assert!(work.git(&["commit", "-qam", "other"]).success);
    // One commit in the place of another, and one in its own: git would show the first and choke on the second.
    push(format!("{}:refs/replace/{good}", work.head())).await;
    push(format!("{}:refs/replace/{}", work.head(), work.head())).await;
    let archive = server.path("source.tar");
    server.repositories.archive(server.app, &good, &archive).await.unwrap();
    let tar = std::fs::read(&archive).unwrap();
    assert!(tar.windows(9).any(|bytes| bytes == b"web: true"), "the tree of the commit itself");
    push(format!("{}:refs/heads/later", work.head())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_very_many_refs_is_refused_with_a_sentence() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("Procfile", "web: true\n")]);
    let (zero, head) = ("0".repeat(40), work.head());
    let mut body = Vec::new();
    for number in 0..100_000 {
        let features = if number == 0 { "\0 report-status side-band-64k" } else { "" };
        let command = format!("{zero} {head} refs/tags/t{number}{features}");
        write_pkt_line(&mut body, command.as_bytes()).unwrap();
    }
    body.extend(b"0000");
    body.extend(std::fs::read(work.pack()).unwrap());
    let pusher = Pusher { account: AccountId::from_uuid(uuid::Uuid::nil()), request_id: "r".into() };
    let request = GitRequest { body: std::io::Cursor::new(body), gzip: false, git_protocol: None };
    let reply = server.repositories.serve(server.app, Service::ReceivePack, request, pusher).await.unwrap();
    let (mut body, mut said) = (reply.body, Vec::new());
    let answered = async {
        while let Some(bytes) = body.recv().await {
            said.extend_from_slice(&bytes);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("the push ends");
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("a push can change 10,000 refs at most"), "{}", &said[..said.len().min(2000)]);
    assert_eq!(server.repositories.resolve(server.app, "refs/tags/t0").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transfers_of_an_app_leave_turns_for_others() {
    let server = GitServer::start().await;
    let repositories = &server.repositories;
    // Git waits for a client that says nothing, until that goes away.
    let begin = |app| async move {
        let (client, body) = tokio::io::duplex(64);
        let request = GitRequest { body, gzip: false, git_protocol: None };
        let pusher = Pusher { account: AccountId::from_uuid(uuid::Uuid::nil()), request_id: "r".into() };
        let reply = repositories.serve(app, Service::UploadPack, request, pusher).await;
        reply.map(|reply| (client, reply))
    };
    let mut held = Vec::new();
    let refused = loop {
        match begin(server.app).await {
            Ok(transfer) => held.push(transfer),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, GitError::Busy), "{refused:?}");
    assert_eq!(held.len(), 8);
    let ask = || repositories.advertise(server.app, Service::UploadPack, None);
    assert!(matches!(ask().await, Err(GitError::Busy)));
    begin(AppId::from_uuid(uuid::Uuid::now_v7())).await.expect("another app has turns of its own");

    drop(held);
    let freed = async {
        while matches!(ask().await, Err(GitError::Busy)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("a turn ends with its transfer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_respected_until_nobody_can_hold_it() {
    let server = GitServer::start().await;
    let work = Work::with_commit(&[("a", "a")]);
    push_beside_main(&server, &work).await;
    let (zero, head) = ("0".repeat(40), work.head());
    let lock = server.repositories.path(server.app).join("refs/heads/main.lock");
    let file = std::fs::File::create(&lock).unwrap();
    let update = || server.repositories.update_ref(server.app, "refs/heads/main", &head, &zero);
    let held = update().await;
    assert!(matches!(held, Err(GitError::Failed { .. })), "not moved by anybody: {held:?}");
    assert!(lock.exists());
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(600)).unwrap();
    update().await.expect("what a killed git has left is removed");
    let main = server.repositories.resolve(server.app, "refs/heads/main").await.unwrap();
    assert_eq!(main, Some(head.clone()));
}
