//! Colour against FFmpeg: matrices and ranges on flat colours, and the place of chroma on ramps and edges.

use std::io::Write;
use std::process::Stdio;

use srup_engine::frame::convert::{Aside, Domain, Packer, Unpacker};
use srup_engine::frame::{Colour, Frame, Matrix, PixelFormat, Range, Site, Siting, VideoInfo};
use srup_engine::tensor::Tensor;
use srup_engine::{BackendKind, Upscaler};
use srup_tests::ffmpeg_tool;

/// Without these swscale takes short cuts of several codes.
const SWSCALE: &str = "flags=accurate_rnd+full_chroma_int+full_chroma_inp+bicubic+bitexact";

/// Runs raw video through a filter of FFmpeg. None where FFmpeg is not installed.
fn filter(data: &[u8], from: &str, (width, height): (usize, usize), filter: &str, to: &str) -> Option<Vec<u8>> {
    let mut command = ffmpeg_tool("ffmpeg")?;
    let size = format!("{width}x{height}");
    command.args(["-f", "rawvideo", "-pix_fmt", from, "-video_size", &size, "-i", "pipe:0"]);
    command.args(["-vf", &format!("{filter},format={to}"), "-f", "rawvideo", "-pix_fmt", to, "pipe:1"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ffmpeg starts");
    let mut input = child.stdin.take().expect("stdin is piped");
    let data = data.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&data));
    let output = child.wait_with_output().expect("ffmpeg ends");
    writer.join().expect("the writer ends").expect("ffmpeg reads its input");
    assert!(output.status.success(), "ffmpeg failed on {filter}");
    Some(output.stdout)
}

fn has_zscale() -> bool {
    let Some(mut command) = ffmpeg_tool("ffmpeg") else { return false };
    let text = command.arg("-filters").output().expect("ffmpeg lists its filters").stdout;
    let found = String::from_utf8_lossy(&text).contains(" zscale ");
    if !found {
        eprintln!("skipped: this ffmpeg has no filter zscale");
    }
    found
}

const COLOURS: usize = 125;
/// Every colour is a block of this many columns, so that filters have no neighbours to mix at its middle.
const BLOCK: usize = 8;
const SIZE: (usize, usize) = (COLOURS * BLOCK, 4);

/// Colours at five levels of red, green and blue, as codes up to `max`.
fn colours(max: u32) -> Vec<[u32; 3]> {
    let level = |i: usize| (i as u32 * max + 2) / 4;
    (0..COLOURS).map(|i| [level(i / 25), level(i / 5 % 5), level(i % 5)]).collect()
}

/// Planar bytes of blocks of those codes, one plane a component.
fn blocks(codes: &[[u32; 3]], components: [usize; 3], bits: u32) -> Vec<u8> {
    let row = |component: usize| {
        codes.iter().flat_map(move |code| {
            let bytes = code[component].to_le_bytes();
            let bytes = if bits == 8 { vec![bytes[0]] } else { vec![bytes[0], bytes[1]] };
            bytes.repeat(BLOCK)
        })
    };
    components.into_iter().flat_map(|c| row(c).collect::<Vec<_>>().repeat(SIZE.1)).collect()
}

/// The codes at the middle of each block.
fn middles(bytes: &[u8], components: [usize; 3], bits: u32) -> Vec<[u32; 3]> {
    let sample = |plane: usize, x: usize| {
        let i = (plane * SIZE.1 + SIZE.1 / 2) * SIZE.0 + x;
        if bits == 8 { u32::from(bytes[i]) } else { u32::from(u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]])) }
    };
    (0..COLOURS)
        .map(|block| {
            let mut codes = [0; 3];
            for (plane, component) in components.into_iter().enumerate() {
                codes[component] = sample(plane, block * BLOCK + BLOCK / 2);
            }
            codes
        })
        .collect()
}

/// FFmpeg's planar RGB is green, blue, red.
const GBR: [usize; 3] = [1, 2, 0];
const YUV: [usize; 3] = [0, 1, 2];

struct Setting {
    colour: Colour,
    bits: u32,
}

