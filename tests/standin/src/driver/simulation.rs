//! A clock in nanoseconds for an ideal device: when each operation would start and end there.
//!
//! A device has three engines: copies up, copies down, kernels (and copies and fills within the device). An
//! operation starts once the host has issued it, what it depends on has ended and its engine is free; an engine fills
//! gaps. A kernel takes one nanosecond a warp instruction, a copy one a 25 bytes, the rest nothing. The host takes no
//! time but for waiting. These are no predictions: they show what may run at once, and what may not.

use std::collections::BTreeMap;

/// The part of a device that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Up,
    Down,
    Kernels,
    None,
}

/// Bytes that a copy moves in a nanosecond: about what PCIe 4.0 x16 gives.
const BYTES_PER_NANOSECOND: u64 = 25;

pub(crate) fn copy_cost(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_NANOSECOND)
}

/// The engines of one device: for each the start and end of its busy times.
#[derive(Debug, Default)]
pub(crate) struct Engines([BTreeMap<u64, u64>; 3]);

impl Engines {
    /// Takes an engine for `cost` from `ready` on, or as soon as it has a gap as long; gives start and end.
    pub(crate) fn take(&mut self, engine: Engine, ready: u64, cost: u64) -> (u64, u64) {
        let busy = match engine {
            Engine::Up => &mut self.0[0],
            Engine::Down => &mut self.0[1],
            Engine::Kernels => &mut self.0[2],
            Engine::None => return (ready, ready + cost),
        };
        if cost == 0 {
            return (ready, ready);
        }
        let mut start = ready.max(busy.range(..=ready).next_back().map_or(0, |(_, end)| *end));
        for (from, end) in busy.range(start..) {
            if start + cost <= *from {
                break;
            }
            start = *end;
        }
        let (mut from, mut end) = (start, start + cost);
        if let Some((before, _)) = busy.range(..start).next_back().filter(|(_, end)| **end == start) {
            from = *before;
        }
        if let Some(after) = busy.remove(&end) {
            end = after;
        }
        busy.insert(from, end);
        (start, start + cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_does_one_thing_at_a_time_and_fills_gaps() {
        let mut engines = Engines::default();
        assert_eq!(engines.take(Engine::Up, 0, 10), (0, 10));
        assert_eq!(engines.take(Engine::Up, 30, 10), (30, 40));
        assert_eq!(engines.take(Engine::Up, 5, 20), (10, 30));
        assert_eq!(engines.take(Engine::Up, 0, 1), (40, 41));
        assert_eq!(engines.take(Engine::Kernels, 0, 10), (0, 10));
        assert_eq!(engines.take(Engine::None, 7, 0), (7, 7));
    }

    #[test]
    fn a_gap_too_short_is_passed_over() {
        let mut engines = Engines::default();
        engines.take(Engine::Down, 0, 10);
        engines.take(Engine::Down, 15, 10);
        assert_eq!(engines.take(Engine::Down, 0, 6), (25, 31));
        assert_eq!(engines.take(Engine::Down, 0, 5), (10, 15));
        assert_eq!(engines.take(Engine::Down, 0, 5), (31, 36));
    }
}
