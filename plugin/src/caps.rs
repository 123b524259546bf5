//! What one pad can do, from what the other can: the same caps, with width and height scaled.
//!
//! Pure functions of caps, whatever base class asks. Structures are copied and only their sizes changed, never made
//! anew from a `VideoInfo`: that would lose HDR fields and invent others.

use gst::glib;
use gst::prelude::*;
use srup_engine::frame::{MAX_SIZE, PixelFormat};

/// The largest output side that caps may name, in pixels.
const MAX_OUTPUT: i32 = MAX_SIZE as i32;

/// The smallest factor: what bounds the sink's template.
const MIN_FACTOR: i32 = 2;

/// How many views of a scene a frame may have, and how they lie in it: as one picture. Of those in pictures of their own only
/// the first would go out.
const VIEWS: [&str; 11] = [
    "mono",
    "left",
    "right",
    "side-by-side",
    "side-by-side-quincunx",
    "column-interleaved",
    "row-interleaved",
    "top-bottom",
    "checkerboard",
    "frame-by-frame",
    "multiview-frame-by-frame",
];

/// From which pad to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the sink's caps to the source's: sizes times the factor.
    Up,
    /// From the source's caps to the sink's: sizes over the factor, and only those that divide.
    Down,
}

/// What the sink takes at the smallest factor: every format of the engine, progressive, in system memory.
pub fn sink_template() -> gst::Caps {
    template(1, MAX_OUTPUT / MIN_FACTOR)
}

/// What the source can give.
pub fn src_template() -> gst::Caps {
    template(MIN_FACTOR, MAX_OUTPUT)
}

/// The frame rate is not named, so that caps without one keep lacking it.
/// Without `interlace-mode` woven frames would be taken and their fields mixed; so, they are refused when linked.
fn template(min: i32, max: i32) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", gst::List::new(PixelFormat::ALL.map(PixelFormat::name)))
        .field("width", gst::IntRange::new(min, max))
        .field("height", gst::IntRange::new(min, max))
        .field("interlace-mode", "progressive")
        .build()
}

/// The caps of the other pad, cut with both templates and with `filter`, in the order of `filter` if there is one.
///
/// ANY, what an unlinked peer says, stands for the template.
pub fn transform(caps: &gst::Caps, way: Way, factor: i32, filter: Option<&gst::Caps>) -> gst::Caps {
    let (from, to) = match way {
        Way::Up => (sink_template(), src_template()),
        Way::Down => (src_template(), sink_template()),
    };
    let known = if caps.is_any() { &from } else { caps };
    let mut scaled = gst::Caps::new_empty();
    for (structure, features) in known.iter_with_features() {
        if let Some(result) = transform_structure(structure, way, factor, &from) {
            scaled.merge_structure_full(result, Some(features.to_owned()));
        }
    }
    let mut result = scaled.intersect_with_mode(&to, gst::CapsIntersectMode::First);
    if way == Way::Up {
        forget_implied_progressive(known, &mut result);
    }
    match filter {
        Some(filter) => filter.intersect_with_mode(&result, gst::CapsIntersectMode::First),
        None => result,
    }
}

/// Fixes what `input` left open and the peer wants to hear: what it means by saying nothing, square pixels, variable rate.
pub fn fixate(mut caps: gst::Caps, input: &gst::CapsRef) -> gst::Caps {
    let meant = implied(input);
    // What the peer would rather have may be called something else.
    let fitting = caps.iter().position(|structure| structure.can_intersect(&meant)).unwrap_or(0);
    (0..fitting).for_each(|_| caps.make_mut().remove_structure(0));
    caps.truncate();
    if let Some(structure) = caps.make_mut().structure_mut(0) {
        for (field, value) in meant.iter().filter_map(|(field, value)| Some((field, value.get::<&str>().ok()?))) {
            if structure.has_field(field) {
                structure.fixate_field_str(field, value);
            }
        }
        for (field, value) in [("pixel-aspect-ratio", (1, 1)), ("framerate", (0, 1))] {
            if structure.has_field(field) {
                structure.fixate_field_nearest_fraction(field, gst::Fraction::from(value));
            }
        }
    }
    caps.fixate();
    caps
}

/// What fixed caps mean by the fields that they lack.
fn implied(input: &gst::CapsRef) -> gst::Structure {
    let mut meant = gst::Structure::new_empty("video/x-raw");
    let (Some(said), Ok(info)) = (input.structure(0), gst_video::VideoInfo::from_caps(input)) else { return meant };
    if !said.has_field("colorimetry") {
        meant.set("colorimetry", info.colorimetry().to_string());
    }
    if !said.has_field("chroma-site") {
        // Colours without a site are of no known one: then it is the codecs' default.
        let site = Some(info.chroma_site()).filter(|site| !site.is_empty());
        meant.set("chroma-site", site.map_or("mpeg2".into(), gst_video::VideoChromaSite::to_str));
    }
    if !said.has_field("interlace-mode") {
        meant.set("interlace-mode", "progressive");
    }
    meant
}

