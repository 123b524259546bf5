//! Making and linking elements, with errors that say what to install.

use gst::prelude::*;
use srup_examples::Failure;

/// Packages of Debian by the elements that they hold, as far as they are named here.
const PACKAGES: [(&str, &str); 5] = [
    ("gstreamer1.0-plugins-ugly", "x264enc"),
    ("gstreamer1.0-plugins-bad", "srtsrc srtsink mpegtsmux hlssink2 rtmp2src rtmp2sink h265parse x265enc openh264enc"),
    (
        "gstreamer1.0-plugins-good",
        "flvmux matroskamux mp4mux udpsink rtspsrc v4l2src autovideosink autoaudiosink deinterlace capssetter",
    ),
    ("gstreamer1.0-libav", "avenc_aac"),
    ("gstreamer1.0-plugins-base", "videoconvert videoscale audioconvert audioresample uridecodebin appsrc appsink"),
];

/// Whether GStreamer has an element of that name.
pub fn exists(name: &str) -> bool {
    gst::ElementFactory::find(name).is_some()
}

/// Makes an element and adds it to a bin.
///
/// # Errors
/// There is none of that name.
pub fn add(bin: &gst::Pipeline, name: &str) -> Result<gst::Element, Failure> {
    let element = gst::ElementFactory::make(name).build().map_err(|_| missing(name))?;
    bin.add(&element).map_err(Failure::new)?;
    Ok(element)
}

/// What to do where an element is missing.
pub fn missing(name: &str) -> Failure {
    let package = PACKAGES.iter().find(|(_, names)| names.split(' ').any(|known| known == name));
    let hint = package.map_or_else(
        || "`gst-inspect-1.0` lists those that there are".to_owned(),
        |(package, _)| format!("on Debian: apt-get install {package}"),
    );
    Failure::new(format!("GStreamer has no element {name} here; {hint}"))
}

/// Adds a filter that lets only `caps` through.
pub fn add_filter(bin: &gst::Pipeline, caps: &gst::Caps) -> Result<gst::Element, Failure> {
    let filter = add(bin, "capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// Adds a queue that holds up to `frames` buffers (0: no bound) and `time`.
pub fn add_queue(bin: &gst::Pipeline, frames: u32, time: gst::ClockTime) -> Result<gst::Element, Failure> {
    let queue = add(bin, "queue")?;
    queue.set_property("max-size-buffers", frames);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", time.nseconds());
    Ok(queue)
}

/// Links elements one after another.
pub fn link(elements: &[gst::Element]) -> Result<(), Failure> {
    gst::Element::link_many(elements).map_err(|error| Failure::new(format!("elements do not fit together: {error}")))
}

/// The text of an error on a bus. Where a plugin is missing, the debugging text names it.
pub fn error_text(message: &gst::message::Error) -> String {
    let error = message.error();
    let text = error.to_string();
    let names_plugin = error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound);
    let detail = message.debug().filter(|_| names_plugin);
    match detail.as_ref().and_then(|detail| detail.lines().last()) {
        Some(line) => format!("{text} {line}"),
        None => text,
    }
}
