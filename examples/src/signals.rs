//! Signals that ask for the end: Ctrl-C, SIGTERM and SIGHUP.

use std::{mem, ptr};

use libc::{SIG_IGN, SIGHUP, SIGINT, SIGTERM};

/// Calls `handler`, on a thread of its own, each time that one comes. One that whoever started the program has it ignore, as
/// `nohup` does, stays ignored.
///
/// # Errors
/// The system refuses, or something listens already.
pub fn listen(handler: impl FnMut() + Send + 'static) -> Result<(), ctrlc::Error> {
    let ignored = [SIGINT, SIGTERM, SIGHUP].map(|signal| (signal, is_ignored(signal)));
    ctrlc::set_handler(handler)?;
    for (signal, _) in ignored.into_iter().filter(|(_, ignored)| *ignored) {
        // SAFETY: SIG_IGN runs no code, and the signal is one that may be ignored.
        unsafe { libc::signal(signal, SIG_IGN) };
    }
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zero is a valid action; without a new one the call only fills in the old.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut action) == 0 && action.sa_sigaction == SIG_IGN
    }
}
