//! Lines for the user. Whoever reads them may have gone: `head` takes a few, and Ctrl-C ends a `tee` too. The work goes on
//! without, where `println!` and `eprintln!` would panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes a line to stderr: progress, warnings, errors.
pub fn tell(line: impl Display) {
    // Nowhere is left to tell of a failure.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes a line to stdout: results.
pub fn print(line: impl Display) {
    if let Err(error) = writeln!(io::stdout().lock(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        tell(format_args!("warning: cannot write to stdout: {error}"));
    }
}