impl Setting {
    fn all() -> impl Iterator<Item = Self> {
        let setting = |i: usize| Self {
            colour: Colour {
                matrix: [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][i % 3],
                range: [Range::Limited, Range::Full][i / 3 % 2],
                siting: Siting::LEFT,
            },
            bits: [8, 10][i / 6],
        };
        (0..12).map(setting)
    }

    fn max(&self) -> u32 {
        (1 << self.bits) - 1
    }

    fn formats(&self) -> (PixelFormat, &'static str, &'static str) {
        match self.bits {
            8 => (PixelFormat::Y444, "yuv444p", "gbrp"),
            _ => (PixelFormat::Y444_10Le, "yuv444p10le", "gbrp10le"),
        }
    }

    fn range(&self) -> &'static str {
        if self.colour.range == Range::Full { "full" } else { "limited" }
    }

    fn matrix(&self, names: [&'static str; 3]) -> &'static str {
        match self.colour.matrix {
            Matrix::Bt601 => names[0],
            Matrix::Bt709 => names[1],
            Matrix::Bt2020 => names[2],
        }
    }

    fn describe(&self) -> String {
        format!("{:?} {:?} at {} bits", self.colour.matrix, self.colour.range, self.bits)
    }

    fn info(&self) -> VideoInfo {
        VideoInfo::new(self.formats().0, SIZE.0, SIZE.1, self.colour).expect("the size is in range")
    }

    /// Our codes of Y, U, V for colours, `white` being the code of white in RGB.
    fn to_yuv(&self, rgb: &[[u32; 3]], white: f32) -> Vec<[u32; 3]> {
        let info = self.info();
        let value = |c: usize| rgb.iter().flat_map(move |rgb| [rgb[c] as f32 / white; BLOCK]);
        let data = (0..3).flat_map(|c| value(c).collect::<Vec<_>>().repeat(SIZE.1)).collect();
        let tensor = Tensor::from_vec(3, SIZE.1, SIZE.0, data);
        let mut frame = Frame::new(&info);
        let aside = Aside::new(&info, Domain::Rgb);
        let packed = Packer::new(&info, &info, Domain::Rgb).run(&tensor, &aside, &mut frame.view_mut());
        assert!(packed.is_ok());
        let bytes: Vec<u8> = (0..3).flat_map(|plane| frame.plane(plane).0.to_vec()).collect();
        middles(&bytes, YUV, self.bits)
    }

    /// Our codes of R, G, B for codes of Y, U, V.
    fn to_rgb(&self, yuv: &[[u32; 3]], white: f32) -> Vec<[u32; 3]> {
        let info = self.info();
        let bytes = blocks(yuv, YUV, self.bits);
        let mut frame = Frame::new(&info);
        for (plane, bytes) in bytes.chunks(bytes.len() / 3).enumerate() {
            frame.plane_mut(plane).0.copy_from_slice(bytes);
        }
        let mut tensor = Tensor::zeros(3, SIZE.1, SIZE.0);
        Unpacker::new(&info, Domain::Rgb).run(&frame.view(), &mut tensor, &mut Aside::new(&info, Domain::Rgb));
        let code = |block: usize, c: usize| tensor.plane(c)[block * BLOCK + BLOCK / 2] * white;
        (0..COLOURS).map(|block| [0, 1, 2].map(|c| code(block, c).round() as u32)).collect()
    }
}

#[track_caller]
fn within_one(ours: &[[u32; 3]], theirs: &[[u32; 3]], what: &str) {
    for (colour, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let far = a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > 1);
        assert!(!far, "{what}, colour {colour}: ours {a:?}, FFmpeg {b:?}");
    }
}

