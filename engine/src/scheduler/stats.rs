//! What has been done so far.

use std::collections::VecDeque;
use std::time::Duration;

/// Over which time the rate is counted.
const SECOND: Duration = Duration::from_secs(1);

/// What a scheduler has done since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Frames that have left.
    pub frames: u64,
    /// Those of them that left after they were due.
    pub late: u64,
    /// Those that were made bicubic to be in time.
    pub deadline_bicubic: u64,
    /// Frames of each rung of the ladder, with the model's name; best first. Bicubic for a deadline's sake counts for the last.
    pub rungs: Vec<(String, u64)>,
    /// What makes frames, as [`Scheduler::describe`](super::Scheduler::describe) says it.
    pub engine: String,
    /// The model in use.
    pub model: String,
    /// How often it has changed.
    pub switches: u64,
    /// Pictures that nobody wanted, computed to see what a better model would take.
    pub probes: u64,
    /// Mean part of a frame that was taken from the frame before it, 0 to 1.
    pub reused: f64,
    /// Frames that left in the last second.
    pub fps: f64,
    /// Mean time of these frames from coming to leaving.
    pub latency: Duration,
}

impl Stats {
    /// What was done before, and then this: counts are added, the rest is as it is now.
    #[must_use]
    pub fn and(self, now: Self) -> Self {
        let (before, frames) = (self.frames as f64, self.frames + now.frames);
        let mut rungs = now.rungs;
        for (name, count) in self.rungs {
            match rungs.iter_mut().find(|(other, _)| *other == name) {
                Some((_, total)) => *total += count,
                None => rungs.push((name, count)),
            }
        }
        Self {
            frames,
            late: self.late + now.late,
            deadline_bicubic: self.deadline_bicubic + now.deadline_bicubic,
            rungs,
            engine: now.engine,
            model: now.model,
            switches: self.switches + now.switches,
            probes: self.probes + now.probes,
            reused: (self.reused * before + now.reused * now.frames as f64) / (frames.max(1) as f64),
            fps: now.fps,
            latency: now.latency,
        }
    }
}

/// One frame that leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub at: Duration,
    pub inside: Duration,
    pub rung: usize,
    pub reused: f64,
    pub late: bool,
    pub deadline_bicubic: bool,
}

/// Keeps [`Stats`].
#[derive(Debug)]
pub(super) struct Counter {
    stats: Stats,
    reused: f64,
    recent: VecDeque<(Duration, Duration)>,
}

impl Counter {
    /// For a ladder of those names.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let stats = Stats { rungs: names.map(|name| (name.to_owned(), 0)).collect(), ..Stats::default() };
        Self { stats, reused: 0.0, recent: VecDeque::new() }
    }

    pub fn count(&mut self, left: &Left) {
        self.stats.frames += 1;
        self.stats.late += u64::from(left.late);
        self.stats.deadline_bicubic += u64::from(left.deadline_bicubic);
        if let Some((_, count)) = self.stats.rungs.get_mut(left.rung) {
            *count += 1;
        }
        self.reused += left.reused;
        self.recent.push_back((left.at, left.inside));
        while self.recent.front().is_some_and(|(at, _)| *at + SECOND <= left.at) {
            self.recent.pop_front();
        }
    }

    /// The state of things, with the rung in use and how often it has changed.
    pub fn stats(&self, now: Duration, rung: usize, switches: u64) -> Stats {
        let mut stats = self.stats.clone();
        stats.model = stats.rungs.get(rung).map(|(name, _)| name.clone()).unwrap_or_default();
        stats.switches = switches;
        stats.reused = self.reused / stats.frames.max(1) as f64;
        let last: Vec<_> = self.recent.iter().filter(|(at, _)| *at + SECOND > now).collect();
        // A stream that began less than a second ago has not been counted for a whole one.
        let span = last.first().map_or(SECOND, |(first, _)| now.saturating_sub(*first).max(SECOND / 4).min(SECOND));
        stats.fps = if last.is_empty() { 0.0 } else { last.len() as f64 / span.as_secs_f64() };
        let inside: Duration = last.iter().map(|(_, inside)| *inside).sum();
        stats.latency = inside / last.len().max(1) as u32;
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_and_the_rate_is_that_of_the_last_second() {
        let mut counter = Counter::new(["a", "b"].into_iter());
        let ms = Duration::from_millis;
        for n in 0..100_u64 {
            let (at, inside) = (ms(40 * n), ms(if n < 50 { 80 } else { 20 }));
            let rung = usize::from(n >= 90);
            counter.count(&Left { at, inside, rung, reused: 0.5, late: n == 3, deadline_bicubic: n == 95 });
        }
        let stats = counter.stats(ms(3960), 1, 7);
        assert_eq!((stats.frames, stats.late, stats.deadline_bicubic, stats.switches), (100, 1, 1, 7));
        assert_eq!(stats.rungs, [("a".to_owned(), 90), ("b".to_owned(), 10)]);
        assert_eq!((stats.model.as_str(), stats.latency, stats.reused), ("b", ms(20), 0.5));
        assert!((stats.fps - 25.0).abs() < 1.1, "{}", stats.fps);
        assert_eq!(counter.stats(ms(6000), 1, 7).fps, 0.0);
    }
}
