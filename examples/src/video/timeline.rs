//! One rising time for a file whose clock jumps: recordings that were joined (MPEG-TS), titles of a DVD (VOB).

use ffmpeg_next::{Packet, Rational, Rescale};

/// A longer step forward is a jump, in microseconds; FFmpeg's program takes the same (`-dts_delta_threshold`).
const FORWARD: i64 = 10_000_000;

/// A longer step back is a jump, in microseconds; a shorter one is jitter. FFmpeg's program takes the same.
const BACK: i64 = 100_000;

/// FFmpeg's unit for whole files.
pub const MICROSECONDS: Rational = Rational(1, 1_000_000);

/// Where a stream has got, in microseconds of the timeline.
#[derive(Clone, Copy)]
struct Reached {
    /// When its last packet is decoded.
    decoded: i64,
    /// When all that it has had is over.
    end: i64,
    /// Index of the offset that its packets have.
    offset: usize,
}

/// Takes jumps out of packets' times, by one offset for all streams from each jump on.
pub struct Timeline {
    /// What is added to the file's times, in microseconds: at first nothing, then one more after each jump.
    offsets: Vec<i64>,
    streams: Vec<Option<Reached>>,
}

impl Timeline {
    /// For a file with that many streams.
    pub fn new(streams: usize) -> Self {
        Self { offsets: vec![0], streams: vec![None; streams] }
    }

    /// Moves a packet whose times are in units of `unit` to its place. `dense` says that its stream has a packet for every
    /// moment, as sound and video have: only these tell of jumps. Returns where the timeline was if here is one, in seconds.
    pub fn place(&mut self, packet: &mut Packet, unit: Rational, dense: bool) -> Option<f64> {
        let time = packet.dts().or(packet.pts())?.rescale(unit, MICROSECONDS);
        let shown = packet.pts().map_or(time, |shown| shown.rescale(unit, MICROSECONDS));
        let index = packet.stream();
        if index >= self.streams.len() {
            self.streams.resize(index + 1, None);
        }
        let reached = self.streams.iter().flatten().map(|stream| stream.end).max().unwrap_or(time);
        let own = self.streams[index];
        let mut offset = self.nearest(own, time, reached);
        let place = time + self.offsets[offset];
        // The streams of a file need not begin together.
        let least = own.map_or(reached - FORWARD, |own| own.decoded - BACK);
        let jumps = dense && (place < least || place > reached + FORWARD);
        if jumps {
            offset = self.offsets.len();
            // Shown once every stream is over, so that none overlaps with itself.
            self.offsets.push(reached - shown);
        }
        if dense {
            let end = shown + packet.duration().max(0).rescale(unit, MICROSECONDS) + self.offsets[offset];
            let end = own.map_or(end, |own| own.end.max(end));
            self.streams[index] = Some(Reached { decoded: time + self.offsets[offset], end, offset });
        }
        let shift = self.offsets[offset].rescale(MICROSECONDS, unit);
        packet.set_dts(packet.dts().map(|time| time + shift));
        packet.set_pts(packet.pts().map(|time| time + shift));
        jumps.then_some(reached as f64 / 1e6)
    }

    /// The offset for a packet, as an index. Streams pass a jump one after the other: a stream keeps its own offset until
    /// a newer one brings it nearer to where the file has got.
    fn nearest(&self, own: Option<Reached>, time: i64, reached: i64) -> usize {
        let oldest = own.map_or(self.offsets.len().saturating_sub(2), |own| own.offset);
        let distance = |&index: &usize| (time + self.offsets[index]).abs_diff(reached);
        (oldest..self.offsets.len()).rev().min_by_key(distance).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Rational = Rational(1, 1000);

    fn place(timeline: &mut Timeline, stream: usize, time: i64, dense: bool) -> (i64, bool) {
        let mut packet = Packet::empty();
        packet.set_stream(stream);
        packet.set_dts(Some(time));
        packet.set_pts(Some(time + 80));
        packet.set_duration(40);
        let jumps = timeline.place(&mut packet, UNIT, dense).is_some();
        let placed = packet.dts().unwrap_or_default();
        assert_eq!(packet.pts(), Some(placed + 80));
        (placed, jumps)
    }

    #[test]
    fn a_jump_is_one_offset_for_all_streams_each_from_its_own_first_packet_on() {
        for (from, back) in [(5000, 0), (5000, 90_000), (500_000, 5000)] {
            let mut timeline = Timeline::new(3);
            for step in 0..50 {
                assert_eq!(place(&mut timeline, 0, from + 40 * step, true), (from + 40 * step, false));
                assert_eq!(place(&mut timeline, 1, from + 40 * step, true), (from + 40 * step, false));
            }
            let end = from + 2000;
            assert_eq!(place(&mut timeline, 0, back, true), (end, true));
            // The end of the first part's sound and a subtitle of it, behind the second part's first picture.
            assert_eq!(place(&mut timeline, 1, end, true), (end, false));
            assert_eq!(place(&mut timeline, 2, end - 500, false), (end - 500, false));
            assert_eq!(place(&mut timeline, 1, back + 20, true), (end + 20, false));
            assert_eq!(place(&mut timeline, 2, back + 100, false), (end + 100, false));
            for step in 1..50 {
                assert_eq!(place(&mut timeline, 0, back + 40 * step, true), (end + 40 * step, false));
            }
        }
    }

    #[test]
    fn jitter_pauses_and_late_beginnings_are_no_jumps() {
        let mut timeline = Timeline::new(2);
        for (stream, time) in [(0, 1000), (0, 1040), (0, 1000), (1, 200), (0, 9000), (0, 18_000), (1, 18_000)] {
            assert_eq!(place(&mut timeline, stream, time, true), (time, false));
        }
    }
}
