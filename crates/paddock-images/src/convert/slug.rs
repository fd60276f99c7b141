//! Conversion of a tree of files that a build has left to a mountable layer.

/// Owner and group of every file of a slug: the dyno's user.
pub const SLUG_ID: u32 = 1000;
/// The file system's own id. The same for every layer, so that equal trees become equal bytes.
pub(crate) const LAYER_UUID: &str = "7d9a1f3e-5c42-4b6e-9a57-2f0c8e61b3d4";
/// The date that the file system has for its own making. The converter makes later files as old as that, so it is one that
/// none has: 1 January 2100.
pub(crate) const CONVERTED_AT: u64 = 4_102_444_800;

/// The command that turns the tree at `tree_inside` into the layer file `out_inside`; both are absolute paths inside
/// the converter's container.
///
/// Files keep their dates. Equal trees (names, contents, modes, links, dates) give equal bytes: no time of the conversion,
/// no extended attributes, one owner, a fixed id, entries in order of name. Not compressed: on the build's path that is the fastest (100 MB in 0.2 s, against
/// 0.3 s with lz4 and 1.4 s with lz4hc), and reading needs no decompression.
#[must_use]
pub fn mkfs_erofs_command(tree_inside: &str, out_inside: &str) -> Vec<String> {
    let options = ["mkfs.erofs", "--quiet", "--preserve-mtime", "-x-1", "-U", LAYER_UUID];
    let mut command = vec!["env".to_owned(), format!("SOURCE_DATE_EPOCH={CONVERTED_AT}")];
    command.extend(options.into_iter().map(Into::into));
    command.push(format!("--force-uid={SLUG_ID}"));
    command.push(format!("--force-gid={SLUG_ID}"));
    command.extend([out_inside.to_owned(), tree_inside.to_owned()]);
    command
}
