//! Which stream operations happen before which: vector clocks.
//!
//! Operations lie on chains, one a stream and one a parallel branch of a graph; those of a chain follow each other.
//! A clock says for each chain how many of its operations are known to have ended: before an operation starts, or
//! to the host. So one look-up answers whether one operation is ordered before another.

use std::sync::Arc;

use crate::memory::CommandId;

/// For each chain, the number of operations that are known to have ended; chains beyond the end: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(Vec<u32>);

impl Clock {
    fn get(&self, chain: u32) -> u32 {
        self.0.get(chain as usize).copied().unwrap_or(0)
    }

    fn raise(&mut self, chain: u32, position: u32) {
        let chain = chain as usize;
        if self.0.len() <= chain {
            self.0.resize(chain + 1, 0);
        }
        self.0[chain] = self.0[chain].max(position);
    }

    fn merge(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }
}

/// An operation, and what is known once it has ended: all that happened before it, and itself.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) id: CommandId,
    pub(crate) clock: Arc<Clock>,
}

/// Where an operation lies, and when it ended on the simulated device.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    chain: u32,
    position: u32,
    end: u64,
}

/// The order of all operations of a process.
#[derive(Debug)]
pub(crate) struct Ordering {
    /// By [`CommandId`]; the first stands for the host.
    places: Vec<Place>,
    /// By chain: its number of operations.
    chains: Vec<u32>,
    idle: Vec<u32>,
    host: Clock,
}

impl Ordering {
    pub(crate) fn new() -> Self {
        Self { places: vec![Place::default()], chains: Vec::new(), idle: Vec::new(), host: Clock::default() }
    }

    /// A chain for a new stream or branch.
    ///
    /// One that was given back is used again only if the host knows that all on it has ended: then its operations
    /// are before all later ones anyway.
    pub(crate) fn open_chain(&mut self) -> u32 {
        let known = self.idle.iter().position(|chain| self.host.get(*chain) == self.chains[*chain as usize]);
        if let Some(index) = known {
            return self.idle.swap_remove(index);
        }
        self.chains.push(0);
        self.chains.len() as u32 - 1
    }

    pub(crate) fn close_chain(&mut self, chain: u32) {
        self.idle.push(chain);
    }

    /// The next operation on a chain, after others and after all that the host knows to have ended.
    pub(crate) fn issue<'a>(&mut self, chain: u32, after: impl Iterator<Item = &'a Mark>) -> Mark {
        let mut clock = self.host.clone();
        after.for_each(|mark| clock.merge(&mark.clock));
        let position = &mut self.chains[chain as usize];
        *position += 1;
        clock.raise(chain, *position);
        self.places.push(Place { chain, position: *position, end: 0 });
        Mark { id: self.places.len() as CommandId - 1, clock: Arc::new(clock) }
    }

    /// The host learns that these have ended.
    pub(crate) fn host_knows(&mut self, mark: &Mark) {
        self.host.merge(&mark.clock);
    }

    /// Whether the host knows that an operation has ended.
    pub(crate) fn is_known(&self, id: CommandId) -> bool {
        self.within(id, &self.host)
    }

    /// Whether an operation is the one of a clock, or before it.
    pub(crate) fn within(&self, id: CommandId, clock: &Clock) -> bool {
        let place = self.places[id as usize];
        id == 0 || clock.get(place.chain) >= place.position
    }

    pub(crate) fn set_end(&mut self, id: CommandId, end: u64) {
        self.places[id as usize].end = end;
    }

    pub(crate) fn end(&self, id: CommandId) -> u64 {
        self.places[id as usize].end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_marks_and_the_host_order_operations() {
        let mut ordering = Ordering::new();
        let (a, b) = (ordering.open_chain(), ordering.open_chain());
        let first = ordering.issue(a, [].iter());
        let second = ordering.issue(a, [first.clone()].iter());
        let other = ordering.issue(b, [].iter());
        let joined = ordering.issue(b, [other.clone(), first.clone()].iter());
        assert!(ordering.within(first.id, &second.clock) && !ordering.within(second.id, &first.clock));
        assert!(!ordering.within(first.id, &other.clock) && ordering.within(first.id, &joined.clock));
        assert!(!ordering.within(second.id, &joined.clock));
        ordering.host_knows(&second);
        let later = ordering.issue(b, [joined].iter());
        assert!(ordering.is_known(second.id) && !ordering.is_known(other.id));
        assert!(ordering.within(second.id, &later.clock));
    }

    #[test]
    fn a_chain_is_used_again_only_when_the_host_knows_its_end() {
        let mut ordering = Ordering::new();
        let chain = ordering.open_chain();
        let last = ordering.issue(chain, [].iter());
        ordering.close_chain(chain);
        let fresh = ordering.open_chain();
        assert_ne!(fresh, chain);
        ordering.host_knows(&last);
        assert_eq!(ordering.open_chain(), chain);
        let other = ordering.issue(fresh, [].iter());
        assert!(ordering.within(last.id, &other.clock));
    }
}
