//! Packages that are installed in place (`-e`): the environment names their folders, by paths of the build.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::source::remove_any;

/// Systems that a requirement may come from.
const SYSTEMS: [&str; 4] = ["git+", "hg+", "svn+", "bzr+"];

/// When uv saw the source of a package, for its own next look at it: another time in every build.
const UV_MEMO: &str = "uv_cache.json";

/// A requirement that is installed in place: the part behind the option.
pub(super) fn in_place(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--editable").or_else(|| line.strip_prefix("-e"))?;
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some(rest.trim()).filter(|rest| !rest.is_empty())
}

/// Whether a requirement is fetched from a repository.
pub(super) fn is_fetched(requirement: &str) -> bool {
    SYSTEMS.iter().any(|system| requirement.starts_with(system))
}

/// Files of requirements as uv reads them, until they are put back: it installs nothing from a repository in place.
#[derive(Debug)]
pub(super) struct Reworded {
    files: Vec<(PathBuf, Vec<u8>, SystemTime)>,
}

impl Reworded {
    /// Has what comes from repositories installed as any other package, in these files.
    pub(super) fn write(files: &[(PathBuf, String)]) -> io::Result<Self> {
        let mut reworded = Self { files: Vec::new() };
        for (path, text) in files {
            let lines = text
                .lines()
                .map(|line| in_place(line.trim()).filter(|rest| is_fetched(rest)).unwrap_or(line));
            let new: String = lines.flat_map(|line| [line, "\n"]).collect();
            if text.lines().any(|line| in_place(line.trim()).is_some_and(is_fetched)) {
                reworded.files.push((path.clone(), fs::read(path)?, fs::metadata(path)?.modified()?));
                fs::write(path, new)?;
            }
        }
        Ok(reworded)
    }

    /// Puts the app's own files back as they were.
    pub(super) fn put_back(self) -> io::Result<()> {
        for (path, bytes, modified) in self.files {
            fs::write(&path, bytes)?;
            fs::File::options().write(true).open(&path)?.set_modified(modified)?;
        }
        Ok(())
    }
}

/// Names the folders of packages that are installed in place by their paths at run time. Later buildpacks find them by
/// those of the build, so this comes after all of them.
pub(super) fn settle(environment: &Path, build_dir: &Path, home: &Path) -> io::Result<()> {
    let (from, to) = (build_dir.as_os_str().as_encoded_bytes(), home.as_os_str().as_encoded_bytes());
    for library in folders(&environment.join("lib"))? {
        let packages = library.join("site-packages");
        if !packages.is_dir() {
            continue;
        }
        let mut changed = Vec::new();
        for entry in fs::read_dir(&packages)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".dist-info") {
                changed.extend(replace(&path.join("direct_url.json"), from, to)?);
                let memo = path.join(UV_MEMO);
                if memo.exists() {
                    remove_any(&memo)?;
                    changed.push(memo);
                }
            } else if name.ends_with(".pth") || name.ends_with(".egg-link") || is_finder(&name) {
                changed.extend(replace(&path, from, to)?);
                remove_compiled(&path)?;
            }
        }
        if !changed.is_empty() {
            forget(&packages, &changed)?;
        }
    }
    Ok(())
}

/// What setuptools writes for packages that one path cannot say.
fn is_finder(name: &str) -> bool {
    name.starts_with("__editable__") && name.ends_with(".py")
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// Replaces a path in a plain file; gives the file if it was in it.
fn replace(file: &Path, from: &[u8], to: &[u8]) -> io::Result<Option<PathBuf>> {
    if !file.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let bytes = fs::read(file)?;
    let mut new = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        new.extend_from_slice(&rest[..at]);
        new.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    if rest.len() == bytes.len() {
        return Ok(None);
    }
    new.extend_from_slice(rest);
    fs::write(file, new)?;
    Ok(Some(file.to_owned()))
}

/// What was compiled from a finder is taken as it is, whatever the finder says now.
fn remove_compiled(file: &Path) -> io::Result<()> {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem()) else { return Ok(()) };
    let start = format!("{}.", stem.to_string_lossy());
    for path in folders(&folder.join("__pycache__"))? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start)) {
            remove_any(&path)?;
        }
    }
    Ok(())
}

/// Takes sums of files that were changed out of the packages' records, and files that are gone: they hold what is of one
/// build.
fn forget(packages: &Path, changed: &[PathBuf]) -> io::Result<()> {
    let names: Vec<_> = changed
        .iter()
        .filter_map(|path| Some((format!("{},", path.strip_prefix(packages).ok()?.display()), path.exists())))
        .collect();
    for folder in folders(packages)? {
        let record = folder.join("RECORD");
        if !folder.to_string_lossy().ends_with(".dist-info") || !record.is_file() {
            continue;
        }
        let text = fs::read_to_string(&record)?;
        let lines = text.lines().map(|line| {
            let found =
                names.iter().find_map(|(name, exists)| Some((&line[..end_of_path(line, name)?], *exists)));
            match found {
                Some((path, true)) => format!("{path},\n"),
                Some((_, false)) => String::new(),
                None => format!("{line}\n"),
            }
        });
        let new: String = lines.collect();
        if new != text {
            fs::write(&record, new)?;
        }
    }
    Ok(())
}

