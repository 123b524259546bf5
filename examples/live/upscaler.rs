//! The element `srupscale`: its settings and its figures.

use gst::glib;
use gst::prelude::*;
use srup_engine::model::Model;
use srup_examples::Failure;

use crate::args::Upscaling;
use crate::elements;

/// What the element says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The network in use.
    pub model: String,
    /// Frames that came too late.
    pub late: u64,
    /// Frames made by plain resampling to keep their time.
    pub bicubic: u64,
    /// Share of the picture that had not changed and was not computed again: 0 to 1.
    pub reused: f64,
    /// Frames left out.
    pub dropped: u64,
    /// Changes of the network.
    pub switches: u64,
}

/// Looks whether the model can be had, before anything is opened.
///
/// # Errors
/// What is wrong with it.
pub fn check(args: &Upscaling) -> Result<(), Failure> {
    Model::open(&args.model, args.scale.into())?;
    Ok(())
}

/// Makes the element.
///
/// # Errors
/// The backend is not one of the element's.
pub fn add(pipeline: &gst::Pipeline, args: &Upscaling) -> Result<gst::Element, Failure> {
    let element = elements::add(pipeline, "srupscale")?;
    element.set_property("model", &args.model);
    element.set_property("scale-factor", u32::from(args.scale));
    element.set_property("threads", args.threads);
    let backend = glib::EnumClass::with_type(element.property_type("backend").unwrap_or(glib::Type::INVALID));
    let name = args.backend.name();
    let value = backend.and_then(|class| class.to_value_by_nick(name));
    let value =
        value.ok_or_else(|| Failure::new(format!("srupscale has no backend {name}; take auto, cpu or cuda")))?;
    element.set_property_from_value("backend", &value);
    element.set_property_from_str("precision", args.precision.name());
    element.set_property("target-fps", args.target_fps);
    element.set_property("reuse", !args.no_reuse);
    if let Some(ladder) = &args.ladder {
        element.set_property("ladder", ladder);
    }
    Ok(element)
}

/// The element's figures now.
pub fn stats(element: &gst::Element) -> Stats {
    let Some(stats) = element.property::<Option<gst::Structure>>("stats") else { return Stats::default() };
    Stats {
        model: stats.get("model").unwrap_or_default(),
        late: stats.get("late").unwrap_or_default(),
        bicubic: stats.get("bicubic").unwrap_or_default(),
        reused: stats.get("reused").unwrap_or_default(),
        dropped: stats.get("dropped").unwrap_or_default(),
        switches: stats.get("switches").unwrap_or_default(),
    }
}
