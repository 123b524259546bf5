//! What lanes are made of, how many there are, and how many threads each has.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::pacing::Setup;
use super::reuse::Chain;
use super::{Options, calibration, lock};
use crate::backend::tiles::{TileLane, Tiling};
use crate::backend::{self, Backend, Lane, Plan, bands, cpu::Cpu};
use crate::frame::region::{self, Region};
use crate::frame::{Frame, FrameMut, FrameRef, Kernel, VideoInfo};
use crate::model::Model;
use crate::{BackendKind, Error};

/// Lanes at most where each has threads of its own: more only take memory.
const MAX_CPU_LANES: usize = 8;

/// Lanes of a device: one copies up, one computes, one copies down. Live, where each frame more in flight is a frame of delay,
/// two keep it busy.
const DEVICE_LANES: [usize; 2] = [3, 2];

/// Frames a second, at least, that can be a target: what lasts longer than days, a window of them, has no time that computes.
const LEAST_TARGET: f64 = 1e-6;

/// Whether so many frames a second can be a target.
pub fn can_be_held(rate: f64) -> bool {
    rate.is_finite() && rate >= LEAST_TARGET
}

/// What computes one frame at a time.
pub struct Lanes {
    /// For whole frames.
    pub whole: Box<dyn Lane>,
    tiles: Option<TileLane>,
    scale: usize,
}

impl Lanes {
    /// For whole frames, and for tiles where there is memory for that, too.
    fn new(
        backend: &dyn Backend,
        whole: Box<dyn Lane>,
        plan: &Plan,
        tiling: Option<Tiling>,
        scale: usize,
    ) -> Result<Self, Error> {
        let tiles = match tiling.map(|tiling| TileLane::new(backend, plan, tiling)).transpose() {
            Err(e @ (Error::Memory { .. } | Error::DeviceMemory { .. })) => {
                tracing::info!("{e}; no part of a frame is computed by itself");
                None
            }
            tiles => tiles?,
        };
        Ok(Self { whole, tiles, scale })
    }

    /// Whether it is ready for tiles.
    fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    /// Computes one tile of a frame into its place.
    ///
    /// # Errors
    /// Those of the lane.
    pub fn tile(
        &mut self,
        rung: usize,
        tile: Region,
        input: &FrameRef<'_>,
        output: &mut FrameMut<'_>,
    ) -> Result<(), Error> {
        match &mut self.tiles {
            Some(lane) => lane.run(rung, tile, input, output),
            None => self.whole.process(rung, input, output),
        }
    }

    /// Brings kept and output to the same picture: `tiles` are new in the output, all else is taken from what was kept.
    pub fn exchange(&self, tiles: &[Region], kept: &mut Frame, output: &mut FrameMut<'_>) {
        let info = *output.info();
        let all = Region { x: 0, y: 0, width: info.width, height: info.height };
        for tile in tiles.iter().map(|tile| tile.scaled(self.scale)) {
            region::copy(&output.view(), tile, &mut kept.view_mut(), (tile.x, tile.y));
        }
        match &self.tiles {
            Some(lane) if !tiles.is_empty() => {
                for tile in
                    lane.tiling().tiles().filter(|tile| !tiles.contains(tile)).map(|tile| tile.scaled(self.scale))
                {
                    region::copy(&kept.view(), tile, output, (tile.x, tile.y));
                }
            }
            _ => region::copy(&kept.view(), all, output, (0, 0)),
        }
    }
}

/// How to go on when a device has failed.
#[derive(Clone)]
pub struct Recovery {
    plan: Plan,
    /// Of a lane.
    threads: usize,
    tiling: Option<Tiling>,
    scale: usize,
    /// What the first lane took: the others share its weights.
    cpu: Arc<Mutex<Option<Arc<dyn Backend>>>>,
}

impl Recovery {
    /// Lanes on the CPU for the same plan.
    ///
    /// # Errors
    /// Too little memory.
    pub fn lanes(&self) -> Result<Lanes, Error> {
        let cpu = self.cpu()?;
        Lanes::new(&*cpu, bands::lane(&*cpu, &self.plan)?, &self.plan, self.tiling, self.scale)
    }

    fn cpu(&self) -> Result<Arc<dyn Backend>, Error> {
        let mut first = lock(&self.cpu);
        if let Some(cpu) = &*first {
            return cpu.clone().sibling();
        }
        let cpu: Arc<dyn Backend> = Arc::new(Cpu::new(self.threads)?);
        *first = Some(cpu.clone());
        Ok(cpu)
    }
}

/// Makes frames bicubic on the CPU.
pub struct Rescuer(Box<dyn Lane>);

impl Rescuer {
    fn new(plan: &Plan, threads: usize) -> Result<Self, Error> {
        let plan = Plan { ladder: vec![Model::Resample(Kernel::Bicubic)], ..plan.clone() };
        Ok(Self(Cpu::new(threads)?.lane(&plan)?))
    }

    /// Makes one frame.
    ///
    /// # Errors
    /// None is known.
    pub fn run(&mut self, input: &FrameRef<'_>, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.0.process(0, input, output)
    }
}

/// Everything that a scheduler is made of.
pub struct Opened {
    pub plan: Plan,
    pub lanes: Vec<Lanes>,
    pub chain: Chain,
    pub rescuer: Rescuer,
    pub setup: Setup,
    pub description: String,
    pub recovery: Option<Recovery>,
}

