//! Files of results: that they can be written is made sure of before the long work whose end they hold.

use std::fs::{self, File};
use std::path::Path;

use srup_examples::Failure;

/// Says beforehand whether [`write`] would fail; nothing is left behind, and what is there stays as it is.
///
/// # Errors
/// If the file cannot be written.
pub fn check(path: &Path) -> Result<(), Failure> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file() && !there.is_dir()) {
        // Whoever reads from a pipe would take this for its end.
        return Ok(());
    }
    File::options().write(true).create(true).truncate(false).open(path).map_err(|error| cannot(path, &error))?;
    if there.is_none() {
        fs::remove_file(path).map_err(|error| cannot(path, &error))?;
    }
    Ok(())
}

/// Writes all that the file is to hold.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "what was there").unwrap();
        check(&old).unwrap();
        check(&new).unwrap();
        assert_eq!((fs::read_to_string(&old).unwrap().as_str(), new.exists()), ("what was there", false));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("nowhere/results.json")).is_err() && check(folder.path()).is_err());
    }
}
