//! Harness, noise, and what the engine makes of the same frame.

use std::sync::Once;
use std::time::Duration;

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use srup_engine::Upscaler;
use srup_engine::frame::{Colour, Frame, Matrix, PixelFormat, Range, Site, Siting};

/// Longer than anything here takes: what is not done by then hangs.
pub const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(120);

/// GStreamer with the element, linked in.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstsrupscale::plugin_register_static().unwrap();
    });
}

/// The element with plain resampling: quick, and as good as any for mechanics.
pub fn bicubic() -> gst::Element {
    element("bicubic", 2)
}

/// The element.
pub fn element(model: &str, factor: u32) -> gst::Element {
    init();
    gst::ElementFactory::make("srupscale").property("model", model).property("scale-factor", factor).build().unwrap()
}

/// The element between two pads of the test.
pub fn harness(element: &gst::Element) -> gst_check::Harness {
    gst_check::Harness::with_element(element, Some("sink"), Some("src"))
}

/// Plain caps of a format and size.
pub fn caps(format: PixelFormat, width: usize, height: usize) -> gst::Caps {
    init();
    format!("video/x-raw, format={format}, width={width}, height={height}, framerate=25/1").parse().unwrap()
}

/// What caps mean. GStreamer 1.22 forgets a chroma site that no colorimetry goes with.
pub fn info(caps: &gst::Caps) -> VideoInfo {
    let info = VideoInfo::from_caps(caps).unwrap();
    match caps.structure(0).unwrap().get::<&str>("chroma-site") {
        Ok(site) => VideoInfo::builder_from_info(&info).chroma_site(site.parse().unwrap()).build().unwrap(),
        Err(_) => info,
    }
}

/// Reproducible bytes (xorshift).
pub struct Noise(pub u64);

impl Noise {
    /// The next 8 bits.
    pub fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u8
    }

    /// A sample of `format`, within its bits.
    fn sample(&mut self, format: PixelFormat) -> [u8; 2] {
        let code = u16::from_le_bytes([self.byte(), self.byte()]) & format.max_code() as u16;
        (code << format.shift()).to_le_bytes()
    }
}

/// A frame of noise in the memory layout that `caps` imply.
pub fn noise(caps: &gst::Caps, seed: u64) -> gst::Buffer {
    let info = info(caps);
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    fill(buffer.get_mut().unwrap(), &info, seed);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * seed));
    buffer
}

/// Fills the visible part of a buffer with noise, by its own layout.
pub fn fill(buffer: &mut gst::BufferRef, info: &VideoInfo, seed: u64) {
    let format = PixelFormat::from_name(info.format().to_str()).unwrap();
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info).unwrap();
    for plane in 0..format.planes() {
        let stride = frame.plane_stride()[plane] as usize;
        let row = format.row_bytes(plane, info.width() as usize);
        let rows = format.rows(plane, info.height() as usize);
        for line in frame.plane_data_mut(plane as u32).unwrap().chunks_mut(stride).take(rows) {
            for sample in line[..row].chunks_mut(format.sample_bytes()) {
                sample.copy_from_slice(&noise.sample(format)[..sample.len()]);
            }
        }
    }
}

/// The visible bytes of a buffer, row after row, plane after plane.
pub fn visible(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<u8> {
    let format = PixelFormat::from_name(info.format().to_str()).unwrap();
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let mut bytes = Vec::new();
    for plane in 0..format.planes() {
        let stride = frame.plane_stride()[plane] as usize;
        let row = format.row_bytes(plane, info.width() as usize);
        for line in
            frame.plane_data(plane as u32).unwrap().chunks(stride).take(format.rows(plane, info.height() as usize))
        {
            bytes.extend_from_slice(&line[..row]);
        }
    }
    bytes
}

/// The colours that these tests name, written down apart from the element's own table.
fn colour(info: &VideoInfo) -> Colour {
    use gst_video::{VideoChromaSite as Place, VideoColorMatrix, VideoColorRange};
    let site = |flag| if info.chroma_site().contains(flag) { Site::Cosited } else { Site::Centered };
    Colour {
        matrix: match info.colorimetry().matrix() {
            VideoColorMatrix::Bt709 => Matrix::Bt709,
            VideoColorMatrix::Bt2020 => Matrix::Bt2020,
            _ => Matrix::Bt601,
        },
        range: match info.colorimetry().range() {
            VideoColorRange::Range0_255 => Range::Full,
            _ => Range::Limited,
        },
        siting: match info.chroma_site() {
            site if site.is_empty() => Siting::default(),
            _ => Siting { horizontal: site(Place::H_COSITED), vertical: site(Place::V_COSITED) },
        },
    }
}

/// What the engine alone makes of the visible bytes of a frame.
pub fn engine(bytes: &[u8], info: &VideoInfo, model: &str, factor: u32) -> Vec<u8> {
    let format = PixelFormat::from_name(info.format().to_str()).unwrap();
    let (width, height) = (info.width() as usize, info.height() as usize);
    let described = srup_engine::frame::VideoInfo::new(format, width, height, colour(info)).unwrap();
    let mut upscaler = Upscaler::builder().model(model).scale(factor as usize).build(&described).unwrap();
    let (mut input, mut output) = (Frame::new(&described), Frame::new(upscaler.output_info()));
    let mut rest = bytes;
    for plane in 0..format.planes() {
        let (data, _) = input.plane_mut(plane);
        let (head, tail) = rest.split_at(data.len());
        data.copy_from_slice(head);
        rest = tail;
    }
    assert!(rest.is_empty(), "a frame has as many bytes as its planes");
    upscaler.process(&input.view(), &mut output.view_mut()).unwrap();
    (0..format.planes()).flat_map(|plane| output.plane(plane).0.to_vec()).collect()
}

/// The caps that the element gave out last.
pub fn output_caps(element: &gst::Element) -> gst::Caps {
    element.static_pad("src").unwrap().current_caps().unwrap()
}

/// Waits for a state, and fails where it does not come.
#[track_caller]
pub fn reach(pipeline: &impl IsA<gst::Element>, state: gst::State) {
    pipeline.set_state(state).unwrap();
    let (result, current, _) = pipeline.state(LIMIT);
    result.unwrap();
    assert_eq!(current, state);
}

/// Plays to the end; the error's text if there was one.
pub fn play(pipeline: &gst::Element) -> Result<(), String> {
    let bus = pipeline.bus().unwrap();
    let started = pipeline.set_state(gst::State::Playing);
    let message = bus.timed_pop_filtered(LIMIT, &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        Some(_) if started.is_ok() => Ok(()),
        _ => panic!("neither the end nor an error within {LIMIT}"),
    }
}

/// The first error on the bus of an element outside a pipeline.
pub fn watch_errors(element: &gst::Element) -> impl Fn() -> Option<String> + use<> {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    move || {
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(error.error().to_string()),
            _ => None,
        }
    }
}

/// Runs `work` on a thread of its own and fails where it does not end.
pub fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(Duration::from_secs(LIMIT.seconds())).expect("done in time, without a panic")
}
