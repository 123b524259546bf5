//! Where the frames and the sound of a source go on the time line of the output.
//!
//! A source has a time line of its own, and every connection to it begins a new one. All that is done with it is to add an
//! offset, the same for picture and sound; so what belongs together stays together, whatever happens to the source.
//! Times are nanoseconds. Media time is what the source says, output time is what goes out.

/// One time line laid upon another.
#[derive(Clone, Debug)]
pub struct Rebase {
    tolerance: Option<i64>,
    offset: Option<i64>,
    before: Option<Before>,
    /// The largest media time of this connection.
    newest: i64,
    /// Where on the output's time line everything so far has ended.
    end: i64,
}

/// The offset of an earlier stretch: it holds for media times under the boundary, of which some may still come.
#[derive(Clone, Copy, Debug)]
struct Before {
    boundary: i64,
    offset: i64,
}

impl Rebase {
    /// Data that arrives more than `tolerance` after its time on the output's time line moves everything behind it by as
    /// much as it was late; with None nothing ever moves.
    pub fn new(tolerance: Option<i64>) -> Self {
        Self { tolerance, offset: None, before: None, newest: i64::MIN, end: 0 }
    }

    /// A new connection: the next data are placed where they arrive, behind everything that came before.
    pub fn restart(&mut self) {
        *self = Self { end: self.end, ..Self::new(self.tolerance) };
    }

    /// The output time of data of `media` time and `duration` that arrive at output time `now`.
    pub fn place(&mut self, media: i64, duration: i64, now: i64) -> i64 {
        let offset = *self.offset.get_or_insert(now.max(self.end) - media);
        let offset = match self.before {
            Some(before) if media < before.boundary => before.offset,
            _ => self.moved(media, now, offset),
        };
        self.newest = self.newest.max(media);
        let placed = media + offset;
        self.end = self.end.max(placed + duration);
        placed
    }

    /// The offset for `media`, after moving the rest of the stream where that is due.
    fn moved(&mut self, media: i64, now: i64, offset: i64) -> i64 {
        let late = now - (media + offset);
        if self.tolerance.is_none_or(|tolerance| late <= tolerance) {
            return offset;
        }
        // The other stream may be ahead. Both move at one media time, which neither has passed.
        let boundary = self.newest.max(media);
        self.before = Some(Before { boundary, offset });
        self.offset = Some(offset + late);
        if media < boundary { offset } else { offset + late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn the_first_data_go_where_they_arrive_and_the_rest_keep_their_distance() {
        let mut rebase = Rebase::new(Some(500 * MS));
        assert_eq!(rebase.place(7000 * MS, 40 * MS, 300 * MS), 300 * MS);
        // Sound that lies before the first frame, and jitter within the tolerance.
        assert_eq!(rebase.place(6990 * MS, 20 * MS, 310 * MS), 290 * MS);
        assert_eq!(rebase.place(7040 * MS, 40 * MS, 700 * MS), 340 * MS);
    }

    #[test]
    fn a_new_connection_begins_behind_the_old_one_with_one_offset_for_both_streams() {
        let mut rebase = Rebase::new(Some(500 * MS));
        rebase.place(0, 40 * MS, 0);
        assert_eq!(rebase.place(1000 * MS, 40 * MS, 1000 * MS), 1000 * MS);
        rebase.restart();
        assert_eq!(rebase.place(50 * MS, 20 * MS, 3000 * MS), 3000 * MS);
        assert_eq!(rebase.place(90 * MS, 40 * MS, 3100 * MS), 3040 * MS);
        // A source that is back before what it sent has been played: nothing goes back in time.
        rebase.restart();
        assert_eq!(rebase.place(0, 20 * MS, 3050 * MS), 3080 * MS);
    }

    #[test]
    fn what_comes_late_moves_the_rest_of_both_streams_at_the_same_media_time() {
        let mut rebase = Rebase::new(Some(500 * MS));
        rebase.place(0, 20 * MS, 0);
        // Sound is ahead of the picture by 200 ms.
        assert_eq!(rebase.place(1200 * MS, 20 * MS, 1200 * MS), 1200 * MS);
        // The picture is 800 ms late, and stays where it is until it has passed what has been placed.
        assert_eq!(rebase.place(1000 * MS, 40 * MS, 1800 * MS), 1000 * MS);
        assert_eq!(rebase.place(1220 * MS, 20 * MS, 1810 * MS), 2020 * MS);
        assert_eq!(rebase.place(1160 * MS, 40 * MS, 1960 * MS), 1160 * MS);
        assert_eq!(rebase.place(1240 * MS, 40 * MS, 2040 * MS), 2040 * MS);
        // From then on it is in time.
        assert_eq!(rebase.place(1280 * MS, 40 * MS, 2080 * MS), 2080 * MS);
    }

    #[test]
    fn without_a_tolerance_nothing_moves() {
        let mut rebase = Rebase::new(None);
        rebase.place(0, 40 * MS, 0);
        assert_eq!(rebase.place(40 * MS, 40 * MS, 9000 * MS), 40 * MS);
    }

    #[test]
    fn the_times_of_each_stream_never_go_back() {
        let mut rebase = Rebase::new(Some(300 * MS));
        let (mut last, mut delay) = ([i64::MIN; 2], 0);
        for n in 0..4000_i64 {
            delay = if n % 701 == 0 { delay + 450 * MS } else { delay };
            if n % 1500 == 1499 {
                rebase.restart();
            }
            let media = n * 20 * MS;
            for (stream, ahead) in [(0, 0), (1, 130 * MS)] {
                let placed = rebase.place(media + ahead, 20 * MS, media + delay);
                assert!(placed > last[stream], "{n}");
                last[stream] = placed;
            }
        }
    }
}
