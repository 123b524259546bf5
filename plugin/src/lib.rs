//! The GStreamer plugin `srupscale` with its one element of that name: super-resolution of video, frame by frame.
//!
//! It knows caps, buffers, metas and events; pixels are the engine's.

use gst::glib;

mod allocation;
pub mod caps;
mod errors;
mod metas;
mod srupscale;
mod video;

pub use srupscale::{Backend, SrUpscale};

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    srupscale::register(plugin)
}

pub use definition::plugin_register_static;

/// What GStreamer looks for in the library; the macro's items cannot carry documentation.
#[allow(missing_docs)]
mod definition {
    use super::plugin_init;

    gst::plugin_define!(
        srupscale,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_REPOSITORY"),
        env!("BUILD_REL_DATE")
    );
}