/// The factor between fixed caps, if it is the same whole number along both axes.
pub fn factor_between(input: (u32, u32), output: (u32, u32)) -> Option<u32> {
    let factor = output.0.checked_div(input.0)?;
    let exact =
        factor > 0 && input.0.checked_mul(factor) == Some(output.0) && input.1.checked_mul(factor) == Some(output.1);
    exact.then_some(factor)
}

/// One structure with its sizes scaled; None where no size is left.
fn transform_structure(
    structure: &gst::StructureRef,
    way: Way,
    factor: i32,
    from: &gst::Caps,
) -> Option<gst::Structure> {
    let mut result = structure.to_owned();
    for field in ["width", "height"] {
        let bounds = from.structure(0)?.value(field).ok()?;
        // A size that is not named may be any.
        let size = match structure.value(field) {
            Ok(size) => size.intersect(bounds)?,
            Err(_) => bounds.to_value(),
        };
        result.set_value(field, scale_value(&size, way, factor)?);
    }
    // Who does not say has one view.
    if structure.has_field("multiview-mode") {
        let views = gst::Structure::builder(structure.name()).field("multiview-mode", gst::List::new(VIEWS)).build();
        result = result.intersect(&views)?;
    }
    if way == Way::Up {
        keep_implied_colour(structure, &mut result);
    }
    Some(result)
}

/// Scales an int, a range or a list; None where nothing is left or the value is no size.
fn scale_value(value: &glib::Value, way: Way, factor: i32) -> Option<glib::SendValue> {
    if let Ok(size) = value.get::<i32>() {
        return scale_range(size, size, 1, way, factor);
    }
    if let Ok(range) = value.get::<gst::IntRange<i32>>() {
        return scale_range(range.min(), range.max(), range.step(), way, factor);
    }
    let list = value.get::<gst::List>().ok()?;
    let mut scaled: Vec<_> = list.iter().filter_map(|value| scale_value(value, way, factor)).collect();
    if scaled.len() > 1 {
        return Some(gst::List::from_values(scaled).to_send_value());
    }
    scaled.pop()
}

/// Scales the multiples of `step` from `min` to `max`. Products stop at the largest int; quotients are exact.
fn scale_range(min: i32, max: i32, step: i32, way: Way, factor: i32) -> Option<glib::SendValue> {
    let [min, max, step, factor] = [min, max, step, factor].map(i64::from);
    let (min, max, step) = match way {
        Way::Up if min == max => {
            let size = (min * factor).min(i32::MAX.into());
            (size, size, 1)
        }
        Way::Up => {
            let step = step * factor;
            // A range with steps must end on one.
            let largest = i64::from(i32::MAX) / step * step;
            ((min * factor).min(largest), (max * factor).min(largest), step)
        }
        Way::Down => {
            let common = if min == max { factor } else { step / gcd(step, factor) * factor };
            let first = (min.max(1) + common - 1) / common * common;
            (first / factor, max / common * common / factor, common / factor)
        }
    };
    let [min, max, step] = [min, max, step].map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    match min.cmp(&max) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal => Some(min.to_send_value()),
        std::cmp::Ordering::Less => Some(gst::IntRange::with_step(min, max, step).to_send_value()),
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Caps without colorimetry or chroma site mean a default that depends on the height. Where scaling would cross such a
/// border, the input's meaning is written down, so that the colours stay what they were.
fn keep_implied_colour(input: &gst::StructureRef, output: &mut gst::StructureRef) {
    let info = |structure: &gst::StructureRef| {
        let caps = gst::Caps::from(structure.to_owned());
        caps.is_fixed().then(|| gst_video::VideoInfo::from_caps(&caps).ok()).flatten()
    };
    let (Some(before), Some(after)) = (info(input), info(output)) else { return };
    if !input.has_field("colorimetry") && before.colorimetry() != after.colorimetry() {
        output.set("colorimetry", before.colorimetry().to_string());
    }
    if !input.has_field("chroma-site") && before.chroma_site() != after.chroma_site() {
        output.set("chroma-site", before.chroma_site().to_str());
    }
}

/// Caps without `interlace-mode` are progressive; the template's field is not to be put into what goes out.
fn forget_implied_progressive(known: &gst::Caps, result: &mut gst::Caps) {
    if known.iter().all(|structure| !structure.has_field("interlace-mode")) {
        for structure in result.make_mut().iter_mut() {
            structure.remove_field("interlace-mode");
        }
    }
}

#[cfg(test)]
#[path = "caps_tests.rs"]
mod tests;
