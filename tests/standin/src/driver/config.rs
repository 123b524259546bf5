//! What the environment asks for.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::code::CUresult;

/// In which order streams run what was issued to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamOrder {
    /// A command runs when it is issued.
    Eager,
    /// Commands run when the host waits, those of the oldest stream first.
    OldestFirst,
    /// Commands run when the host waits, those of the newest stream first.
    NewestFirst,
    /// Commands run when the host waits, each drawn from those that may run.
    Shuffled(u64),
}

/// A planned failure: the `nth` call of a kind, and the code it gives, if it is not the kind's usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) nth: u64,
    pub(crate) code: Option<CUresult>,
}

/// The settings of one process.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) order: StreamOrder,
    pub(crate) devices: usize,
    pub(crate) memory: usize,
    pub(crate) capability: u32,
    pub(crate) driver: u32,
    pub(crate) uninitialised: bool,
    pub(crate) races: bool,
    pub(crate) failures: Vec<Failure>,
    pub(crate) lost: Option<Failure>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) trace: usize,
}

/// The kinds of failure that are no function names.
const KINDS: [&str; 9] = ["alloc", "host", "module", "launch", "copy", "graph", "instantiate", "stream", "event"];

/// The driver that first knew a compute capability of 10 and above is CUDA 12.8's.
const BLACKWELL_DRIVER: u32 = 12080;

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// A line that names the variable and its value: a test whose settings are not understood must not pass.
    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::read(|name| std::env::var(format!("SRUP_STANDIN_{name}")).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let capability = number(&variable, "CC", 86)?;
        if super::device::architecture(capability).is_none() {
            return Err(format!("SRUP_STANDIN_CC={capability}: not one of 75, 80, 86, 89, 90, 100, 120"));
        }
        let devices = number(&variable, "DEVICES", 1)?;
        if devices > 2 {
            return Err(format!("SRUP_STANDIN_DEVICES={devices}: not 0, 1 or 2"));
        }
        let (uninitialised, races) = checks(variable("CHECKS").as_deref())?;
        Ok(Self {
            order: order(variable("ORDER").as_deref())?,
            devices,
            memory: number(&variable, "MEMORY", 8 << 30)?,
            capability,
            driver: number(&variable, "DRIVER", if capability >= 100 { BLACKWELL_DRIVER } else { 12020 })?,
            uninitialised,
            races,
            failures: failures(variable("FAIL").as_deref().unwrap_or_default())?,
            lost: variable("LOST").map(|text| lost(&text)).transpose()?,
            report: variable("REPORT").map(|path| path.replace("%p", &std::process::id().to_string()).into()),
            trace: number(&variable, "TRACE", 100_000)?,
        })
    }
}

fn number<T: FromStr<Err: Display>>(
    variable: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: T,
) -> Result<T, String> {
    match variable(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|e| format!("SRUP_STANDIN_{name}={text}: {e}")),
    }
}

fn order(text: Option<&str>) -> Result<StreamOrder, String> {
    match text {
        None | Some("eager") => Ok(StreamOrder::Eager),
        Some("lazy") => Ok(StreamOrder::OldestFirst),
        Some("lazy:last") => Ok(StreamOrder::NewestFirst),
        Some(text) => text
            .strip_prefix("shuffled:")
            .and_then(|seed| seed.parse().ok())
            .map(StreamOrder::Shuffled)
            .ok_or(format!("SRUP_STANDIN_ORDER={text}: not eager, lazy, lazy:last or shuffled:SEED")),
    }
}

fn checks(text: Option<&str>) -> Result<(bool, bool), String> {
    let (mut uninitialised, mut races) = (false, false);
    for word in text.unwrap_or("all").split(',') {
        match word {
            "none" => {}
            "all" => (uninitialised, races) = (true, true),
            "uninitialised" => uninitialised = true,
            "races" => races = true,
            _ => return Err(format!("SRUP_STANDIN_CHECKS: {word} is not none, all, uninitialised or races")),
        }
    }
    Ok((uninitialised, races))
}

fn failures(text: &str) -> Result<Vec<Failure>, String> {
    text.split(',').filter(|item| !item.is_empty()).map(failure).collect()
}

fn failure(item: &str) -> Result<Failure, String> {
    let wrong = || format!("SRUP_STANDIN_FAIL: {item} is not kind:n or kind:n=code");
    let (kind, count) = item.split_once(':').ok_or_else(wrong)?;
    if !KINDS.contains(&kind) && !kind.starts_with("cu") {
        return Err(format!("SRUP_STANDIN_FAIL: {kind} is neither a function nor one of {}", KINDS.join(", ")));
    }
    let (nth, code) = count_and_code(count).ok_or_else(wrong)?;
    Ok(Failure { kind: kind.into(), nth, code })
}

fn lost(text: &str) -> Result<Failure, String> {
    let (nth, code) = count_and_code(text).ok_or(format!("SRUP_STANDIN_LOST={text} is not n or n=code"))?;
    Ok(Failure { kind: "lost".into(), nth, code })
}

/// `n` or `n=code`, where the code is one that cudarc's type for it can hold.
fn count_and_code(text: &str) -> Option<(u64, Option<CUresult>)> {
    let (count, code) = text.split_once('=').map_or((text, None), |(count, code)| (count, Some(code)));
    let nth = count.parse().ok().filter(|n| *n > 0)?;
    match code {
        None => Some((nth, None)),
        Some(code) => {
            let code = CUresult(code.parse().ok()?);
            (code != CUresult::SUCCESS && code.name().is_some()).then_some((nth, Some(code)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Config::read(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into()))
    }

    #[test]
    fn defaults_are_one_device_that_runs_eagerly_with_all_checks() {
        let config = with(&[]).unwrap();
        assert_eq!((config.order, config.devices, config.memory), (StreamOrder::Eager, 1, 8 << 30));
        assert_eq!((config.capability, config.driver), (86, 12020));
        assert!(config.uninitialised && config.races && config.failures.is_empty() && config.lost.is_none());
    }

    #[test]
    fn values_are_read() {
        let config = with(&[
            ("ORDER", "shuffled:7"),
            ("CC", "120"),
            ("CHECKS", "races"),
            ("FAIL", "alloc:3,cuEventRecord:1=719"),
            ("LOST", "9=700"),
        ])
        .unwrap();
        assert_eq!((config.order, config.driver), (StreamOrder::Shuffled(7), 12080));
        assert_eq!((config.uninitialised, config.races), (false, true));
        let codes: Vec<_> = config.failures.iter().map(|f| (f.kind.as_str(), f.nth, f.code)).collect();
        assert_eq!(codes, [("alloc", 3, None), ("cuEventRecord", 1, Some(CUresult::LAUNCH_FAILED))]);
        assert_eq!(config.lost.unwrap().code, Some(CUresult::ILLEGAL_ADDRESS));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_name() {
        for (name, value) in [
            ("ORDER", "random"),
            ("CC", "70"),
            ("DEVICES", "3"),
            ("MEMORY", "8G"),
            ("CHECKS", "bounds"),
            ("FAIL", "alloc"),
            ("FAIL", "allocate:1"),
            ("FAIL", "alloc:1=12345"),
            ("LOST", "0"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
