//! What the containers carry.

use std::path::Path;

use srup_examples::Failure;

/// A container for encoded streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MPEG-TS.
    Ts,
    /// FLV, what RTMP carries.
    Flv,
    /// Matroska.
    Matroska,
    /// MP4.
    Mp4,
}

impl Container {
    /// By a file's ending.
    ///
    /// # Errors
    /// Another ending.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("ts" | "m2ts") => Ok(Self::Ts),
            Some("flv") => Ok(Self::Flv),
            Some("mkv") => Ok(Self::Matroska),
            Some("mp4" | "m4v" | "mov") => Ok(Self::Mp4),
            _ => Err(Failure::new(format!(
                "{} names no container; end it in .ts, .mkv, .mp4 or .flv, or in / for a folder with HLS",
                path.display()
            ))),
        }
    }

    /// The element that writes it.
    pub fn muxer(self) -> &'static str {
        match self {
            Self::Ts => "mpegtsmux",
            Self::Flv => "flvmux",
            Self::Matroska => "matroskamux",
            Self::Mp4 => "mp4mux",
        }
    }

    /// The muxer's pads for picture and sound.
    pub fn pads(self) -> [&'static str; 2] {
        match self {
            Self::Ts => ["sink_%d", "sink_%d"],
            Self::Flv => ["video", "audio"],
            Self::Matroska | Self::Mp4 => ["video_%u", "audio_%u"],
        }
    }

    /// The encoded sound that goes in as it is, as caps. Decoders stop there; other sound is decoded. Of AAC parsers make
    /// either of two forms from the other, but none from LATM.
    pub fn audio(self) -> &'static str {
        match self {
            Self::Ts => {
                "audio/mpeg, mpegversion=(int){2, 4}, stream-format=(string){raw, adts}, framed=(boolean)true; \
                 audio/mpeg, mpegversion=(int)1, parsed=(boolean)true; \
                 audio/x-ac3, framed=(boolean)true; audio/x-opus, channel-mapping-family=(int){0, 1}"
            }
            Self::Flv => {
                "audio/mpeg, mpegversion=(int){2, 4}, stream-format=(string){raw, adts}, framed=(boolean)true; \
                 audio/mpeg, mpegversion=(int)1, layer=(int)3, parsed=(boolean)true, channels=(int){1, 2}, \
                 rate=(int){5512, 8000, 11025, 22050, 44100}"
            }
            Self::Matroska => {
                "audio/mpeg, mpegversion=(int){2, 4}, stream-format=(string){raw, adts}, framed=(boolean)true; \
                 audio/mpeg, mpegversion=(int)1, parsed=(boolean)true; \
                 audio/x-ac3, framed=(boolean)true; audio/x-eac3, framed=(boolean)true; \
                 audio/x-flac, framed=(boolean)true; audio/x-opus, channel-mapping-family=(int){0, 1}; audio/x-vorbis"
            }
            Self::Mp4 => {
                "audio/mpeg, mpegversion=(int)4, stream-format=(string){raw, adts}, framed=(boolean)true; \
                 audio/mpeg, mpegversion=(int)1, layer=(int)3, parsed=(boolean)true; \
                 audio/x-ac3, framed=(boolean)true; audio/x-opus, channel-mapping-family=(int){0, 1}"
            }
        }
    }

    /// Whether size, shape and colours of the picture may change in mid-stream.
    pub fn bears_changes(self) -> bool {
        self == Self::Ts
    }

    /// Whether rate and channels of encoded sound may change in mid-stream.
    pub fn bears_changed_sound(self) -> bool {
        matches!(self, Self::Ts | Self::Flv)
    }
}

/// The parser for encoded sound, where there is one: it brings it into the form that a muxer wants. The bytes of a frame
/// stay what they are.
pub fn audio_parser(caps: &gst::StructureRef) -> Option<&'static str> {
    match (caps.name().as_str(), caps.get::<i32>("mpegversion").ok()) {
        ("audio/mpeg", Some(1)) => Some("mpegaudioparse"),
        ("audio/mpeg", _) => Some("aacparse"),
        ("audio/x-ac3" | "audio/x-eac3", _) => Some("ac3parse"),
        ("audio/x-opus", _) => Some("opusparse"),
        ("audio/x-flac", _) => Some("flacparse"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_names_the_container() {
        assert_eq!(Container::of(Path::new("a.TS")).unwrap(), Container::Ts);
        assert_eq!(Container::of(Path::new("a.b.mov")).unwrap(), Container::Mp4);
        assert!(Container::of(Path::new("a")).unwrap_err().to_string().contains(".mkv"));
    }

    #[test]
    fn the_sound_that_a_container_takes_is_written_as_caps() {
        gst::init().unwrap();
        for container in [Container::Ts, Container::Flv, Container::Matroska, Container::Mp4] {
            let caps: gst::Caps = container.audio().parse().unwrap();
            let adts: gst::Caps = "audio/mpeg, mpegversion=4, framed=true, stream-format=adts".parse().unwrap();
            let pcm: gst::Caps = "audio/x-raw, format=S16LE".parse().unwrap();
            let latm: gst::Caps = "audio/mpeg, mpegversion=4, framed=true, stream-format=loas".parse().unwrap();
            let older: gst::Caps = "audio/mpeg, mpegversion=2, framed=true, stream-format=adts".parse().unwrap();
            assert!(adts.is_subset(&caps) && !pcm.can_intersect(&caps), "{container:?}");
            assert!(!latm.can_intersect(&caps), "{container:?}");
            assert_eq!(older.is_subset(&caps), container != Container::Mp4, "{container:?}");
            let parsers = caps.iter().map(audio_parser).collect::<Vec<_>>();
            assert_eq!(parsers[0], Some("aacparse"));
        }
    }
}
