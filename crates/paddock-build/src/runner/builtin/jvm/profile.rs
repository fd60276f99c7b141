//! What a dyno of a Java app sources at its start. Names, variables and figures: Heroku's buildpack `heroku/jvm`.

/// Their names in `.profile.d`, and what is in them.
pub(super) const SCRIPTS: [(&str, &str); 4] = [
    ("jvmcommon.sh", JVM_COMMON),
    ("jdbc.sh", JDBC),
    ("jvm-spring-configuration.sh", SPRING),
    ("default-proc-warning.sh", DEFAULT_PROCESS),
];

/// Java itself, and how much memory it may take. What the app sets comes last, so it counts.
const JVM_COMMON: &str = r#"export JAVA_HOME="$HOME/.jdk"
export PATH="$JAVA_HOME/bin:$HOME/.heroku/bin:$PATH"
if [ ! -x "$JAVA_HOME/bin/java" ]; then
  echo "The JDK that this release was built with is no longer part of its stack: push again." >&2
fi

jvm_options() {
  local flags="-Dfile.encoding=UTF-8" limit="" file
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    if [ -r "$file" ]; then read -r limit < "$file"; break; fi
  done
  case "$limit" in
    ""|*[!0-9]*|??????????????*) limit="" ;;
    *) [ "$limit" -le 1099511627776 ] || limit="" ;;
  esac
  [ -z "$limit" ] || flags="$flags -XX:MaxRAM=$limit"
  case "$limit" in
    536870912) flags="$flags -Xmx300m -Xss512k -XX:CICompilerCount=2" ;;
    1073741824) flags="$flags -Xmx671m -XX:CICompilerCount=2" ;;
    *) flags="$flags -XX:MaxRAMPercentage=80.0" ;;
  esac
  echo "$flags"
}

jvm_options="$(jvm_options)"
export JAVA_OPTS="${jvm_options}${JAVA_OPTS:+ }${JAVA_OPTS:-}"
case "${DYNO:-}" in
  run.*) ;;
  *)
    case "${DYNO:-}" in
      web.*) echo "Setting JAVA_TOOL_OPTIONS defaults based on dyno size. Custom settings will override them." >&2 ;;
    esac
    export JAVA_TOOL_OPTIONS="${jvm_options}${JAVA_TOOL_OPTIONS:+ }${JAVA_TOOL_OPTIONS:-}"
    ;;
esac
"#;

/// The addresses of databases as Java's drivers read them. A value is never read as shell text. Unlike Heroku's script it
/// leaves an `sslmode` that the address has, and takes user and password as they are percent-encoded.
const JDBC: &str = r##"paddock_decoded() {
  local LC_ALL=C rest="$1" out="" char
  while [[ $rest =~ ^([^%]*)%([0-9a-fA-F][0-9a-fA-F])(.*)$ ]]; do
    out+="${BASH_REMATCH[1]}"
    rest="${BASH_REMATCH[3]}"
    printf -v char "\\x${BASH_REMATCH[2]}"
    out+="$char"
  done
  printf '%s' "$out$rest"
}

paddock_encoded() {
  local LC_ALL=C text="$1" out="" char number
  while [[ -n $text ]]; do
    char="${text:0:1}"
    text="${text:1}"
    case "$char" in
      [A-Za-z0-9._~-]) ;;
      *)
        printf -v number '%d' "'$char"
        printf -v char '%%%02X' "$((number & 255))"
        ;;
    esac
    out+="$char"
  done
  printf '%s' "$out"
}