#[test]
fn flat_colours_equal_swscale_to_one_code() {
    for setting in Setting::all() {
        let (what, (_, yuv, gbr)) = (setting.describe(), setting.formats());
        // With a limited range above 8 bits swscale takes 255 << (bits - 8) for the white of RGB, 1020 instead of 1023:
        // its own slip, which the next test does not share.
        let white = match (setting.bits, setting.colour.range) {
            (10, Range::Limited) => 1020,
            _ => setting.max(),
        };
        let (range, matrix) = (setting.range(), setting.matrix(["bt601", "bt709", "bt2020"]));
        let rgb = colours(white);
        let graph = format!("scale=in_range=full:out_range={range}:out_color_matrix={matrix}:{SWSCALE}");
        let Some(bytes) = filter(&blocks(&rgb, GBR, setting.bits), gbr, SIZE, &graph, yuv) else { return };
        let codes = setting.to_yuv(&rgb, white as f32);
        within_one(&codes, &middles(&bytes, YUV, setting.bits), &format!("{what}, to YUV"));

        let graph = format!("scale=in_range={range}:in_color_matrix={matrix}:out_range=full:{SWSCALE}");
        let Some(bytes) = filter(&blocks(&codes, YUV, setting.bits), yuv, SIZE, &graph, gbr) else { return };
        let back = setting.to_rgb(&codes, white as f32);
        within_one(&back, &middles(&bytes, GBR, setting.bits), &format!("{what}, to RGB"));
    }
}

#[test]
fn flat_colours_equal_zimg_to_one_code() {
    if !has_zscale() {
        return;
    }
    for setting in Setting::all() {
        let (what, (_, yuv, gbr)) = (setting.describe(), setting.formats());
        let (range, matrix) = (setting.range(), setting.matrix(["170m", "709", "2020_ncl"]));
        let rgb = colours(setting.max());
        let graph = format!("zscale=matrixin=gbr:rangein=full:matrix={matrix}:range={range}:dither=none");
        let Some(bytes) = filter(&blocks(&rgb, GBR, setting.bits), gbr, SIZE, &graph, yuv) else { return };
        let codes = setting.to_yuv(&rgb, setting.max() as f32);
        within_one(&codes, &middles(&bytes, YUV, setting.bits), &format!("{what}, to YUV"));

        let graph = format!("zscale=matrixin={matrix}:rangein={range}:matrix=gbr:range=full:dither=none");
        let Some(bytes) = filter(&blocks(&codes, YUV, setting.bits), yuv, SIZE, &graph, gbr) else { return };
        let back = setting.to_rgb(&codes, setting.max() as f32);
        within_one(&back, &middles(&bytes, GBR, setting.bits), &format!("{what}, to RGB"));
    }
}

const SITINGS: [Siting; 4] = [Siting::LEFT, Siting::CENTER, Siting::TOP_LEFT, Siting::TOP];

/// Distance of a chroma sample from the first luma sample that it covers, in luma samples.
fn lag(site: Site) -> f64 {
    if site == Site::Cosited { 0.0 } else { 0.5 }
}

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// A 4:2:0 frame whose U depends on the place along the row, and V on that along the column, in luma samples.
fn chroma_frame(siting: Siting, u: impl Fn(f64) -> f64, v: impl Fn(f64) -> f64) -> Frame {
    let colour = Colour { siting, ..Colour::default() };
    let info = VideoInfo::new(PixelFormat::I420, WIDTH, HEIGHT, colour).expect("the size is in range");
    let mut frame = Frame::new(&info);
    frame.plane_mut(0).0.fill(100);
    for i in 0..WIDTH / 2 * HEIGHT / 2 {
        let (x, y) = (i % (WIDTH / 2), i / (WIDTH / 2));
        frame.plane_mut(1).0[i] = u(2.0 * x as f64 + lag(siting.horizontal)).round() as u8;
        frame.plane_mut(2).0[i] = v(2.0 * y as f64 + lag(siting.vertical)).round() as u8;
    }
    frame
}

/// The middle row of U and the middle column of V after doubling.
fn doubled(frame: &Frame, model: &str) -> [Vec<u8>; 2] {
    let mut upscaler = Upscaler::builder()
        .model(model)
        .scale(2)
        .backend(BackendKind::Cpu)
        .build(frame.info())
        .expect("it can be built");
    let mut output = Frame::new(upscaler.output_info());
    upscaler.process(&frame.view(), &mut output.view_mut()).expect("the frame fits");
    middle_lines(output.plane(1).0, output.plane(2).0)
}

