//! How long a layer of 100 MB in 2,000 files takes from its tar to its mountable file, beside `mkfs.erofs` of the unpacked tree:
//! `cargo run --release -p paddock-images --example convert_speed FOLDER [TREE]`, where FOLDER is for what it makes and TREE what to take
//! instead. Times are the best of seven rounds, in turn.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement")]
#![allow(clippy::print_stdout, reason = "a measurement talks to its terminal")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use paddock_images::convert::{Compression, LayerLimits, convert_tar};
use paddock_images::mkfs_erofs_command;

const FILES: u64 = 2_000;
const BYTES: u64 = 100_000_000;
const ROUNDS: usize = 7;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let folder = tempfile::tempdir_in(arguments.next().expect("a folder to work in")).unwrap();
    let at = |name: &str| folder.path().join(name);
    let tree = arguments.next().map_or_else(|| at("tree"), PathBuf::from);
    if !tree.exists() {
        make_tree(&tree);
    }
    let mut tar = tar::Builder::new(File::create(at("tar")).unwrap());
    tar.follow_symlinks(false);
    tar.append_dir_all(".", &tree).unwrap();
    tar.finish().unwrap();
    let zipped = File::create(at("gzip")).unwrap();
    let mut zipped = flate2::write::GzEncoder::new(zipped, flate2::Compression::default());
    std::io::copy(&mut File::open(at("tar")).unwrap(), &mut zipped).unwrap();
    zipped.finish().unwrap();
    let zstd = Command::new("zstd").args(["-q", "-o"]).args([at("zstd"), at("tar")]).status();
    let zstd = zstd.is_ok_and(|status| status.success());
    let mut kinds = vec![("tar", Compression::None), ("gzip", Compression::Gzip)];
    kinds.extend(zstd.then_some(("zstd", Compression::Zstd)));
    let mut best = vec![Duration::MAX; kinds.len() + 1];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(timed(|| mkfs(&tree, &at("out"))));
        for (kind, (name, compression)) in kinds.iter().enumerate() {
            let took = timed(|| {
                let output = File::create(at("out")).unwrap();
                convert_tar(File::open(at(name)).unwrap(), *compression, output, &LayerLimits::IMAGE)
                    .unwrap();
            });
            best[kind + 1] = best[kind + 1].min(took);
        }
    }
    println!("mkfs.erofs {:.3} s", best[0].as_secs_f64());
    for ((name, _), took) in kinds.iter().zip(&best[1..]) {
        let bytes = at(name).metadata().unwrap().len();
        let times = took.as_secs_f64() / best[0].as_secs_f64();
        println!("{name:10} {:.3} s, {times:.2} times that, of {bytes} bytes", took.as_secs_f64());
    }
}

/// Files of all sizes up to ten times the average, which compress as programs do.
fn make_tree(root: &Path) {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let weights: Vec<u64> = (0..FILES).map(|_| 1 + next() % 10 * (next() % 10)).collect();
    let all: u64 = weights.iter().sum();
    for (number, weight) in weights.iter().enumerate() {
        let folder = root.join(format!("{}/{}", number % 40, number % 7));
        std::fs::create_dir_all(&folder).unwrap();
        let mut content = Vec::new();
        while (content.len() as u64) < BYTES * weight / all {
            let word = next();
            // Half of it is said again.
            content.extend(word.to_le_bytes());
            let again = content.len().saturating_sub((word % 5_000) as usize + 8);
            content.extend_from_within(again..again + 8);
        }
        File::create(folder.join(number.to_string())).unwrap().write_all(&content).unwrap();
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn mkfs(tree: &Path, out: &Path) {
    let _ = std::fs::remove_file(out);
    let command = mkfs_erofs_command(tree.to_str().unwrap(), out.to_str().unwrap());
    let status = Command::new(&command[0]).args(&command[1..]).stdout(std::process::Stdio::null()).status();
    assert!(status.unwrap().success());
}