set_jdbc_url() {
  local url="$1" prefix="$2"
  [[ $url != *[[:cntrl:]]* ]] || return 0
  local scheme='^([a-zA-Z][a-zA-Z0-9+.-]*)://'
  local rest='(\[[0-9a-fA-F:.]+\]|[^][/:@?#]+)(:[0-9]+)?(/[^#?]*)?(\?[^#]*)?(#.*)?$'
  [[ $url =~ ${scheme}([^/?#]*@)?$rest ]] || [[ $url =~ ${scheme}(.*@)$rest ]] || return 0
  local -a found=("${BASH_REMATCH[@]}")
  local driver sslmode="" username="" password=""
  case "${found[1]}" in
    postgres|postgresql)
      driver=jdbc:postgresql
      [[ ${CI:-} == true ]] || sslmode=require
      ;;
    mysql) driver=jdbc:mysql ;;
    mariadb) driver=jdbc:mariadb ;;
    *) return 0 ;;
  esac
  local user_info="${found[2]%@}"
  [[ $user_info == *:* ]] || return 0
  username="$(paddock_decoded "${user_info%%:*}"; echo .)"
  username="${username%.}"
  password="$(paddock_decoded "${user_info#*:}"; echo .)"
  password="${password%.}"
  [[ -n $username && -n $password ]] || return 0
  local -a query=()
  local pairs="${found[6]#\?}" pair
  while [[ -n $pairs ]]; do
    pair="${pairs%%&*}"
    [[ $pairs == *'&'* ]] && pairs="${pairs#*&}" || pairs=""
    case "$pair" in
      ""|user=*|password=*) ;;
      sslmode=*) sslmode="${pair#*=}" ;;
      *) query+=("$pair") ;;
    esac
  done
  query+=("user=$(paddock_encoded "$username")" "password=$(paddock_encoded "$password")")
  [[ -z $sslmode ]] || query+=("sslmode=$sslmode")
  local sorted
  sorted="$(printf '%s\n' "${query[@]}" | LC_ALL=C sort)"
  export "${prefix}_URL=$driver://${found[3]}${found[4]}${found[5]}?${sorted//$'\n'/"&"}${found[7]}"
  export "${prefix}_USERNAME=$username" "${prefix}_PASSWORD=$password"
}

if [[ -n ${DATABASE_URL:-} ]]; then
  set_jdbc_url "$DATABASE_URL" JDBC_DATABASE
  if [[ -n ${DATABASE_CONNECTION_POOL_URL:-} ]]; then
    set_jdbc_url "$DATABASE_CONNECTION_POOL_URL" JDBC_DATABASE
    set_jdbc_url "$DATABASE_CONNECTION_POOL_URL" DATABASE_CONNECTION_POOL_JDBC
  fi
elif [[ -n ${JAWSDB_URL:-} ]]; then
  set_jdbc_url "$JAWSDB_URL" JDBC_DATABASE
elif [[ -n ${JAWSDB_MARIA_URL:-} ]]; then
  set_jdbc_url "$JAWSDB_MARIA_URL" JDBC_DATABASE
elif [[ -n ${CLEARDB_DATABASE_URL:-} ]]; then
  set_jdbc_url "$CLEARDB_DATABASE_URL" JDBC_DATABASE
fi

if [[ ${DISABLE_SPRING_DATASOURCE_URL:-} != true && -n ${JDBC_DATABASE_URL:-} && -z ${SPRING_DATASOURCE_URL:-} &&
  -z ${SPRING_DATASOURCE_USERNAME:-} && -z ${SPRING_DATASOURCE_PASSWORD:-} ]]; then
  export SPRING_DATASOURCE_URL="$JDBC_DATABASE_URL"
  export SPRING_DATASOURCE_USERNAME="${JDBC_DATABASE_USERNAME:-}"
  export SPRING_DATASOURCE_PASSWORD="${JDBC_DATABASE_PASSWORD:-}"
fi

for paddock_name in "${!HEROKU_POSTGRESQL_@}"; do
  case "$paddock_name" in
    HEROKU_POSTGRESQL_*_URL) set_jdbc_url "${!paddock_name}" "${paddock_name%_URL}_JDBC" ;;
  esac
done
unset paddock_name
unset -f paddock_decoded paddock_encoded set_jdbc_url
"##;

/// What Spring calls what add-ons set.
const SPRING: &str = r#"paddock_spring() {
  local disable="$1" from="$2" to="$3"
  if [[ ${!disable:-} != true && -z ${!to:-} && -n ${!from:-} ]]; then
    export "$to=${!from}"
  fi
}
paddock_spring DISABLE_SPRING_REDIS_URL REDIS_URL SPRING_REDIS_URL
paddock_spring DISABLE_SPRING_REDIS_URL REDIS_URL SPRING_DATA_REDIS_URL
paddock_spring DISABLE_SPRING_AI_CONFIG INFERENCE_KEY SPRING_AI_OPENAI_APIKEY
paddock_spring DISABLE_SPRING_AI_CONFIG INFERENCE_URL SPRING_AI_OPENAI_BASEURL
paddock_spring DISABLE_SPRING_AI_CONFIG INFERENCE_MODEL_ID SPRING_AI_OPENAI_CHAT_OPTIONS_MODEL
unset -f paddock_spring
"#;

const DEFAULT_PROCESS: &str = r#"if [ ! -f "$HOME/Procfile" ] && [ "${DYNO:-}" = web.1 ]; then
  echo "Create a Procfile to customize the command used to run this process: https://devcenter.heroku.com/articles/procfile"
