//! What travels with a frame: copied where it still holds, scaled where it counts pixels, left where it is of the memory.

use gst::meta::MetaTransformCopy;
use gst::meta::tags::{Memory, MemoryReference};
use gst_video::video_meta::VideoMetaTransformScale;
use gst_video::video_meta::tags::Size;
use gst_video::{
    VideoBarMeta, VideoCropMeta, VideoMeta, VideoOverlayComposition, VideoOverlayCompositionMeta,
    VideoRegionOfInterestMeta,
};

use crate::video::crop_is_applied;

/// Copies flags, times and metas of `input` to `output`, which is `factor` times as large.
pub fn carry(
    input: &gst::BufferRef,
    output: &mut gst::BufferRef,
    (in_info, out_info): (&gst_video::VideoInfo, &gst_video::VideoInfo),
    factor: u32,
) -> Result<(), gst::glib::BoolError> {
    input.copy_into(output, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..)?;
    for meta in input.iter_meta::<gst::Meta>() {
        if let Some(bars) = meta.downcast_ref::<VideoBarMeta>() {
            let [first, second] = [bars.bar_data1(), bars.bar_data2()].map(|n| n.saturating_mul(factor));
            VideoBarMeta::add(output, bars.field(), bars.is_letterbox(), first, second);
        } else if let Some(overlay) = meta.downcast_ref::<VideoOverlayCompositionMeta>() {
            VideoOverlayCompositionMeta::add(output, &scale_overlay(overlay, factor)?);
        } else if let Some(crop) = meta.downcast_ref::<VideoCropMeta>() {
            if !crop_is_applied(input, in_info) {
                VideoCropMeta::add(output, scale_rect(crop.rect(), factor));
            }
        } else if let Some(region) = meta.downcast_ref::<VideoRegionOfInterestMeta>() {
            carry_region(region, output, factor);
        } else {
            carry_other(&meta, output, in_info, out_info);
        }
    }
    Ok(())
}

/// Its own transform scales the rectangle but loses the parameters (GStreamer 1.22).
fn carry_region(region: &VideoRegionOfInterestMeta, output: &mut gst::BufferRef, factor: u32) {
    let mut scaled = VideoRegionOfInterestMeta::add(output, region.roi_type(), scale_rect(region.rect(), factor));
    scaled.set_id(region.id());
    scaled.set_parent_id(region.parent_id());
    for parameter in region.params() {
        scaled.add_param(parameter.to_owned());
    }
}

fn carry_other(
    meta: &gst::MetaRef<'_, gst::Meta>,
    output: &mut gst::BufferRef,
    in_info: &gst_video::VideoInfo,
    out_info: &gst_video::VideoInfo,
) {
    // The layout of the input's memory, and what keeps that memory alive, say nothing about the output's.
    if meta.downcast_ref::<VideoMeta>().is_some() || meta.has_tag::<Memory>() || meta.has_tag::<MemoryReference>() {
        return;
    }
    // Another element of this kind said it of its own picture; ours gets one of its own.
    if meta.try_as_custom_meta().is_some_and(|meta| meta.has_name(crate::srupscale::META)) {
        return;
    }
    let carried = if meta.has_tag::<Size>() {
        meta.transform(output, &VideoMetaTransformScale::new(in_info, out_info))
    } else {
        meta.transform(output, &MetaTransformCopy::new(..))
    };
    if carried.is_err() {
        gst::debug!(super::srupscale::CAT, "{} cannot be carried over to the larger frame", meta.api());
    }
}

fn scale_rect((x, y, width, height): (u32, u32, u32, u32), factor: u32) -> (u32, u32, u32, u32) {
    let scale = |n: u32| n.saturating_mul(factor);
    (scale(x), scale(y), scale(width), scale(height))
}

/// The same pictures, shown `factor` times as large.
fn scale_overlay(
    meta: &VideoOverlayCompositionMeta,
    factor: u32,
) -> Result<VideoOverlayComposition, gst::glib::BoolError> {
    let times = factor.try_into().unwrap_or(i32::MAX);
    let rectangles: Vec<_> = meta
        .overlay()
        .iter()
        .map(|mut rectangle| {
            let (x, y, width, height) = rectangle.render_rectangle();
            rectangle.make_mut().set_render_rectangle(
                x.saturating_mul(times),
                y.saturating_mul(times),
                width.saturating_mul(factor),
                height.saturating_mul(factor),
            );
            rectangle
        })
        .collect();
    VideoOverlayComposition::new(&rectangles)
}