/// Opens the backend and as many lanes as are wanted and fit into memory, and measures the rungs if there is a target. With
/// `auto`, a device that fails in any of that is left for the CPU.
///
/// # Errors
/// What the backend says of the first lane.
pub fn open(input: &VideoInfo, options: &Options) -> Result<Opened, Error> {
    let (ladder, precision) = (options.ladder.clone(), options.precision);
    if let Some(rate) = options.target.filter(|rate| !can_be_held(*rate)) {
        let reason = format!("{rate} frames a second cannot be held: give a target of at least {LEAST_TARGET}");
        return Err(Error::Plan { reason });
    }
    let plan = Plan { ladder, input: *input, output: input.scaled(options.scale)?, precision };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let first = |kind| backend::lane(kind, threads / cpu_lanes(threads, options), options.device, &plan);
    let opened = first(options.backend)?;
    let is_device = opened.0.kind() == BackendKind::Cuda;
    match assemble(&plan, options, threads, opened) {
        Err(e @ (Error::Backend { .. } | Error::Memory { .. } | Error::DeviceMemory { .. }))
            if is_device && options.backend == BackendKind::Auto =>
        {
            tracing::warn!("{e}; taking the CPU");
            assemble(&plan, options, threads, first(BackendKind::Cpu)?)
        }
        assembled => assembled,
    }
}

/// All that belongs to the first lane.
fn assemble(
    plan: &Plan,
    options: &Options,
    threads: usize,
    (backend, first): backend::Opened,
) -> Result<Opened, Error> {
    let mut chain = Chain::new(&plan.input, &plan.ladder, backend.kind());
    let tiling = chain.tiling().filter(|_| options.reuse);
    let mut lanes = open_lanes(plan, tiling, options, threads, (&backend, first))?;
    if !lanes[0].has_tiles() {
        chain.take_whole_frames();
    }
    let waiting = if options.live { 1 } else { 2 };
    let window = if options.window == 0 { lanes.len() + waiting } else { options.window };
    let mut rescuer = Rescuer::new(plan, threads)?;
    let interval = options.target.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let (services, alone) = match interval {
        Some(_) => calibration::measure(plan, &mut lanes, backend.kind())?,
        None => Default::default(),
    };
    let setup = Setup {
        lanes: lanes.len(),
        window,
        interval,
        latency: interval.filter(|_| options.live).map(|interval| interval * window as u32),
        services,
        alone,
        rescue: calibration::measure_rescue(plan, &mut rescuer)?,
    };
    let what = plan.describe(&*backend)?;
    let description = format!("{what}, lanes: {}, frames in flight: {window}", lanes.len());
    let recovers = options.backend == BackendKind::Auto && backend.kind() == BackendKind::Cuda;
    let threads = (threads / lanes.len()).max(1);
    let scale = options.scale;
    let recovery = recovers.then(|| Recovery { plan: plan.clone(), threads, tiling, scale, cpu: Arc::default() });
    Ok(Opened { plan: plan.clone(), lanes, chain, rescuer, setup, description, recovery })
}

/// Lanes on the CPU, to share the threads evenly: as few as possible are left over, and as many lanes as then may be.
fn cpu_lanes(threads: usize, options: &Options) -> usize {
    if options.live || options.window == 1 {
        return 1;
    }
    let most = if options.window == 0 { MAX_CPU_LANES } else { options.window.min(MAX_CPU_LANES) };
    (1..=most.min(threads)).max_by_key(|lanes| (threads / lanes * lanes, *lanes)).unwrap_or(1)
}

fn open_lanes(
    plan: &Plan,
    tiling: Option<Tiling>,
    options: &Options,
    threads: usize,
    (backend, first): (&Arc<dyn Backend>, Box<dyn Lane>),
) -> Result<Vec<Lanes>, Error> {
    let mut lanes = vec![Lanes::new(&**backend, first, plan, tiling, options.scale)?];
    let wanted = match backend.kind() {
        BackendKind::Cuda if options.window > 0 => DEVICE_LANES[usize::from(options.live)].min(options.window),
        BackendKind::Cuda => DEVICE_LANES[usize::from(options.live)],
        _ => cpu_lanes(threads, options),
    };
    while lanes.len() < wanted {
        let sibling = backend.clone().sibling()?;
        let lane = sibling.lane(plan).and_then(|lane| Lanes::new(&*sibling, lane, plan, tiling, options.scale));
        match lane {
            // Frames are not told apart by who can compute tiles.
            Ok(lane) if lane.has_tiles() != lanes[0].has_tiles() => break,
            Ok(lane) => lanes.push(lane),
            Err(e @ (Error::Memory { .. } | Error::DeviceMemory { .. } | Error::Backend { .. })) => {
                tracing::info!("{e}; lanes: {} in place of {wanted}", lanes.len());
                break;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_no_clock_can_tell_is_refused() {
        let info = VideoInfo::new(crate::frame::PixelFormat::Gray8, 8, 8, crate::frame::Colour::default()).unwrap();
        for target in [1e-20, 1e-7, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let ladder = vec![Model::Resample(Kernel::Bicubic)];
            let options = Options { target: Some(target), live: true, ..Options::new(ladder, 2) };
            let Err(Error::Plan { reason }) = open(&info, &options) else { panic!("{target} was taken") };
            assert!(reason.contains("give a target"), "{reason}");
        }
        // One frame an hour is a rate.
        assert!(can_be_held(1.0 / 3600.0));
    }

    #[test]
    fn no_thread_is_left_over_where_that_can_be() {
        let lanes = |threads, window, live| {
            let options = Options { window, live, ..Options::new(vec![], 2) };
            cpu_lanes(threads, &options)
        };
        for (threads, expected) in [(1, 1), (2, 2), (4, 4), (8, 8), (12, 6), (15, 5), (16, 8), (24, 8)] {
            assert_eq!((lanes(threads, 0, false), lanes(threads, 0, true)), (expected, 1), "{threads}");
        }
        assert_eq!([lanes(8, 3, false), lanes(9, 3, false), lanes(8, 1, false)], [2, 3, 1]);
    }
}
