//! Names of files, as they are given to FFmpeg.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::Failure;

/// Checks that a file can be read, so that FFmpeg's own errors are about what is in it.
///
/// # Errors
/// One line that names the file.
pub fn check(path: &Path) -> Result<(), Failure> {
    if path.to_str().is_none() {
        return Err(Failure::new(format!("{}: the name is not UTF-8; rename the file", path.display())));
    }
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!("{}: no such file; check the name", path.display())),
        _ => Failure::new(format!("{}: {error}; check the file's permissions", path.display())),
    })?;
    if found.is_dir() {
        return Err(Failure::new(format!("{} is a folder; name a video file", path.display())));
    }
    // To close a pipe again would end the program that writes into it.
    if found.is_file() {
        File::open(path)
            .map_err(|error| Failure::new(format!("{}: {error}; check the file's permissions", path.display())))?;
    }
    Ok(())
}

/// How FFmpeg must be given a path, so that no part of it is taken for a protocol.
pub fn url(path: &Path) -> String {
    format!("file:{}", path.display())
}
