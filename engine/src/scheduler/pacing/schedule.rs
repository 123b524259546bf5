//! When frames are due.
//!
//! Live, a frame is due at its arrival plus the latency that the element reports, and later by as much as downstream takes
//! frames later than that: a sink waits until what upstream said that it may take is over, too. Otherwise frame `n` is due at
//! `first output + n x interval`, and that schedule is moved on for the time that others made us wait, never for our own.

use super::Ticket;

/// Seconds from downstream's asking to the frame's leaving that are nobody's fault.
const HANDOVER: f64 = 1e-3;

#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) interval: Option<f64>,
    pub(super) latency: Option<f64>,
    lanes: usize,
    window: usize,
    /// A frame and when it is due; none before the first output.
    anchor: Option<(u64, f64)>,
    /// Live: seconds by which downstream takes frames later than it was promised them.
    held: f64,
    /// The next frame's number.
    arriving: u64,
    /// Frames accepted and not yet taken out.
    inside: usize,
    last_left: f64,
}

impl Schedule {
    pub(super) fn new(interval: Option<f64>, latency: Option<f64>, lanes: usize, window: usize) -> Self {
        Self { interval, latency, lanes, window, anchor: None, held: 0.0, arriving: 0, inside: 0, last_left: 0.0 }
    }

    /// Forgets the frames inside, and when frames are due; the next output is the first.
    pub(super) fn restart(&mut self) {
        self.anchor = None;
        self.held = 0.0;
        self.inside = 0;
        self.last_left = 0.0;
    }

    pub(super) fn due(&self, ticket: &Ticket) -> Option<f64> {
        let interval = self.interval?;
        if let Some(latency) = self.latency {
            return Some(ticket.came.as_secs_f64() + latency + self.held);
        }
        let (number, time) = self.anchor?;
        Some(time + (ticket.number as f64 - number as f64) * interval)
    }

    /// When a frame is due that comes now, or before the next one does; None if that is not known.
    pub(super) fn next_due(&self, now: f64) -> Option<f64> {
        let interval = self.interval?;
        if let Some(latency) = self.latency {
            return Some(now + latency + self.held);
        }
        let (number, time) = self.anchor?;
        Some(time + (self.arriving as f64 - number as f64) * interval)
    }

    /// Gives the frame's number.
    ///
    /// A frame that finds a lane idle has been waited for, unless the lane is idle only because a frame left while this one
    /// stood at the door. It then gets the time that it would have with a full window.
    pub(super) fn arrived(&mut self, came: f64) -> u64 {
        let number = self.arriving;
        if let (Some(interval), Some((anchor, time))) = (self.interval, self.anchor) {
            let due = time + (number as f64 - anchor as f64) * interval;
            let fair = came + self.window as f64 * interval;
            if self.inside < self.lanes && came >= self.last_left && fair > due {
                self.anchor = Some((number, fair));
            }
        }
        self.arriving += 1;
        self.inside += 1;
        number
    }

    /// A frame leaves that was asked for at `asked`; gives how late it is, in seconds, below 0 in time.
    pub(super) fn left(&mut self, now: f64, ticket: &Ticket, asked: f64) -> f64 {
        // When downstream can have it at the soonest, if it took its time over the frame before.
        let ready = (asked > self.last_left + HANDOVER).then(|| asked.min(now) + HANDOVER);
        let due = match self.latency {
            Some(latency) => self.live_due(now, ticket.came.as_secs_f64() + latency, ready),
            None => self.filed_due(now, ticket, ready),
        };
        self.inside = self.inside.saturating_sub(1);
        self.last_left = now;
        self.interval.map_or(f64::NEG_INFINITY, |_| now - due)
    }

    /// When a live frame was due that was promised for `promised`.
    fn live_due(&mut self, now: f64, promised: f64, ready: Option<f64>) -> f64 {
        let due = promised + self.held;
        self.held = match ready {
            Some(ready) => (ready - promised).max(0.0),
            // What downstream once took is over as soon as frames leave earlier again.
            None => self.held.min((now - promised).max(0.0)),
        };
        ready.map_or(due, |ready| due.max(ready))
    }

    /// When a frame was due that is not live. The schedule moves on by the time that downstream took from the last output, or
    /// from when this one was due, until it asked.
    fn filed_due(&mut self, now: f64, ticket: &Ticket, ready: Option<f64>) -> f64 {
        let last_left = self.last_left;
        if let (Some(due), Some(ready), Some((_, time))) = (self.due(ticket), ready, self.anchor.as_mut()) {
            *time += (ready - due.max(last_left)).max(0.0);
        }
        let (number, time) = *self.anchor.get_or_insert((ticket.number, now));
        time + (ticket.number as f64 - number as f64) * self.interval.unwrap_or_default()
    }

    /// A frame leaves without a picture.
    pub(super) fn failed(&mut self) {
        self.inside = self.inside.saturating_sub(1);
    }

    /// What was due under the old interval stays due; the new one counts from the newest output.
    pub(super) fn set_interval(&mut self, interval: Option<f64>) {
        let newest = self.arriving.saturating_sub(self.inside as u64 + 1);
        self.anchor = match (self.interval, self.anchor) {
            (Some(old), Some((number, time))) => Some((newest, time + (newest as f64 - number as f64) * old)),
            _ => None,
        };
        self.interval = interval;
    }

    /// Without a latency, the next output is the first.
    pub(super) fn set_latency(&mut self, latency: Option<f64>) {
        if self.latency.is_some() != latency.is_some() {
            (self.anchor, self.held) = (None, 0.0);
        }
        self.latency = latency;
    }
}
