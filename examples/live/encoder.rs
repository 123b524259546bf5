//! The video encoder: which one, and set for live use.

use std::ops::RangeInclusive;

use gst::glib::{EnumClass, ParamSpecInt, ParamSpecUInt, Type};
use gst::prelude::*;
use srup_examples::Failure;

use crate::args::Encoding;
use crate::container::Container;
use crate::elements;

/// Tried in this order where none is named.
const KNOWN: [&str; 3] = ["x264enc", "nvh264enc", "openh264enc"];

/// Seconds between two frames that a receiver can begin with.
const KEY_SECONDS: f64 = 2.0;

/// What the encoder will get.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Pixels a row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Frames a second; 0 if unknown.
    pub rate: f64,
}

impl Picture {
    fn rate(self) -> f64 {
        if self.rate > 0.0 { self.rate } else { 30.0 }
    }

    /// Bits a second in thousands, at 0.1 bits a pixel.
    fn bitrate(self) -> u32 {
        let bits = f64::from(self.width) * f64::from(self.height) * self.rate() * 0.1;
        ((bits / 1000.0) as u32).clamp(100, 100_000)
    }
}

/// Adds encoder and parser, linked.
///
/// # Errors
/// There is no encoder, or it makes what the container does not hold.
pub fn add(
    pipeline: &gst::Pipeline,
    args: &Encoding,
    container: Container,
    picture: Picture,
) -> Result<Vec<gst::Element>, Failure> {
    let known = KNOWN.into_iter().find(|name| elements::exists(name)).unwrap_or(KNOWN[0]);
    let name = args.encoder.as_deref().unwrap_or(known);
    let encoder = elements::add(pipeline, name)?;
    let parser = match coded(&encoder) {
        Some("h264") => "h264parse",
        Some("h265") if container != Container::Flv => "h265parse",
        Some(_) => return Err(Failure::new(format!("{name} makes H.265, which RTMP does not carry; take x264enc"))),
        None => return Err(Failure::new(format!("{name} encodes neither H.264 nor H.265; take x264enc, for example"))),
    };
    let parser = elements::add(pipeline, parser)?;
    if container == Container::Ts {
        // Whoever tunes in finds the parameters with every key frame.
        parser.set_property("config-interval", -1_i32);
    }
    set(&encoder, name, args, picture)?;
    elements::link(&[encoder.clone(), parser.clone()])?;
    Ok(vec![encoder, parser])
}

/// What an encoder makes, by its caps.
fn coded(encoder: &gst::Element) -> Option<&'static str> {
    let caps = encoder.static_pad("src")?.pad_template_caps();
    let makes = |name| caps.iter().any(|structure| structure.name() == name);
    [("video/x-h264", "h264"), ("video/x-h265", "h265")]
        .into_iter()
        .find(|(name, _)| makes(*name))
        .map(|(_, coded)| coded)
}

fn set(encoder: &gst::Element, name: &str, args: &Encoding, picture: Picture) -> Result<(), Failure> {
    let kilobits = args.bitrate.unwrap_or_else(|| picture.bitrate());
    // OpenH264 counts bits, all others thousands of them.
    let unit = if name == "openh264enc" { 1000 } else { 1 };
    let bitrate = i64::from(kilobits) * unit;
    if let Some(range) = range(encoder, "bitrate").filter(|range| args.bitrate.is_some() && !range.contains(&bitrate)) {
        let (least, most) = ((range.start() + unit - 1) / unit, range.end() / unit);
        return Err(Failure::new(format!("{name} takes a --bitrate from {least} to {most}, not {kilobits}")));
    }
    set_number(encoder, "bitrate", bitrate);
    let interval = (KEY_SECONDS * picture.rate()).round() as i64;
    for property in ["key-int-max", "gop-size"] {
        set_number(encoder, property, interval);
    }
    if matches!(name, "x264enc" | "x265enc") {
        encoder.set_property_from_str("tune", "zerolatency");
        let presets = EnumClass::with_type(encoder.property_type("speed-preset").unwrap_or(Type::INVALID));
        let value = presets.and_then(|class| class.to_value_by_nick(&args.preset));
        let value = value.ok_or_else(|| {
            Failure::new(format!("{name} has no preset {}; take one from ultrafast to veryslow", args.preset))
        })?;
        encoder.set_property_from_value("speed-preset", &value);
    }
    Ok(())
}

/// The numbers that a property takes; None if there is no such property, or it takes others.
fn range(encoder: &gst::Element, property: &str) -> Option<RangeInclusive<i64>> {
    let property = encoder.find_property(property)?;
    match (property.downcast_ref::<ParamSpecUInt>(), property.downcast_ref::<ParamSpecInt>()) {
        (Some(spec), _) => Some(spec.minimum().into()..=spec.maximum().into()),
        (_, Some(spec)) => Some(spec.minimum().into()..=spec.maximum().into()),
        _ => None,
    }
}

/// Sets a property where the encoder has it, to the nearest value that it takes.
fn set_number(encoder: &gst::Element, property: &str, value: i64) {
    let Some(range) = range(encoder, property) else { return };
    let value = value.clamp(*range.start(), *range.end());
    match (u32::try_from(value), i32::try_from(value)) {
        (Ok(value), _) if encoder.property_type(property) == Some(Type::U32) => encoder.set_property(property, value),
        (_, Ok(value)) => encoder.set_property(property, value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitrate_that_the_encoder_does_not_take_is_refused_with_those_that_it_takes() {
        gst::init().unwrap();
        let Ok(encoder) = gst::ElementFactory::make("x264enc").build() else {
            eprintln!("skipped: GStreamer has no x264enc");
            return;
        };
        let picture = Picture { width: 160, height: 90, rate: 25.0 };
        let set = |bitrate| {
            let encoding =
                Encoding { encoder: None, preset: "veryfast".into(), bitrate: Some(bitrate), segment: 4, playlist: 6 };
            set(&encoder, "x264enc", &encoding, picture).map_err(|failure| failure.to_string())
        };
        let most = *range(&encoder, "bitrate").unwrap().end();
        let refused = set(u32::MAX).unwrap_err();
        assert!(refused.contains("--bitrate from 1 to") && refused.contains(&most.to_string()), "{refused}");
        set(6000).unwrap();
        assert_eq!(encoder.property::<u32>("bitrate"), 6000);
    }

    #[test]
    fn the_bitrate_follows_size_and_rate() {
        assert_eq!(Picture { width: 1280, height: 720, rate: 25.0 }.bitrate(), 2304);
        assert_eq!(Picture { width: 16, height: 16, rate: 0.0 }.bitrate(), 100);
    }
}
