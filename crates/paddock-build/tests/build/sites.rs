//! Static sites: what is taken for one, what a build checks, and what it leaves.

use crate::support::build::{App, with_farm};
use paddock_build::FailureKind;

const STATIC: &str = "heroku-community/static";

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_known_by_its_files_unless_something_else_is_its_web_process() {
    with_farm(|farm| async move {
        let index = ("index.html", "<p>hello");
        let built = farm.build(&App::new(), &[index, ("style.css", "")]).await;
        built
            .says("-----> Static HTML app detected\n       There is no static.json: every setting has its default\n")
            .says("-----> Serving the whole app: every file that is not hidden can be read by everyone\n")
            .says("       Procfile declares types     -> (none)\n       Default types for buildpack -> web\n");
        assert_eq!(built.outcome().detected.as_ref().map(|chosen| chosen.as_str()), Some(STATIC));
        assert_eq!(built.outcome().description, "Static HTML");
        assert_eq!(built.outcome().process_types["web".parse().as_ref().unwrap()], "bin/boot");
        let slug = farm.unpack(&built);
        let boot = std::fs::read_to_string(slug.path().join("app/bin/boot")).unwrap();
        assert_eq!(boot, "#!/bin/sh\nexec /paddock/paddockd static-server /app\n");
        let slug_bytes: u64 = std::fs::metadata(farm.layers.path_of(&built.outcome().layer)).unwrap().len();
        assert!(slug_bytes < 64 * 1024, "the server is no part of the slug: {slug_bytes}");

        let json = ("static.json", r#"{"root": "dist/"}"#);
        let page = ("dist/index.html", "x");
        farm.build(&App::new(), &[json, page]).await.says("-----> Serving the folder dist\n").outcome();
        farm.build(&App::new(), &[("static.json", "{}"), ("public_html/index.html", "")])
            .await
            .says("-----> Serving the folder public_html\n")
            .outcome();
        for (procfile, language) in [
            ("web: python3 -m http.server $PORT", "Procfile"),
            ("web: bin/boot", "Static HTML"),
            ("release: true", "Static HTML"),
        ] {
            let built = farm.build(&App::new(), &[json, page, ("Procfile", procfile)]).await;
            assert_eq!(built.outcome().description, language, "{procfile}");
        }
        let app = App::with_buildpacks(&["heroku/procfile", STATIC]);
        let built = farm.build(&app, &[json, page, ("Procfile", "release: true")]).await;
        assert_eq!(built.outcome().description, "Procfile, Static HTML");
        // A page that Node.js makes: detection never chooses two, and says what to do.
        farm.build(&App::new(), &[json, ("package.json", r#"{"scripts": {}}"#), ("index.html", "")])
            .await
            .says("-----> Node.js app detected\n")
            .says(" !       heroku buildpacks:add heroku-community/static\n")
            .never_says("Multiple default buildpacks")
            .outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_cannot_have_is_refused_when_it_is_built() {
    with_farm(|farm| async move {
        for (json, said) in [
            ("{", "static.json cannot be used: EOF while parsing"),
            (r#"{"root": "dist"}"#, "root in static.json is \"dist\", and there is no such folder."),
            (r#"{"root": "../.."}"#, "root in static.json leads out of the app"),
            (
                r#"{"proxies": {"/api/": {"origin": "https://x"}}}"#,
                "static.json has proxies, which this server does not serve",
            ),
            (r#"{"basic_auth": true}"#, "Basic authentication (basic_auth in static.json"),
            (
                r#"{"headers": {"/": {"X-A": "a\r\nSet-Cookie: b"}}}"#,
                "The value of the header X-A in static.json cannot be sent",
            ),
        ] {
            farm.build(&App::new(), &[("static.json", json), ("index.html", "")])
                .await
                .failed(FailureKind::Compile)
                .says(&format!(" !     {said}"))
                .says(" !     Push rejected, failed to compile Static HTML app.\n");
        }
        farm.build(&App::new(), &[("static.json", r#"{"odd": 1, "logging": {}}"#), ("a.txt", "")])
            .await
            .says(" !     static.json has \"odd\", which means nothing here.\n")
            .says(" !     There is no index.html in it: / answers 404")
            .outcome();
        farm.build(&App::new(), &[("static.json", "{}"), ("bin", "")])
            .await
            .failed(FailureKind::Compile)
            .says(" !     File bin exists and is not a directory");
    })
    .await;
}
