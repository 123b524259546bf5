//! Ctrl-C: the first asks for a proper end, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use srup_examples::{signals, tell};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// True once the user has asked for the end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Listens from now on. Where that fails Ctrl-C ends the program at once, as it does by default.
pub fn listen() {
    let handler = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell("stopping: the output is being ended; press Ctrl-C again to leave at once");
    };
    if let Err(error) = signals::listen(handler) {
        tell(format_args!("warning: Ctrl-C will not end the output properly: {error}"));
    }
}
