//! Rust tests under the stand-in: each runs again in a process of its own, which finds it where a driver would be.
//!
//! ```no_run
//! use ptx_standin::harness;
//!
//! #[test]
//! fn a_kernel_adds() {
//!     if let Some(outcome) = harness::rerun("a_kernel_adds", &[("SRUP_STANDIN_ORDER", "shuffled:7")]) {
//!         return outcome.assert_clean();
//!     }
//!     // Here cudarc, or whatever loads libcuda.so.1, gets the stand-in.
//! }
//! ```
//!
//! With `SRUP_TEST_DEVICE=real` nothing is run again: the same tests use the machine's own driver.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use crate::install;
use crate::report::Report;

/// Set in the process that a test is run again in.
const INSIDE: &str = "SRUP_STANDIN_INSIDE";

/// How a test went in its own process.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the test.
    pub test: String,
    /// Exit status and what it printed.
    pub output: Output,
    /// What the stand-in wrote; empty where it was never loaded.
    pub report: Report,
}

impl Outcome {
    /// That the test passed.
    ///
    /// # Panics
    /// If it did not, with what it printed.
    pub fn assert_passed(&self) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&self.output.stdout), text(&self.output.stderr));
        assert!(self.output.status.success(), "{} failed under the stand-in:\n{out}\n{err}", self.test);
        // A filter that matches nothing passes too.
        assert!(!out.contains(" 0 passed"), "{} is no test of this program:\n{out}", self.test);
    }

    /// That the test passed, no check found anything, and everything was released.
    ///
    /// # Panics
    /// If not, with what was found.
    pub fn assert_clean(&self) {
        self.assert_passed();
        assert!(self.report.findings.is_empty(), "{}: {:#?}", self.test, self.report.findings);
        assert!(self.report.leaks.is_empty(), "{}: {:#?}", self.test, self.report.leaks);
    }
}

/// Runs test `name` (its path within the program, as `cargo test` lists it) in a process whose driver is the stand-in, with
/// these environment variables. None in that process, and where a real device is asked for: the test is then to go on.
///
/// # Panics
/// If the process cannot be started.
pub fn rerun(name: &str, variables: &[(&str, &str)]) -> Option<Outcome> {
    start(name, &["--exact", name, "--nocapture", "--test-threads=1"], variables)
}

/// Runs all tests of the program in one such process; [`is_inside`] tells them whether they have a driver.
///
/// # Panics
/// If the process cannot be started.
pub fn rerun_all(variables: &[(&str, &str)]) -> Option<Outcome> {
    start("all tests", &["--show-output"], variables)
}

/// Whether this process has a driver to test with: the stand-in, or the machine's own where that is asked for.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some() || is_real()
}

/// Whether tests are asked to use the machine's own driver: no fault can then be planted.
pub fn is_real() -> bool {
    env::var("SRUP_TEST_DEVICE").is_ok_and(|v| v == "real")
}

fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Option<Outcome> {
    if is_inside() {
        return None;
    }
    let folder = scratch_folder();
    let report = folder.join("report.json");
    let program = env::current_exe().expect("a test knows its program");
    let mut command = Command::new(program);
    command.args(arguments);
    command.env(INSIDE, "1").env("SRUP_STANDIN_REPORT", &report);
    command.env("LD_LIBRARY_PATH", library_path(&install(&folder).expect("the stand-in is built beside its tests")));
    command.envs(variables.iter().copied());
    let output = command.output().expect("a test can be started again");
    let report = fs::read_to_string(&report).ok();
    let report = report.map(|text| serde_json::from_str(&text).expect("the stand-in writes its report"));
    let _ = fs::remove_dir_all(&folder);
    Some(Outcome { test: name.into(), output, report: report.unwrap_or_default() })
}

/// `LD_LIBRARY_PATH` with a folder before all others.
pub fn library_path(folder: &Path) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(others);
    }
    path
}

/// A new folder for one process.
fn scratch_folder() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("ptx-standin-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
}
