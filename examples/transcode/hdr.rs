//! HDR10's static metadata: the mastering display and the content's light, for container and bitstream.

use ffmpeg_next::ffi::AVPacketSideDataType::{self, *};
use ffmpeg_next::frame::Video;
use ffmpeg_next::frame::side_data::Type;

/// Bytes of `AVMasteringDisplayMetadata`: ten rationals (red, green, blue, white as x and y; least and greatest luminance) and
/// two flags, each a 32-bit integer. The Rust bindings lack the type.
const MASTERING_BYTES: usize = 88;

/// Static HDR metadata, as FFmpeg keeps it in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hdr {
    mastering: Option<Vec<u8>>,
    light: Option<Vec<u8>>,
}

impl Hdr {
    /// What the frame carries; what it lacks, the stream's side data may have.
    pub fn of(frame: &Video, stream: &[(AVPacketSideDataType, Vec<u8>)]) -> Self {
        let pick = |frame_kind, stream_kind| {
            let of_frame = frame.side_data(frame_kind).map(|data| data.data().to_vec());
            of_frame.or_else(|| stream.iter().find(|entry| entry.0 == stream_kind).map(|entry| entry.1.clone()))
        };
        Self {
            mastering: pick(Type::MasteringDisplayMetadata, AV_PKT_DATA_MASTERING_DISPLAY_METADATA),
            light: pick(Type::ContentLightLevel, AV_PKT_DATA_CONTENT_LIGHT_LEVEL),
        }
    }

    /// The same as side data of a stream, for the container.
    pub fn stream_side_data(&self) -> Vec<(AVPacketSideDataType, Vec<u8>)> {
        let mastering = self.mastering.clone().map(|bytes| (AV_PKT_DATA_MASTERING_DISPLAY_METADATA, bytes));
        let light = self.light.clone().map(|bytes| (AV_PKT_DATA_CONTENT_LIGHT_LEVEL, bytes));
        mastering.into_iter().chain(light).collect()
    }

    /// Mastering display in the notation of x264 and x265: chromaticities in 0.00002, luminances in 0.0001 cd/m².
    pub fn mastering_display(&self) -> Option<String> {
        let values = integers(self.mastering.as_deref().filter(|bytes| bytes.len() >= MASTERING_BYTES)?);
        let (has_primaries, has_luminance) = (values[20] != 0, values[21] != 0);
        if !has_primaries || !has_luminance {
            return None;
        }
        let scaled = |index: usize, unit: f64| -> i64 {
            let (numerator, denominator) = (f64::from(values[2 * index]), f64::from(values[2 * index + 1]));
            if denominator == 0.0 { 0 } else { (numerator / denominator * unit).round() as i64 }
        };
        let point = |index: usize| format!("({},{})", scaled(2 * index, 50000.0), scaled(2 * index + 1, 50000.0));
        let (red, green, blue, white) = (point(0), point(1), point(2), point(3));
        let (least, greatest) = (scaled(8, 10000.0), scaled(9, 10000.0));
        Some(format!("G{green}B{blue}R{red}WP{white}L({greatest},{least})"))
    }

    /// Greatest light of a pixel and of a frame's mean, as `max,mean` in cd/m².
    pub fn content_light(&self) -> Option<String> {
        let values = integers(self.light.as_deref().filter(|bytes| bytes.len() >= 8)?);
        Some(format!("{},{}", values[0], values[1]))
    }
}

fn integers(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The dynamic metadata of a frame that no encoder here can write.
pub fn dropped(frame: &Video, stream: &[(AVPacketSideDataType, Vec<u8>)]) -> Vec<&'static str> {
    let dolby = frame.side_data(Type::DOVI_METADATA).is_some()
        || frame.side_data(Type::DOVI_RPU_BUFFER).is_some()
        || stream.iter().any(|entry| entry.0 == AV_PKT_DATA_DOVI_CONF);
    let plus = frame.side_data(Type::DYNAMIC_HDR_PLUS).is_some();
    [(plus, "HDR10+"), (dolby, "Dolby Vision")].into_iter().filter(|entry| entry.0).map(|entry| entry.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mastering_display_in_the_encoders_notation() {
        // The P3 display of x265's manual: G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1).
        let points = [34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450];
        let mut values: Vec<i32> = points.iter().flat_map(|&value| [value, 50000]).collect();
        values.extend([1, 10000, 10_000_000, 10000, 1, 1]);
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>();
        let light = [1000_i32, 400].iter().flat_map(|value| value.to_ne_bytes()).collect();
        let hdr = Hdr { mastering: Some(bytes), light: Some(light) };
        let expected = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)";
        assert_eq!(hdr.mastering_display().as_deref(), Some(expected));
        assert_eq!(hdr.content_light().as_deref(), Some("1000,400"));
        assert_eq!(Hdr { mastering: Some(vec![0; 12]), light: None }.mastering_display(), None);
    }
}
