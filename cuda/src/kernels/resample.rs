//! Planes to planes of another size.

use super::video::{BLOCK, Scaling, TILE, ensure, ensure_aligned, grid};
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::{Kind, Plane};
use crate::{Device, Error};

static SOURCE: Source = source!("resample");
static ENLARGE: Source = source!("enlarge");

/// Resamples a plane, given as source and target. One component goes from its place in the source to a planar target;
/// two planes of the same sizes may go at once. Two to four components are a whole group on both sides, but for the
/// fourth place of packed pixels that have three: it becomes the largest code. Only single components may be f32.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit, or the input of a block is too large for its shared memory.
pub fn resample(
    device: &Device,
    components: usize,
    planes: &[(Plane, Plane)],
    scaling: &Scaling,
) -> Result<Launch, Error> {
    let name = match components {
        1 => "resample_1_f32",
        2 => "resample_2_f32",
        3 => "resample_3_f32",
        _ => "resample_4_f32",
    };
    let limit = if components == 1 { 2 } else { 1 };
    ensure(name, (1..=limit).contains(&planes.len()), || format!("{} planes at once", planes.len()))?;
    for (source, target) in planes {
        check(name, components, source, target, scaling)?;
    }
    if let Some(launch) = enlarge(device, components, planes, scaling)? {
        return Ok(launch);
    }
    let (first, last) = (&planes[0], &planes[planes.len() - 1]);
    let arguments = match components {
        1 => Arguments::default().plane(&first.0).plane(&last.0).plane(&first.1).plane(&last.1),
        _ => Arguments::default().plane(&first.0).plane(&first.1),
    };
    let arguments = arguments.scaling(scaling);
    let shared = scaling.shared(name, components, TILE, (0, 0))?;
    let grid = grid(scaling.output_size(), TILE, planes.len() as u32);
    Launch::new(device, (&SOURCE, name), grid, BLOCK, shared, arguments)
}

/// Codes by a whole factor, one or two components a group on both sides, which has kernels of its own.
fn enlarge(
    device: &Device,
    components: usize,
    planes: &[(Plane, Plane)],
    scaling: &Scaling,
) -> Result<Option<Launch>, Error> {
    /// Threads of a block; rows that it takes; samples of a row, by components.
    const THREADS: u32 = 128;
    const ROWS: usize = 32;
    const STRIP: [usize; 2] = [120, 112];
    let codes = |plane: &Plane| plane.sample().kind != Kind::F32 && plane.sample().group == components;
    if components > 2 || !planes.iter().all(|(source, target)| codes(source) && codes(target)) {
        return Ok(None);
    }
    let Some((factor, across, down)) = scaling.enlarging() else { return Ok(None) };
    let name = match (factor, components) {
        (2, 1) => "enlarge_2x1_f32",
        (2, _) => "enlarge_2x2_f32",
        (3, 1) => "enlarge_3x1_f32",
        (3, _) => "enlarge_3x2_f32",
        (_, 1) => "enlarge_4x1_f32",
        _ => "enlarge_4x2_f32",
    };
    let (first, last) = (&planes[0], &planes[planes.len() - 1]);
    let arguments = Arguments::default().plane(&first.0).plane(&last.0).plane(&first.1).plane(&last.1);
    let arguments = arguments.buffer(across).buffer(down);
    let (height, width) = scaling.input_size();
    let grid = grid((height, components * width), (STRIP[components - 1], ROWS), planes.len() as u32);
    Launch::new(device, (&ENLARGE, name), grid, THREADS, 0, arguments).map(Some)
}

fn check(
    name: &'static str,
    components: usize,
    source: &Plane,
    target: &Plane,
    scaling: &Scaling,
) -> Result<(), Error> {
    let sizes = (source.size(), target.size());
    ensure(name, sizes == (scaling.input_size(), scaling.output_size()), || {
        format!("planes of {sizes:?} for tables of {:?} and {:?}", scaling.input_size(), scaling.output_size())
    })?;
    let (from, to) = (source.sample(), target.sample());
    let groups = from.part + components <= from.group
        && to.part == 0
        && (to.group == components || (to.group, components) == (4, 3));
    let kind = |kind| match components {
        1 => true,
        2 => kind != Kind::F32,
        _ => kind == Kind::U8,
    };
    // The first pass of two and more components takes both of its sides to be codes.
    let fits = groups && (1..=4).contains(&components) && kind(from.kind) && kind(to.kind);
    ensure(name, fits, || format!("{components} components of {from:?} to {to:?}"))?;
    ensure_aligned(name, source)?;
    ensure_aligned(name, target)
}
