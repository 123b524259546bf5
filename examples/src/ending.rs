//! How a program ends: exit codes and the one line that explains a failure.

use std::fmt;
use std::process::ExitCode;

use crate::tell;

/// Exit code of a program that Ctrl-C or a termination signal stopped: 128 + SIGINT, as shells count.
const INTERRUPTED: u8 = 130;

/// How a program ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was done: exit code 0.
    Done,
    /// The user stopped it, and what was made is kept: exit code 130.
    Interrupted,
}

/// Why a program could not go on: one line that says what to do. Exit code 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with that text; line breaks become spaces.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<srup_engine::Error> for Failure {
    fn from(error: srup_engine::Error) -> Self {
        Self::new(error)
    }
}

/// Prints `error: …` for a failure and gives the process its exit code: 0, 1, or 130 after Ctrl-C.
/// Wrong arguments end with 2 before this, by clap.
pub fn finish(result: Result<Ending, Failure>) -> ExitCode {
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(failure) => {
            tell(format_args!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        assert_eq!(Failure::new("no\n  such file\n").to_string(), "no such file");
    }
}
