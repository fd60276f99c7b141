//! Git's way in: a challenge, then a token as password. The service itself is tested with its crate.

use super::support::TestPaddock;

#[tokio::test]
async fn git_is_challenged_and_then_served() {
    let t = TestPaddock::start().await;
    t.app("pushed").await;
    let refs = "/pushed.git/info/refs?service=git-receive-pack";
    for refused in
        [t.get(refs).anonymous(), t.get(refs).basic("heroku", "wrong"), t.get(refs).token("undefined")]
    {
        let answer = refused.without_header("accept").send().await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Paddock\""));
    }
    for user in ["heroku", "", "owner@example.com"] {
        let answer = t.get(refs).without_header("accept").basic(user, &t.token).send().await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
        assert_eq!(answer.header("content-type"), Some("application/x-git-receive-pack-advertisement"));
        assert!(answer.bytes.starts_with(b"001f# service=git-receive-pack\n0000"));
    }
}

#[tokio::test]
async fn repositories_of_others_and_odd_paths_do_not_exist() {
    let t = TestPaddock::start().await;
    t.app("private").await;
    for (path, token) in [
        ("/private.git/info/refs?service=git-upload-pack", &t.stranger),
        ("/nope.git/info/refs?service=git-upload-pack", &t.token),
        ("/private.git/info/refs?service=git-upload-archive", &t.token),
        ("/private/info/refs?service=git-upload-pack", &t.token),
        ("/..%2f..git/info/refs?service=git-upload-pack", &t.token),
    ] {
        let answer = t.get(path).basic("heroku", token).send().await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.bytes.is_empty(), "git shows the text to its user");
    }
    let dumb = t.get("/private.git/info/refs").basic("heroku", &t.token).send().await;
    assert_eq!(dumb.status, 403);
}
