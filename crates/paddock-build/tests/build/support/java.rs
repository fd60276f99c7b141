//! Java apps without dependencies, for build tools that reach no index but Debian's folder of packages.

use std::path::Path;
use std::process::Command;

/// A program that greets.
pub const MAIN: &str = "public class Main {\n    public static void main(String[] words) {\n        System.out.println(\"hello \" + words[0]);\n    }\n}\n";

/// A POM for what Debian has of Maven's plugins. The plugin that cleans names a package which Maven else adds in a
/// version that Debian has not.
pub const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
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

/// Has Maven take everything from Debian's folder.
pub const SETTINGS: &str = "<settings><mirrors><mirror><id>debian</id><url>file:///usr/share/maven-repo</url>\
    <mirrorOf>*</mirrorOf></mirror></mirrors></settings>\n";

/// What the Java of a slug says.
pub fn java_says(app: &Path, arguments: &[&str]) -> String {
    let output = Command::new(app.join(".jdk/bin/java")).args(arguments).current_dir(app).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
