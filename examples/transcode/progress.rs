//! How far it is: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use srup_examples::tell;

/// Time between two plain lines.
const LINE: Duration = Duration::from_secs(3);

/// Shows on stderr how many frames are done.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    started: Instant,
    /// When the last plain line was printed, and how many frames it named.
    line: Option<(Instant, u64)>,
}

impl Progress {
    /// Starts the clock. `total` is 0 if unknown.
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        Self { bar, total, started: Instant::now(), line: None }
    }

    /// Shows that `done` frames are done.
    pub fn update(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => {
                // More frames than the file announced: the bar's end moves along.
                if self.total > 0 && done > self.total {
                    bar.set_length(done);
                }
                bar.set_position(done);
            }
            None if done > 0 && self.line.is_none_or(|(time, last)| time.elapsed() >= LINE && last != done) => {
                self.line = Some((Instant::now(), done));
                tell(line(done, self.total, self.seconds()));
            }
            None => {}
        }
    }

    /// Prints a warning without breaking the bar.
    pub fn warn(&self, text: &str) {
        let tell = || tell(format_args!("warning: {text}"));
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let (bar, template) = if total > 0 {
        (ProgressBar::new(total), "{bar:30} {pos}/{len} frames, {per_sec}, {eta} left")
    } else {
        (ProgressBar::new_spinner(), "{spinner} {pos} frames, {per_sec}, {elapsed}")
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.with_key("per_sec", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        // A writer that fails leaves a gap in the bar and nothing else.
        let _ = write!(out, "{:.1} fps", state.per_sec());
    }))
}

fn line(done: u64, total: u64, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(1e-3);
    if total == 0 {
        return format!("{done} frames, {rate:.1} fps");
    }
    let left = (total.saturating_sub(done) as f64 / rate).round() as u64;
    format!("{done}/{total} frames, {rate:.1} fps, {}:{:02} left", left / 60, left % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left() {
        assert_eq!(line(50, 200, 10.0), "50/200 frames, 5.0 fps, 0:30 left");
        assert_eq!(line(50, 0, 10.0), "50 frames, 5.0 fps");
        assert_eq!(line(210, 200, 10.0), "210/200 frames, 21.0 fps, 0:00 left");
    }
}
