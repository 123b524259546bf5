//! Ctrl-C: the first asks for an early end with a playable file, the second ends at once and leaves nothing.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use srup_examples::{signals, tell};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// True once the user has asked for the end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Names the file that a second Ctrl-C deletes; None once it has its final name.
pub fn set_unfinished(path: Option<&Path>) {
    *UNFINISHED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = path.map(Path::to_owned);
}

/// Listens from now on. Where that fails Ctrl-C ends the program at once, as it does by default.
pub fn listen() {
    let handler = || {
        if !REQUESTED.swap(true, Ordering::Relaxed) {
            tell("stopping: what is done so far will be kept; press Ctrl-C again to throw it away");
            return;
        }
        if let Some(path) = UNFINISHED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take() {
            // The process ends here; nobody is left to be told of a failure.
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(130);
    };
    if let Err(error) = signals::listen(handler) {
        tell(format_args!("warning: Ctrl-C will leave no file: {error}"));
    }
}