/// Where the path of a record's line ends, if it is this file's. Poetry writes whole paths.
fn end_of_path(line: &str, name: &str) -> Option<usize> {
    if line.starts_with(name) {
        return Some(name.len());
    }
    let whole = format!("/site-packages/{name}");
    line.find(&whole).map(|at| at + whole.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_in_place_is_told_from_what_is_fetched() {
        for (line, expected) in [
            ("-e .", Some(".")),
            ("-e ./lib[x]", Some("./lib[x]")),
            ("-elib", Some("lib")),
            ("--editable=git+https://h/x", Some("git+https://h/x")),
            ("--editable  lib", Some("lib")),
            ("six", None),
            ("-r more.txt", None),
            ("-e", None),
        ] {
            assert_eq!(in_place(line), expected, "{line}");
        }
        assert!(is_fetched("git+https://h/x@v1#egg=x") && !is_fetched("./git+x"));
    }

    #[test]
    fn files_are_as_they_were_after_the_installation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requirements.txt");
        let text = "six\r\n-e git+https://h/x#egg=x\r\n-e ./lib\r\n";
        fs::write(&file, text).unwrap();
        let other = folder.path().join("more.txt");
        fs::write(&other, "-e .").unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let files = [(file.clone(), text.to_owned()), (other, "-e .".to_owned())];
        let reworded = Reworded::write(&files).unwrap();
        assert_eq!(reworded.files.len(), 1, "only what has to be is changed");
        assert_eq!(fs::read_to_string(&file).unwrap(), "six\ngit+https://h/x#egg=x\n-e ./lib\n");
        reworded.put_back().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn every_file_that_names_a_folder_of_the_build_names_that_of_the_dyno() {
        let root = tempfile::tempdir().unwrap();
        let packages = root.path().join("lib/python3.11/site-packages");
        let write = |name: &str, text: &str| {
            let path = packages.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("__editable__.shop-1.pth", "/tmp/build_1/src\n");
        write("easy-install.pth", "/tmp/build_1\n/tmp/build_1/lib\n");
        write("shop.egg-link", "/tmp/build_1\n.");
        write("__editable___shop_1_finder.py", "MAPPING = {'shop': '/tmp/build_1/src/shop'}");
        write("__pycache__/__editable___shop_1_finder.cpython-311.pyc", "old");
        write("__pycache__/six.cpython-311.pyc", "kept");
        write("shop-1.dist-info/direct_url.json", "{\"url\":\"file:///tmp/build_1\"}");
        write(
            "shop-1.dist-info/RECORD",
            "__editable__.shop-1.pth,sha256=x,17\nshop-1.dist-info/direct_url.json,sha256=y,3\nshop-1.dist-info/METADATA,sha256=z,1\nshop-1.dist-info/uv_cache.json,sha256=u,9\n",
        );
        write(
            "tool-1.dist-info/RECORD",
            "/app/.heroku/python/lib/python3.11/site-packages/easy-install.pth,sha256=x,17\n/app/.heroku/python/lib/python3.11/site-packages/six.py,sha256=y,3\n",
        );
        write("shop-1.dist-info/uv_cache.json", "{}");
        write("other.py", "/tmp/build_1");
        write("six-1.dist-info/RECORD", "six.py,sha256=x,1\n");
        settle(root.path(), Path::new("/tmp/build_1"), Path::new("/app")).unwrap();
        let read = |name: &str| fs::read_to_string(packages.join(name)).unwrap();
        assert_eq!(read("__editable__.shop-1.pth"), "/app/src\n");
        assert_eq!(read("easy-install.pth"), "/app\n/app/lib\n");
        assert_eq!(read("shop.egg-link"), "/app\n.");
        assert_eq!(read("__editable___shop_1_finder.py"), "MAPPING = {'shop': '/app/src/shop'}");
        assert!(!packages.join("__pycache__/__editable___shop_1_finder.cpython-311.pyc").exists());
        assert_eq!(read("__pycache__/six.cpython-311.pyc"), "kept");
        assert_eq!(read("shop-1.dist-info/direct_url.json"), "{\"url\":\"file:///app\"}");
        assert_eq!(
            read("shop-1.dist-info/RECORD"),
            "__editable__.shop-1.pth,,\nshop-1.dist-info/direct_url.json,,\nshop-1.dist-info/METADATA,sha256=z,1\n"
        );
        assert_eq!(
            read("tool-1.dist-info/RECORD"),
            "/app/.heroku/python/lib/python3.11/site-packages/easy-install.pth,,\n/app/.heroku/python/lib/python3.11/site-packages/six.py,sha256=y,3\n"
        );
        assert_eq!(read("other.py"), "/tmp/build_1", "a package's own files are its own");
        settle(&root.path().join("none"), Path::new("/tmp/build_1"), Path::new("/app")).unwrap();
    }
}
