//! The built-in Ruby buildpack with the machine's Ruby and Bundler. Gems are made here: nothing is asked of a registry.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::build::{App, Built, with_farm, write_tree};
use paddock_build::FailureKind;

const GEMFILE: &str = "source \"https://rubygems.org\"\ngem \"greet\"\ngem \"spec_helper\", group: :test\n";
const APP: &str = "require 'greet'\nputs Greet.hello\n";
const RAKE: &str = "/usr/share/rubygems-integration/all/gems/";

fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn ruby_version() -> String {
    says("ruby", &["-e", "print RUBY_VERSION"])
}

/// Packs a folder as a gem into the app's `vendor/cache`, as `bundle package` does.
fn pack(folder: &Path, name: &str, version: &str, app: &Path) {
    let spec = format!(
        "Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n  s.summary = 'x'\n  s.authors = ['x']\n  \
         s.files = Dir['{{lib,exe}}/**/*']\n  s.bindir = 'exe'\n  s.executables = Dir.children('exe') if Dir.exist?('exe')\nend\n"
    );
    fs::write(folder.join("it.gemspec"), spec).unwrap();
    let cache = app.join("vendor/cache");
    fs::create_dir_all(&cache).unwrap();
    let to = cache.join(format!("{name}-{version}.gem"));
    let mut gem = Command::new("gem");
    let built = gem
        .args(["build", "it.gemspec", "--force", "--output"])
        .arg(to)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn greet(version: &str, says: &str, app: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let code = format!("module Greet\n  def self.hello = '{says}'\nend\n");
    write_tree(
        folder.path(),
        &[("lib/greet.rb", &code), ("exe/greet", "#!/usr/bin/env ruby\nrequire 'greet'\nputs Greet.hello\n")],
    );
    pack(folder.path(), "greet", version, app);
}

fn lock(gems: &[&str], more: &str) -> String {
    let specs: String = gems.iter().map(|gem| format!("    {gem}\n")).collect();
    let names: String =
        gems.iter().map(|gem| format!("  {}\n", gem.split(' ').next().unwrap_or(gem))).collect();
    format!(
        "GEM\n  remote: https://rubygems.org/\n  specs:\n{specs}\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n{names}{more}"
    )
}

/// What a command says in a dyno of the slug, which has it at another place than the build had.
fn run(slug: &Path, line: &str) -> String {
    let app = slug.join("app");
    let script = format!("source .profile.d/ruby.sh; {line}");
    let output = Command::new("/bin/bash")
        .args(["-c", &script])
        .current_dir(&app)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", app.to_str().unwrap())])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn types(built: &Built) -> Vec<String> {
    built.outcome().process_types.iter().map(|(name, line)| format!("{name}: {line}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn gems_are_installed_once_and_those_of_a_changed_lock_file_anew() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        greet("1.0.0", "hello", tree.path());
        let ruby = ruby_version();
        let more = format!("\nRUBY VERSION\n   ruby {ruby}p1\n\nBUNDLED WITH\n   2.6.9\n");
        let both = ["greet (1.0.0)", "spec_helper (1.0.0)"];
        write_tree(
            tree.path(),
            &[
                ("Gemfile", GEMFILE),
                ("Gemfile.lock", &lock(&both, &more)),
                ("app.rb", APP),
                ("Procfile", "web: ruby app.rb\n"),
            ],
        );
        pack(&tree.path().join("vendor"), "spec_helper", "1.0.0", tree.path());
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says(&format!(
                "-----> Ruby app detected\n-----> Using Ruby version: ruby-{ruby} (the stack's own)\n"
            ))
            .says("-----> Installing dependencies using bundler ")
            .says("       Gemfile.lock was written by bundler 2.6.9; the stack's own is used.\n")
            .says("       Installing greet 1.0.0\n")
            .never_says("spec_helper 1.0.0\n")
            .says("       Bundle completed (");
        assert_eq!(types(&first), ["console: bundle exec irb", "rake: bundle exec rake", "web: ruby app.rb"]);
        let slug = farm.unpack(&first);
        assert_eq!(run(slug.path(), "bundle exec ruby app.rb"), "hello\n");
        assert_eq!(run(slug.path(), "greet; echo $MALLOC_ARENA_MAX $RACK_ENV"), "hello\n2\n");

        let second = farm.build_folder(&app, tree.path()).await;
        second.says("       Using greet 1.0.0\n").never_says("Installing greet");

        greet("1.1.0", "good day", tree.path());
        write_tree(tree.path(), &[("Gemfile.lock", &lock(&["greet (1.1.0)", "spec_helper (1.0.0)"], &more))]);
        let third = farm.build_folder(&app, tree.path()).await;
        third.says("       Installing greet 1.1.0\n");
        let files = farm.slug_files(&third);
        assert!(!files.iter().any(|name| name.contains("gems/greet-1.0.0/")), "{files:?}");
        assert_eq!(run(farm.unpack(&third).path(), "bundle exec greet"), "good day\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_compiled_by_the_task_that_an_app_has() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let versions = fs::read_dir(RAKE).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let version = versions.filter_map(|name| Some(name.strip_prefix("rake-")?.to_owned())).next().unwrap();
        let rake = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-r").arg(format!("{RAKE}rake-{version}/.")).arg(rake.path()).status();
        assert!(copied.unwrap().success());
        pack(rake.path(), "rake", &version, tree.path());
        let tasks = "namespace :assets do\n  task :precompile do\n    puts \"for #{ENV['RACK_ENV'].inspect}\"\n    \
                     mkdir_p 'public/assets'\n    File.write('public/assets/app.css', 'x')\n  end\nend\n";
        let gems = [format!("rake ({version})")];
        write_tree(
            tree.path(),
            &[
                ("Gemfile", "source \"https://rubygems.org\"\ngem \"rake\"\n"),
                ("Gemfile.lock", &lock(&[gems[0].as_str()], "")),
                ("Rakefile", tasks),
            ],
        );
        let built = farm.build_folder(&App::new(), tree.path()).await;
        built
            .says("-----> Detecting rake tasks\n")
            .says("-----> Precompiling assets\n       Running: rake assets:precompile\n")
            .says("       for nil\n")
            .says("       Asset precompilation completed (");
        assert!(farm.slug_files(&built).contains(&"app/public/assets/app.css".to_owned()));

        write_tree(tree.path(), &[("Rakefile", "task(:x) { }\nraise 'no database'\n")]);
        farm.build_folder(&App::new(), tree.path())
            .await
            .says(" !     Could not detect rake tasks\n")
            .says("no database")
            .outcome();
        write_tree(tree.path(), &[("Rakefile", "namespace(:assets) { task(:precompile) { abort 'broken' } }\n")]);
        farm.build_folder(&App::new(), tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("       broken\n !     Precompiling assets failed.\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_installed_is_refused_with_what_to_do() {
    with_farm(|farm| async move {
        farm.build(&App::new(), &[("Gemfile", GEMFILE)])
            .await
            .failed(FailureKind::Compile)
            .says(" !     Gemfile.lock required. Please check it in:\n");
        let with = |ruby: &str| lock(&["greet (1.0.0)"], &format!("\nRUBY VERSION\n   {ruby}\n"));
        let stack = ruby_version();
        let other = format!(" !     Gemfile.lock asks for ruby-2.0.1, and this stack has ruby-{stack}.\n");
        for (lock, said) in [
            (with("ruby 2.0.1p1"), other.as_str()),
            (with(&format!("ruby {stack} (jruby 9.4.8.0)")), " !     Gemfile.lock asks for jruby-9.4.8.0"),
            (with(&format!("ruby {}", "9".repeat(3_000))), " !     Gemfile.lock asks for ruby-999"),
            ("x".repeat(10 << 20), " !     Gemfile.lock cannot be read: it has more than 4 MB\n"),
        ] {
            let files = [("Gemfile", GEMFILE), ("Gemfile.lock", lock.as_str())];
            farm.build(&App::new(), &files).await.failed(FailureKind::Compile).says(said);
        }
        // A word of Bundler's own, beside what to do.
        let files = [
            ("Gemfile", "ruby \"1.9.3\"\n"),
            ("Gemfile.lock", "GEM\n  specs:\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n"),
            ("vendor/cache/x", ""),
        ];
        farm.build(&App::new(), &files)
            .await
            .failed(FailureKind::Compile)
            .says("but your Gemfile specified 1.9.3\n")
            .says(" !     Failed to install gems via Bundler.\n");
        let files = [("Gemfile", "this is no ruby ("), ("Gemfile.lock", "")];
        farm.build(&App::new(), &files)
            .await
            .failed(FailureKind::Compile)
            .says(" !     Failed to install gems via Bundler.\n");
    })
    .await;
}
