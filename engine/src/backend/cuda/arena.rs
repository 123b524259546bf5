//! Places in one block of memory for values that live at different times.

/// A value that needs a place: from the operation that makes it to the last that reads it, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Bytes.
    pub bytes: usize,
    /// Number of the operation that makes it.
    pub first: usize,
    /// Number of the last operation that reads it, or of the one that makes it.
    pub last: usize,
}

impl Lifetime {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where every value lies, and how long the block is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// One offset a value.
    pub offsets: Vec<usize>,
    /// Bytes of the block.
    pub bytes: usize,
}

impl Layout {
    /// Values that live at the same time do not overlap; offsets are multiples of `alignment`.
    ///
    /// Places the largest first, each as low as those before it allow: not always the least block, but for a chain of
    /// equal maps with skips it is.
    pub fn new(values: &[Lifetime], alignment: usize) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(values[i].bytes), values[i].first));
        let mut layout = Self { offsets: vec![0; values.len()], bytes: 0 };
        let mut placed: Vec<usize> = Vec::with_capacity(values.len());
        for i in order {
            let mut taken: Vec<(usize, usize)> = placed
                .iter()
                .filter(|&&j| values[j].meets(&values[i]))
                .map(|&j| (layout.offsets[j], layout.offsets[j] + values[j].bytes))
                .collect();
            taken.sort_unstable();
            let mut offset = 0;
            for (start, end) in taken {
                if offset + values[i].bytes <= start {
                    break;
                }
                offset = offset.max(end.next_multiple_of(alignment));
            }
            layout.offsets[i] = offset;
            layout.bytes = layout.bytes.max(offset + values[i].bytes);
            placed.push(i);
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chain_with_a_skip_takes_three_places() {
        // Value i is made by operation i and read by the next; the first is read by the last as well.
        let mut values: Vec<_> = (0..9).map(|i| Lifetime { bytes: 512, first: i, last: i + 1 }).collect();
        values[0].last = 9;
        assert_eq!(Layout::new(&values, 256).bytes, 3 * 512);
    }

    proptest! {
        #[test]
        fn values_that_meet_do_not_overlap(raw in prop::collection::vec((0usize..5000, 0usize..12, 0usize..6), 0..24)) {
            let values: Vec<_> =
                raw.iter().map(|&(bytes, first, more)| Lifetime { bytes, first, last: first + more }).collect();
            let layout = Layout::new(&values, 256);
            for (i, a) in values.iter().enumerate() {
                prop_assert_eq!(layout.offsets[i] % 256, 0);
                prop_assert!(layout.offsets[i] + a.bytes <= layout.bytes);
                for (j, b) in values.iter().enumerate().skip(i + 1) {
                    let apart = layout.offsets[i] + a.bytes <= layout.offsets[j]
                        || layout.offsets[j] + b.bytes <= layout.offsets[i];
                    prop_assert!(!a.meets(b) || apart || a.bytes == 0 || b.bytes == 0);
                }
            }
        }
    }
}
