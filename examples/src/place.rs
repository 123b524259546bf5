//! Where names lead.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether two names lead to one file or folder, as links and mounts make it.
pub fn are_one(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    place(a).is_some_and(|found| place(b) == Some(found))
}
