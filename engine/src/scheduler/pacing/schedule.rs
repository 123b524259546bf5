//! When frames are due.
//!
//! Live, a frame is due at its arrival plus the latency that the element reports. Otherwise frame `n` is due at
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
    /// The next frame's number.
    arriving: u64,
    /// Frames accepted and not yet taken out.
    inside: usize,
    last_left: f64,
}

impl Schedule {
    pub(super) fn new(interval: Option<f64>, latency: Option<f64>, lanes: usize, window: usize) -> Self {
        Self { interval, latency, lanes, window, anchor: None, arriving: 0, inside: 0, last_left: 0.0 }
    }

    /// Forgets the frames inside, and when frames are due; the next output is the first.
    pub(super) fn restart(&mut self) {
        self.anchor = None;
        self.inside = 0;
        self.last_left = 0.0;
    }

    pub(super) fn due(&self, ticket: &Ticket) -> Option<f64> {
        let interval = self.interval?;
        if let Some(latency) = self.latency {
            return Some(ticket.came.as_secs_f64() + latency);
        }
        let (number, time) = self.anchor?;
        Some(time + (ticket.number as f64 - number as f64) * interval)
    }

    /// When a frame is due that comes now, or before the next one does; None if that is not known.
    pub(super) fn next_due(&self, now: f64) -> Option<f64> {
        let interval = self.interval?;
        if let Some(latency) = self.latency {
            return Some(now + latency);
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
        if let (Some(due), Some((_, time))) = (self.due(ticket), self.anchor.as_mut()) {
            // Downstream took the time from the last output, or from when this one was due, until it asked.
            let held = asked > self.last_left + HANDOVER;
            let ours = due.max(self.last_left);
            *time += if held { (asked.min(now) + HANDOVER - ours).max(0.0) } else { 0.0 };
        }
        self.inside = self.inside.saturating_sub(1);
        self.last_left = now;
        let first = self.anchor.is_none();
        if first {
            self.anchor = Some((ticket.number, now));
        }
        self.due(ticket).map_or(f64::NEG_INFINITY, |due| now - due)
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
            self.anchor = None;
        }
        self.latency = latency;
    }
}
