//! What of a frame is taken from the frame before it, because nothing near it has changed.
//!
//! Exact by construction: a part is taken over only if no input within the reach of what is computed has changed since,
//! and the same rung made it. The memory of the last output is one frame that is handed from lane to lane, in the order of
//! the frames; a lane waits for it only after it has computed what is new.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::changes::Changes;
use crate::BackendKind;
use crate::backend::tiles::{Tiling, reach};
use crate::frame::region::Region;
use crate::frame::{Frame, VideoInfo};
use crate::model::Model;

/// Side of a tile. With luma-s's halo of 20 a tile costs 1.7 times its own pixels; larger tiles change more often.
const TILE: usize = 128;

/// The largest halo that pays (luma-m's): a tile costs twice its own pixels.
const MAX_HALO: usize = 28;

/// Part of the picture that may be computed in tiles: beyond it the whole is cheaper, with all that is copied.
const MOST: f64 = 0.7;

/// The same on a device. Each tile goes up and comes down before the next is sent, so copies and host have the device wait,
/// and one tile fills only a part of it; a whole frame is one launch beside those of other lanes. A quarter pays even where
/// that costs three times what its pixels do.
const MOST_ON_DEVICE: f64 = 0.25;

/// Frames for which outputs are kept after the last one that a later frame could have used: held frames come in pairs, and
/// cameras rest for a while.
const PATIENCE: u32 = 50;

/// What one frame is to do.
pub struct Errand {
    /// What is computed.
    pub work: Work,
    /// Brings the last output that was kept. Tiles are added to it; the whole needs nothing but its memory.
    pub from: Option<Receiver<Frame>>,
    /// Takes the output on to the next frame; None: it is not kept.
    pub to: Option<Sender<Frame>>,
}

/// How much of a frame is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// All of it.
    Whole,
    /// These tiles; the rest is as it was.
    Tiles(Vec<Region>),
}

/// How the frames of one stream follow from each other.
pub struct Chain {
    info: VideoInfo,
    tiling: Option<Tiling>,
    /// For each rung, whether parts of its frames can be computed.
    local: Vec<bool>,
    /// The part of the picture, with halos, beyond which the whole is computed.
    most: f64,
    /// All that has changed since the output that was kept.
    since: Changes,
    kept: Option<(usize, Receiver<Frame>)>,
    /// Frames since one of which parts could have been reused.
    fruitless: u32,
}

impl Chain {
    /// For frames of that description and the rungs of a ladder, computed by such a backend.
    pub fn new(info: &VideoInfo, ladder: &[Model], backend: BackendKind) -> Self {
        let halo = |model: &Model| reach(model).filter(|&reach| reach <= MAX_HALO);
        let widest = ladder.iter().filter_map(halo).max();
        // Two tiles a side at the least, or there is nothing to choose from.
        let tiling = widest.and_then(|halo| Tiling::new(info, (TILE, TILE), halo));
        let tiling = tiling.filter(|_| info.width > TILE || info.height > TILE);
        let local = ladder.iter().map(|model| tiling.is_some() && halo(model).is_some()).collect();
        let most = if backend == BackendKind::Cuda { MOST_ON_DEVICE } else { MOST };
        Self { info: *info, tiling, local, most, since: Changes::none(info), kept: None, fruitless: PATIENCE }
    }

    /// The tiles that lanes need to be ready for, if any rung is computed in tiles.
    pub fn tiling(&self) -> Option<Tiling> {
        self.tiling
    }

    /// No lane is ready for tiles: a frame is reused whole or not at all.
    pub fn take_whole_frames(&mut self) {
        self.tiling = None;
    }

    /// A frame that no lane computes. `changes` are against the frame before it; None where that is not known.
    pub fn skip(&mut self, changes: Option<&Changes>) {
        match changes {
            Some(changes) => self.since.add(changes),
            None => self.since.set_all(),
        }
    }

    /// The rung whose last output is that of this frame, too.
    pub fn held(&self, changes: Option<&Changes>) -> Option<usize> {
        let same = changes.is_some_and(|changes| !changes.any()) && !self.since.any();
        self.kept.as_ref().filter(|_| same).map(|(rung, _)| *rung)
    }

    /// What to do for a frame that a lane computes with that rung. Frames come in their order.
    pub fn errand(&mut self, rung: usize, changes: Option<&Changes>) -> Errand {
        self.skip(changes);
        let (made, from) = self.kept.take().unzip();
        let tiles = self.changed_tiles(rung);
        self.since.clear();
        self.fruitless = if tiles.is_some() { 0 } else { self.fruitless.saturating_add(1) };
        let work = match tiles {
            Some(tiles) if made == Some(rung) => Work::Tiles(tiles),
            _ => Work::Whole,
        };
        let to = (self.fruitless < PATIENCE).then(|| {
            let (to, next) = bounded(1);
            self.kept = Some((rung, next));
            to
        });
        Errand { work, from, to }
    }