fi
"#;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// What a shell has that sourced a script: output, errors, and these variables one by one.
    fn sourced(script: &str, variables: &[(&str, &str)], names: &[&str]) -> (Vec<String>, String) {
        let show: String =
            names.iter().map(|name| format!("printf '%s\\0' \"${{{name}-unset}}\"\n")).collect();
        let output = Command::new("/bin/bash")
            .args(["-c", &format!("{{\n{script}\n}} >&2\n{show}")])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let values = String::from_utf8_lossy(&output.stdout).into_owned();
        let values = values.split_terminator('\0').map(str::to_owned).collect();
        (values, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn jdbc(url: &str) -> Vec<String> {
        let names = ["JDBC_DATABASE_URL", "JDBC_DATABASE_USERNAME", "JDBC_DATABASE_PASSWORD"];
        let (values, said) = sourced(JDBC, &[("DATABASE_URL", url)], &names);
        assert_eq!(said, "", "{url}");
        values
    }

    /// An address, what Java's drivers are told, user and password.
    const ADDRESSES: [(&str, &str, &str, &str); 11] = [
        (
            "postgres://foo:bar@ec2-0-0-0-0.example.com:5432/abc123",
            "jdbc:postgresql://ec2-0-0-0-0.example.com:5432/abc123?password=bar&sslmode=require&user=foo",
            "foo",
            "bar",
        ),
        (
            "mysql://foo:bar@h:3306/db?reconnect=true",
            "jdbc:mysql://h:3306/db?password=bar&reconnect=true&user=foo",
            "foo",
            "bar",
        ),
        ("mariadb://a:b@h/db", "jdbc:mariadb://h/db?password=b&user=a", "a", "b"),
        (
            "postgresql://a:b@[::1]:5432/db",
            "jdbc:postgresql://[::1]:5432/db?password=b&sslmode=require&user=a",
            "a",
            "b",
        ),
        (
            "postgres://a:b@h/db?sslmode=verify-full#x",
            "jdbc:postgresql://h/db?password=b&sslmode=verify-full&user=a#x",
            "a",
            "b",
        ),
        // What a password may have: itself encoded or not.
        (
            "postgres://u:p%40s%2Fs@h/db",
            "jdbc:postgresql://h/db?password=p%40s%2Fs&sslmode=require&user=u",
            "u",
            "p@s/s",
        ),
        (
            "postgres://u:a:b+c&d@h/db",
            "jdbc:postgresql://h/db?password=a%3Ab%2Bc%26d&sslmode=require&user=u",
            "u",
            "a:b+c&d",
        ),
        (
            "postgres://u:p/@w@h/db",
            "jdbc:postgresql://h/db?password=p%2F%40w&sslmode=require&user=u",
            "u",
            "p/@w",
        ),
        (
            "postgres://u:100%@h/db?application_name=a@b",
            "jdbc:postgresql://h/db?application_name=a@b&password=100%25&sslmode=require&user=u",
            "u",
            "100%",
        ),
        (
            "postgres://u:$(touch%20x)`id`\"'\\@h/db",
            "jdbc:postgresql://h/db?password=%24%28touch%20x%29%60id%60%22%27%5C&sslmode=require&user=u",
            "u",
            "$(touch x)`id`\"'\\",
        ),
        (
            "postgres://u:\u{e4}*@h/$HOME",
            "jdbc:postgresql://h/$HOME?password=%C3%A4%2A&sslmode=require&user=u",
            "u",
            "\u{e4}*",
        ),
    ];

    #[test]
    fn a_database_is_where_its_address_says() {
        for (url, expected, user, password) in ADDRESSES {
            assert_eq!(jdbc(url), [expected, user, password], "{url}");
        }
        let endless = format!("postgres://u:{}@", "@:/?".repeat(500));
        for url in [
            "postgres://h/db",
            "postgres://u@h/db",
            "postgres://u:@h/db",
            "sqlite:///x",
            "redis://a:b@h",
            "not an address",
            "postgres://a:b@h:port/db",
            "postgres://a:b@h/db\nexport X=1",
            &endless,
        ] {
            assert_eq!(jdbc(url), ["unset", "unset", "unset"], "{url}");
        }
    }

    #[test]
    fn spring_is_told_unless_the_app_says_otherwise() {
        let names = ["SPRING_DATASOURCE_URL", "SPRING_DATASOURCE_USERNAME", "SPRING_DATASOURCE_PASSWORD"];
        let url = ("DATABASE_URL", "postgres://a:b@h/db");
        let spring = |more: &[(&str, &str)]| sourced(JDBC, &[&[url], more].concat(), &names).0;
        assert_eq!(spring(&[]), ["jdbc:postgresql://h/db?password=b&sslmode=require&user=a", "a", "b"]);
        assert_eq!(spring(&[("CI", "true")])[0], "jdbc:postgresql://h/db?password=b&user=a");
        assert_eq!(spring(&[("SPRING_DATASOURCE_URL", "mine")]), ["mine", "unset", "unset"]);
        assert_eq!(spring(&[("SPRING_DATASOURCE_USERNAME", "me")]), ["unset", "me", "unset"]);
        assert_eq!(spring(&[("DISABLE_SPRING_DATASOURCE_URL", "true")]), ["unset", "unset", "unset"]);
        let pool = ("DATABASE_CONNECTION_POOL_URL", "postgres://a:b@pool/db");
        assert!(spring(&[pool])[0].starts_with("jdbc:postgresql://pool/db?"));
        let others =
            [("HEROKU_POSTGRESQL_AMBER_URL", "postgres://a:b@amber/x"), ("JAWSDB_URL", "mysql://c:d@j/x")];
        let names = ["HEROKU_POSTGRESQL_AMBER_JDBC_URL", "JDBC_DATABASE_URL", "paddock_name"];
        let (values, said) = sourced(JDBC, &others, &names);
        assert!(values[0].starts_with("jdbc:postgresql://amber/x?"), "{values:?}");
        assert_eq!((values[1].as_str(), values[2].as_str()), ("jdbc:mysql://j/x?password=d&user=c", "unset"));
        assert_eq!(said, "");
        let redis = [("REDIS_URL", "rediss://:p@h:6379"), ("SPRING_DATA_REDIS_URL", "mine")];
        let (values, _) = sourced(SPRING, &redis, &["SPRING_REDIS_URL", "SPRING_DATA_REDIS_URL"]);
        assert_eq!(values, ["rediss://:p@h:6379", "mine"]);
    }

    #[test]
    fn java_takes_as_much_memory_as_the_dyno_has_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("app");
        let java = home.join(".jdk/bin/java");
        fs::create_dir_all(java.parent().unwrap()).unwrap();
        fs::write(&java, "").unwrap();
        fs::set_permissions(&java, PermissionsExt::from_mode(0o755)).unwrap();
        let home = home.display().to_string();
        let script = JVM_COMMON.replace("/sys/fs/cgroup", &folder.path().display().to_string());
        let has = |limit: &str, variables: &[(&str, &str)]| {
            fs::write(folder.path().join("memory.max"), limit).unwrap();
            let variables = [&[("HOME", home.as_str())], variables].concat();
            sourced(&script, &variables, &["JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JAVA_HOME"])
        };
        let small = "-Dfile.encoding=UTF-8 -XX:MaxRAM=536870912 -Xmx300m -Xss512k -XX:CICompilerCount=2";
        let (values, said) = has("536870912\n", &[("DYNO", "web.1")]);
        assert_eq!(values, [small, small, &format!("{home}/.jdk")]);
        assert!(said.starts_with("Setting JAVA_TOOL_OPTIONS defaults"), "{said}");
        let (values, said) = has("536870912", &[("DYNO", "run.1"), ("JAVA_OPTS", "-Xmx99m")]);
        assert_eq!((values[0].as_str(), values[1].as_str()), (&*format!("{small} -Xmx99m"), "unset"));
        assert_eq!(said, "");
        for (limit, options) in [
            ("1073741824", "-XX:MaxRAM=1073741824 -Xmx671m -XX:CICompilerCount=2"),
            ("2684354560", "-XX:MaxRAM=2684354560 -XX:MaxRAMPercentage=80.0"),
            ("max", "-XX:MaxRAMPercentage=80.0"),
            ("9223372036854771712", "-XX:MaxRAMPercentage=80.0"),
            ("$(id)", "-XX:MaxRAMPercentage=80.0"),
        ] {
            let (values, said) = has(limit, &[("DYNO", "worker.1")]);
            assert_eq!(values[1], format!("-Dfile.encoding=UTF-8 {options}"), "{limit}");
            assert_eq!(said, "");
        }
        fs::remove_file(&java).unwrap();
        assert!(has("max", &[("DYNO", "worker.1")]).1.contains("push again"));
    }
}
