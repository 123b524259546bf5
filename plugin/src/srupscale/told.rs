//! What the element tells: statistics, messages when the model changes, and a meta on every picture.

use gst::prelude::*;
use srup_engine::scheduler::{Change, Report, Stats};

/// The name of the custom meta.
pub const META: &str = "SrUpscaleMeta";

/// Makes the custom meta known. Its values are of the picture: they are copied with it, and mean nothing of a part of it.
pub fn register_meta() {
    if !gst::meta::CustomMeta::is_registered(META) {
        gst::meta::CustomMeta::register_simple(META);
    }
}

/// Says on a buffer how it was made.
pub fn mark(buffer: &mut gst::BufferRef, report: &Report) -> Result<(), gst::glib::BoolError> {
    let mut meta = gst::meta::CustomMeta::add(buffer, META)?;
    let structure = meta.mut_structure();
    structure.set("model", &*report.model);
    structure.set("time", nanoseconds(report.service));
    structure.set("reused", report.reused);
    structure.set("late", report.late);
    structure.set("bicubic", report.deadline_bicubic);
    Ok(())
}

/// The message that the model has changed.
pub fn change(
    source: &impl IsA<gst::Object>,
    change: &Change,
    previous: Option<&str>,
    running_time: Option<gst::ClockTime>,
) -> gst::Message {
    let reason = change.reason.to_string();
    let structure = gst::Structure::builder("srupscale-model")
        .field("model", &*change.model)
        .field("previous", previous)
        .field("reason", reason)
        .field("running-time", running_time)
        .build();
    gst::message::Element::builder(structure).src(source).build()
}

/// The property `stats`.
pub fn stats(stats: &Stats, dropped: u64) -> gst::Structure {
    let models = stats.rungs.iter().fold(gst::Structure::builder("models"), |models, (name, frames)| {
        // Paths of files hold letters that no field's name may.
        models.field(name.replace(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)), "_"), *frames)
    });
    gst::Structure::builder("srupscale-stats")
        .field("engine", &stats.engine)
        .field("model", &stats.model)
        .field("frames", stats.frames)
        .field("late", stats.late)
        .field("bicubic", stats.deadline_bicubic)
        .field("dropped", dropped)
        .field("switches", stats.switches)
        .field("probes", stats.probes)
        .field("reused", stats.reused)
        .field("fps", stats.fps)
        .field("latency", nanoseconds(stats.latency))
        .field("models", models.build())
        .build()
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}
