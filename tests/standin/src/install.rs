//! Putting the library where programs look for the driver.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The names under which programs open the driver.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

/// Links the library into a folder under the names of the driver; the folder is created.
///
/// For tests of a package that depends on this one: the library then lies in the folder of the test's own binary, or
/// in the one above. Programs use it once the folder is in `LD_LIBRARY_PATH` when they start.
///
/// # Errors
/// If the library is not found, or the folder cannot be written.
pub fn install(into: &Path) -> Result<PathBuf> {
    let library = find(&std::env::current_exe()?)?;
    std::fs::create_dir_all(into)?;
    for name in NAMES {
        let link = into.join(name);
        match std::os::unix::fs::symlink(&library, &link) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                std::fs::remove_file(&link)?;
                std::os::unix::fs::symlink(&library, &link)?;
            }
            other => other?,
        }
    }
    Ok(into.to_path_buf())
}

fn find(executable: &Path) -> Result<PathBuf> {
    let folders = executable.ancestors().skip(1).take(2).flat_map(|folder| [folder.to_path_buf(), folder.join("deps")]);
    let found = folders.map(|folder| folder.join("libptx_standin.so")).find(|path| path.is_file());
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no libptx_standin.so near {}", executable.display())))
}
