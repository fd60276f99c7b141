//! Apps in Java, with the machine's own JDK and Maven, and what Debian has of Maven's packages.

use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, wait_until};

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.example</groupId>
  <artifactId>shop</artifactId>
  <version>1.0</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source>
    <maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <build>
    <plugins>
      <plugin>
        <artifactId>maven-clean-plugin</artifactId>
        <dependencies>
          <dependency><groupId>org.codehaus.plexus</groupId><artifactId>plexus-utils</artifactId><version>2.x</version></dependency>
        </dependencies>
      </plugin>
    </plugins>
  </build>
</project>
"#;
const SETTINGS: &str = "<settings><mirrors><mirror><id>debian</id><url>file:///usr/share/maven-repo</url>\
    <mirrorOf>*</mirrorOf></mirror></mirrors></settings>\n";
const SERVER: &str = r#"import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
        server.createContext("/", exchange -> {
            String text = "hello from Java " + System.getProperty("java.specification.version")
                + "\n" + System.getenv("JAVA_TOOL_OPTIONS") + "\n" + System.getenv("SPRING_DATASOURCE_URL") + "\n";
            exchange.sendResponseHeaders(200, text.length());
            exchange.getResponseBody().write(text.getBytes());
            exchange.close();
        });
        server.start();
    }
}
"#;

/// Waits until an app answers so, at the beginning of its page.
fn says(server: &Server, app: &str, words: &str) -> String {
    wait_until(words, Duration::from_secs(60), || {
        Some(server.get(app, "/").body).filter(|page| page.starts_with(words))
    })
}

#[test]
fn a_maven_app_answers_is_quick_the_second_time_takes_something_new_and_goes_back() {
    if !may_run("Maven") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[
        ("pom.xml", POM),
        ("settings.xml", SETTINGS),
        ("system.properties", "java.runtime.version=17\n"),
        ("Procfile", "web: java $JAVA_OPTS -cp target/shop-1.0.jar Main\n"),
        ("src/main/java/Main.java", SERVER),
    ]);
    let git_push = || {
        repo.commit("Again");
        cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr
    };
    let has = |said: &str, words: &str| assert!(said.contains(words), "no {words:?} in\n{said}");
    let has_not = |said: &str, words: &str| assert!(!said.contains(words), "{words:?} is in\n{said}");
    cli.heroku_in(repo.path(), &["create", "maven-app"]).succeeded();
    cli.heroku_in(repo.path(), &["config:set", "DATABASE_URL=postgres://u:p%40ss@db.example/shop"])
        .succeeded();
    let said = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().stderr;
    for words in
        ["Java app detected", "Using the stack's OpenJDK 17.", "Downloading from debian", "BUILD SUCCESS"]
    {
        has(&said, words);
    }
    let page = server.answers("maven-app", "/").body;
    let lines: Vec<_> = page.lines().collect();
    assert_eq!(lines[0], "hello from Java 17");
    // What Heroku's buildpack leaves for a dyno of the smallest size, and for Spring.
    assert_eq!(
        lines[1..],
        [
            "-Dfile.encoding=UTF-8 -XX:MaxRAM=536870912 -Xmx300m -Xss512k -XX:CICompilerCount=2",
            "jdbc:postgresql://db.example/shop?password=p%40ss&sslmode=require&user=u"
        ]
    );

    repo.write("src/main/java/Main.java", &SERVER.replace("hello from", "hello again from"));
    let said = git_push();
    has(&said, "BUILD SUCCESS");
    has_not(&said, "Downloading from");
    says(&server, "maven-app", "hello again from Java 17");

    let dependency = "<dependencies><dependency><groupId>org.jsoup</groupId><artifactId>jsoup</artifactId>\
        <version>debian</version></dependency></dependencies></project>";
    repo.write("pom.xml", &POM.replace("</project>", dependency));
    repo.write("src/main/java/Main.java", &SERVER.replace("hello from", "a third hello from"));
    let said = git_push();
    has(&said, "jsoup-debian.jar");
    has(&said, "Released v6");
    has_not(&said, "maven-jar-plugin-3");
    says(&server, "maven-app", "a third hello from Java 17");

    cli.heroku_in(repo.path(), &["rollback", "v4"]).succeeded();
    says(&server, "maven-app", "hello from Java 17");
    let said = cli.heroku_in(repo.path(), &["run", "--no-tty", "--", "java", "-version"]).succeeded();
    has(&(said.stdout + &said.stderr), "17.");
}

#[test]
fn an_app_that_cannot_be_built_here_leaves_what_runs() {
    if !may_run("Procfile and languages that are not built") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let web = "web: python3 -m http.server $PORT\n";
    let repo = Repo::of_files(&[("Procfile", web), ("index.txt", "it runs\n")]);
    cli.heroku_in(repo.path(), &["create", "kept"]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers("kept", "/index.txt");
    let releases = || cli.heroku_in(repo.path(), &["releases", "--json"]).succeeded().stdout;
    let before = releases();
    for (file, text, said) in [
        ("mix.exs", "", "Elixir app detected"),
        ("shop.csproj", "<Project/>", ".NET app detected"),
        ("pom.xml", "<project>", "Maven build failed"),
    ] {
        repo.write(file, text);
        repo.commit(file);
        cli.git(repo.path(), &["push", "heroku", "main"]).failed_saying(said).saying("Push rejected");
        assert_eq!(releases(), before, "there is no release of {file}");
        assert_eq!(server.get("kept", "/index.txt").with_status(200).body, "it runs\n");
        std::fs::remove_file(repo.path().join(file)).expect("it was written");
    }
    let dotnet = "https://github.com/heroku/heroku-buildpack-dotnet";
    repo.write("shop.csproj", "<Project/>");
    repo.commit("once more");
    cli.git(repo.path(), &["push", "heroku", "main"]).failed_saying(dotnet);
}