    /// The part of the picture that tiles do not cover.
    pub fn reused(&self, work: &Work) -> f64 {
        match work {
            Work::Whole => 0.0,
            Work::Tiles(tiles) => {
                let computed: usize = tiles.iter().map(|tile| tile.width * tile.height).sum();
                1.0 - computed as f64 / (self.info.width * self.info.height) as f64
            }
        }
    }

    /// What must be computed if the output before the changes is at hand; None where the whole is cheaper.
    fn changed_tiles(&self, rung: usize) -> Option<Vec<Region>> {
        if !self.since.any() {
            return Some(Vec::new());
        }
        let tiling = self.tiling.filter(|_| self.local[rung])?;
        let tiles: Vec<_> = tiling.tiles().filter(|&tile| self.since.touch(tile, tiling.halo())).collect();
        (tiling.cost(tiles.len()) < self.most).then_some(tiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, Kernel, PixelFormat};

    fn chain() -> Chain {
        chain_of(BackendKind::Cpu)
    }

    fn chain_of(backend: BackendKind) -> Chain {
        let info = VideoInfo::new(PixelFormat::I420, 640, 360, Colour::default()).unwrap();
        Chain::new(&info, &[Model::Resample(Kernel::Lanczos), Model::Resample(Kernel::Bicubic)], backend)
    }

    fn same(chain: &Chain) -> Changes {
        Changes::none(&chain.info)
    }

    #[test]
    fn nothing_is_kept_until_something_could_have_been_used() {
        let mut chain = chain();
        assert!(chain.errand(0, None).to.is_none());
        let second = chain.errand(0, Some(&same(&chain)));
        assert!(second.work == Work::Whole && second.to.is_some());
        assert_eq!((chain.held(Some(&same(&chain))), chain.held(None)), (Some(0), None));
        let third = chain.errand(0, Some(&same(&chain)));
        assert!(third.work == Work::Tiles(Vec::new()) && third.from.is_some());
    }

    #[test]
    fn another_rung_and_unknown_changes_begin_anew() {
        let mut chain = chain();
        chain.errand(0, None);
        chain.errand(0, Some(&same(&chain)));
        assert!(chain.errand(1, Some(&same(&chain))).work == Work::Whole, "another rung made the last output");
        assert!(chain.errand(1, Some(&same(&chain))).work == Work::Tiles(Vec::new()));
        assert!(chain.errand(1, None).work == Work::Whole, "anything may have changed");
    }

    #[test]
    fn changes_of_frames_that_no_lane_computed_are_remembered() {
        let mut chain = chain();
        chain.errand(0, None);
        chain.errand(0, Some(&same(&chain)));
        let mut all = same(&chain);
        all.set_all();
        chain.skip(Some(&all));
        assert_eq!(chain.held(Some(&same(&chain))), None);
        assert!(chain.errand(0, Some(&same(&chain))).work == Work::Whole);
    }

    #[test]
    fn a_device_computes_few_tiles_or_the_whole() {
        for (backend, most) in [(BackendKind::Cpu, 7), (BackendKind::Cuda, 2)] {
            let tiles = |wanted: usize| {
                let mut chain = chain_of(backend);
                let (before, mut after) = (Frame::new(&chain.info), Frame::new(&chain.info));
                // In the middle of as many tiles.
                for tile in chain.tiling().unwrap().tiles().take(wanted) {
                    after.plane_mut(0).0[(tile.y + tile.height / 2) * 640 + tile.x + tile.width / 2] = 1;
                }
                let mut changes = same(&chain);
                changes.compare(&before.view(), &after.view());
                chain.errand(0, None);
                chain.errand(0, Some(&same(&chain)));
                chain.errand(0, Some(&changes)).work
            };
            assert!(matches!(tiles(most), Work::Tiles(some) if some.len() == most), "{backend:?}");
            assert!(tiles(most + 1) == Work::Whole, "{backend:?}");
        }
    }

    #[test]
    fn outputs_are_kept_no_longer_when_nothing_rests() {
        let mut chain = chain();
        chain.errand(0, None);
        chain.errand(0, Some(&same(&chain)));
        let kept = (0..2 * PATIENCE).filter(|_| chain.errand(0, None).to.is_some()).count();
        assert_eq!(kept, PATIENCE as usize - 1);
    }
}
