//! Failures on request: the nth call of a kind, or the loss of the device.

use super::code::CUresult;
use super::config::{Config, Failure};

/// What is still to fail, and what did.
#[derive(Debug)]
pub(crate) struct Injection {
    planned: Vec<Failure>,
    lost: Option<Failure>,
    pub(crate) done: Vec<String>,
}

impl Injection {
    pub(crate) fn new(config: &Config) -> Self {
        Self { planned: config.failures.clone(), lost: config.lost.clone(), done: Vec::new() }
    }

    /// Counts a call of a kind; the code that it must fail with, if it is the one.
    pub(crate) fn strike(&mut self, kind: &str, usual: CUresult) -> Option<CUresult> {
        let mut struck = None;
        for failure in self.planned.iter_mut().filter(|failure| failure.kind == kind && failure.nth > 0) {
            failure.nth -= 1;
            if failure.nth == 0 {
                struck = Some(failure.code.unwrap_or(usual));
            }
        }
        if let Some(code) = struck {
            eprintln!("ptx-standin: injected: {kind} fails with {code}");
            self.done.push(format!("{kind}: {code}"));
        }
        struck
    }

    /// Whether the device is lost at the call of this number, or was before; the code that calls then give.
    pub(crate) fn lost(&mut self, call: u64) -> Option<CUresult> {
        let failure = self.lost.as_ref()?;
        let code = failure.code.unwrap_or(CUresult::DEVICE_UNAVAILABLE);
        if call == failure.nth {
            eprintln!("ptx-standin: injected: device lost at driver call {call}, {code} from now on");
            self.done.push(format!("lost: {code}"));
        }
        (call >= failure.nth).then_some(code)
    }
}
