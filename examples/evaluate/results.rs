//! Files of results: their place is made sure of before the long work whose end they hold.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use srup_examples::Failure;

/// A file that can be written. What it held stays until [`Results::write`]; one that was new is gone again if that never comes.
pub struct Results {
    path: PathBuf,
    file: File,
    unfinished: bool,
}

impl Results {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let new = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| cannot(path, &error))?;
        Ok(Self { path: path.to_owned(), file, unfinished: new })
    }

    /// Writes all that the file is to hold.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(mut self, text: &str) -> Result<(), Failure> {
        // A device or a pipe has no length.
        let emptied = if self.file.metadata().is_ok_and(|data| data.is_file()) { self.file.set_len(0) } else { Ok(()) };
        emptied.and_then(|()| self.file.write_all(text.as_bytes())).map_err(|error| cannot(&self.path, &error))?;
        self.unfinished = false;
        Ok(())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if self.unfinished {
            // Nothing is left to be said about an empty file that cannot be removed: another failure is being told.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "what was there, which is longer").unwrap();
        drop((Results::at(&old).unwrap(), Results::at(&new).unwrap()));
        assert_eq!((std::fs::read_to_string(&old).unwrap().len(), new.exists()), (31, false));
        for path in [&old, &new] {
            Results::at(path).unwrap().write("results").unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), "results");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            Results::at(&folder.path().join("nowhere/results.json")).is_err() && Results::at(folder.path()).is_err()
        );
    }
}
