//! The files: what is wrong with them is found before any work starts, and nothing half done stays under the final name.

use std::fs;
use std::path::{Path, PathBuf};

use ffmpeg_next::format::{flag, format};
use srup_examples::video::{ffi, file};
use srup_examples::{Failure, are_one};

/// Checks both names. Returns the container that the output's ending asks for, and the file that is to be written: the
/// output, or what it is a link to.
pub fn check(input: &Path, output: &Path, overwrite: bool) -> Result<(format::Output, PathBuf), Failure> {
    file::check(input)?;
    check_output(output, input, overwrite)?;
    let container = container(output)?;
    if !output.is_symlink() {
        return Ok((container, output.to_owned()));
    }
    let target = fs::canonicalize(output).map_err(|error| {
        Failure::new(format!("{} is a link that leads nowhere: {error}; remove it first", output.display()))
    })?;
    Ok((container, target))
}

fn check_output(output: &Path, input: &Path, overwrite: bool) -> Result<(), Failure> {
    if output.to_str().is_none() {
        return Err(Failure::new(format!("{}: the name is not UTF-8; rename the file", output.display())));
    }
    if output.file_name().is_none() {
        return Err(Failure::new(format!("{} is no file name; name the file to write", output.display())));
    }
    let folder = folder(output);
    if !folder.is_dir() {
        return Err(Failure::new(format!("the folder {} does not exist; make it first", folder.display())));
    }
    let Ok(found) = fs::metadata(output) else { return Ok(()) };
    if found.is_dir() {
        return Err(Failure::new(format!("{} is a folder; name the file to write", output.display())));
    }
    if are_one(output, input) {
        return Err(Failure::new(format!("{} is both input and output; write to another name", output.display())));
    }
    if !found.is_file() {
        let text = format!("{} is a pipe or a device; name a file to write, and send that on", output.display());
        return Err(Failure::new(text));
    }
    if !overwrite {
        return Err(Failure::new(format!("{} exists; choose another name, or replace it with -y", output.display())));
    }
    Ok(())
}

fn container(output: &Path) -> Result<format::Output, Failure> {
    const KNOWN: &str = "end the name in .mkv, .mp4, .mov or .webm";
    let container = ffi::guess_container(output)
        .ok_or_else(|| Failure::new(format!("{}: no container has that ending; {KNOWN}", output.display())))?;
    if container.flags().contains(flag::Flags::NO_FILE) {
        let text = format!("{}: {} is not one video file; {KNOWN}", output.display(), container.name());
        return Err(Failure::new(text));
    }
    Ok(container)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The file that is written to: beside the output and with its ending, deleted unless it is [kept](Temporary::keep).
pub struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// Chooses the name for an output; makes nothing.
    pub fn beside(output: &Path) -> Self {
        let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        // With the process's number, so that two runs for one output do not write into one file.
        let name = format!(".{}.{}.part.{}", part(output.file_stem()), std::process::id(), part(output.extension()));
        Self { path: folder(output).join(name), kept: false }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its final name.
    pub fn keep(mut self, output: &Path, overwrite: bool) -> Result<(), Failure> {
        if !overwrite && output.exists() {
            let text = format!("{} has been made by another program meanwhile; run again with -y", output.display());
            return Err(Failure::new(text));
        }
        fs::rename(&self.path, output).map_err(|error| {
            Failure::new(format!("cannot write {}: {error}; check the folder's permissions", output.display()))
        })?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // It may never have been made, and nobody is left to be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_name_keeps_folder_and_ending() {
        let temporary = Temporary::beside(Path::new("films/clip.mkv"));
        let name = temporary.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        assert_eq!(temporary.path().parent(), Some(Path::new("films")));
        assert!(name.starts_with(".clip.") && name.ends_with(".part.mkv"), "{name}");
    }
}