fn middle_lines(u: &[u8], v: &[u8]) -> [Vec<u8>; 2] {
    [u[WIDTH * (HEIGHT / 2)..][..WIDTH].to_vec(), v.iter().skip(WIDTH / 2).step_by(WIDTH).copied().collect()]
}

/// The place in the input, in luma samples, of output chroma sample j.
fn place(j: usize, site: Site) -> f64 {
    (2.0 * j as f64 + lag(site) + 0.5) / 2.0 - 0.5
}

#[test]
fn chroma_ramps_stay_where_they_are_and_equal_swscale() {
    let (u, v) = (|x: f64| 40.0 + 2.0 * x, |y: f64| 60.0 + 3.0 * y);
    for siting in SITINGS {
        let frame = chroma_frame(siting, u, v);
        let ours = doubled(&frame, "bicubic");
        let inside = |n: usize| 6..n - 6;
        for j in inside(WIDTH) {
            let expected = u(place(j, siting.horizontal));
            assert!((f64::from(ours[0][j]) - expected).abs() <= 0.51, "{siting:?} U {j}: {} {expected}", ours[0][j]);
        }
        for j in inside(HEIGHT) {
            // Codes of the input are rounded by up to half a code when the slope is odd.
            let expected = v(place(j, siting.vertical));
            assert!((f64::from(ours[1][j]) - expected).abs() <= 1.01, "{siting:?} V {j}: {} {expected}", ours[1][j]);
        }
        let [h, v] = [siting.horizontal, siting.vertical].map(|site| (lag(site) * 256.0) as u32);
        let graph = format!(
            "scale={}:{}:in_h_chr_pos={h}:out_h_chr_pos={h}:in_v_chr_pos={v}:out_v_chr_pos={v}:{SWSCALE}",
            2 * WIDTH,
            2 * HEIGHT
        );
        let bytes: Vec<u8> = (0..3).flat_map(|plane| frame.plane(plane).0.to_vec()).collect();
        let Some(theirs) = filter(&bytes, "yuv420p", (WIDTH, HEIGHT), &graph, "yuv420p") else { continue };
        let (_, chroma) = theirs.split_at(4 * WIDTH * HEIGHT);
        let (their_u, their_v) = chroma.split_at(WIDTH * HEIGHT);
        for (ours, theirs) in ours.iter().zip(middle_lines(their_u, their_v)) {
            for j in inside(ours.len()) {
                assert!(ours[j].abs_diff(theirs[j]) <= 1, "{siting:?} {j}: {} swscale {}", ours[j], theirs[j]);
            }
        }
    }
}

/// Where a line of output chroma passes the middle between 60 and 180, in luma samples of the input.
fn crossing(line: &[u8], site: Site) -> f64 {
    let after = line.iter().position(|&code| code >= 120).expect("the edge is there");
    let (a, b) = (f64::from(line[after - 1]), f64::from(line[after]));
    let (from, to) = (place(after - 1, site), place(after, site));
    from + (to - from) * (120.0 - a) / (b - a)
}

#[test]
fn a_chroma_edge_stays_at_its_luma_position() {
    for model in ["bicubic", "lanczos"] {
        for siting in SITINGS {
            // Halfway between two chroma samples, where sampling places the edge exactly.
            let edges = [siting.horizontal, siting.vertical].map(|site| 21.0 + lag(site));
            let step = |edge: f64| move |x: f64| if x < edge { 60.0 } else { 180.0 };
            let frame = chroma_frame(siting, step(edges[0]), step(edges[1]));
            let [u, v] = doubled(&frame, model);
            for (line, edge, site) in [(u, edges[0], siting.horizontal), (v, edges[1], siting.vertical)] {
                let found = crossing(&line, site);
                // A straight line between two samples of the curve misses its middle by 0.03; chroma taken for centered
                // where it is cosited, or the reverse, would be off by 0.25.
                assert!((found - edge).abs() < 0.05, "{model} {siting:?}: edge at {found}, not {edge}");
            }
        }
    }
}
