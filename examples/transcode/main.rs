//! Upscales the video of a file and copies everything else: sound, subtitles, fonts, chapters, metadata, colour, HDR.
//!
//! Decoding, upscaling and encoding run in threads of their own; `--help` shows how it is called.

mod args;
mod encode;
mod files;
mod grid;
mod hdr;
mod output;
mod pipeline;
mod progress;
mod stop;
mod streams;
mod upscale;

use std::process::ExitCode;

use clap::Parser;
use ffmpeg_next::format::format;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::log;
use srup_examples::video::convert::Shape;
use srup_examples::video::input::{self, Damage, Item, Source};
use srup_examples::video::{ffi, formats};
use srup_examples::{Ending, Failure, finish, print, tell, trace};

use args::Args;
use encode::{Encoding, Target};
use hdr::Hdr;
use output::Muxer;
use progress::Progress;
use upscale::Upscaling;

fn main() -> ExitCode {
    finish(run(&Args::parse()))
}

fn run(args: &Args) -> Result<Ending, Failure> {
    ffmpeg_next::init().map_err(|error| Failure::new(format!("FFmpeg cannot be started: {error}")))?;
    let _trace = args.trace.as_deref().map(trace::record).transpose()?;
    // What libraries print would break the progress bar; what matters comes back as an error.
    log::set_level(log::Level::Fatal);
    let (container, target) = files::check(&args.input, &args.output, args.yes)?;
    if let Some(codec) = &args.codec {
        encode::named(codec)?;
    }
    let mut source = Source::open(&args.input, args.deinterlace)?;
    let (mut start, mut first) = first_frame(args, &mut source)?;
    let upscaling = Upscaling::new(&args.engine, &first)?;
    let hdr = Hdr::of(&first, &ffi::stream_side_data(&video(&source)?));
    let encoding = open_encoder(args, &container, &mut source, &mut first, &upscaling, &hdr)?;
    let (fates, warnings) = streams::plan(source.input(), source.video(), &container);
    warn(warnings);
    warn_of_rotation(&source, &container)?;
    let temporary = files::Temporary::beside(&target);
    stop::set_unfinished(Some(temporary.path()));
    stop::listen();
    let (mut muxer, routes) = Muxer::create(temporary.path(), &container, &source, &fates, &encoding, &hdr)?;
    let (input, output) = upscaling.infos();
    let sizes = format!("{}x{} to {}x{}", input.width, input.height, output.width, output.height);
    let model = upscaling.describe().to_owned();
    tell(format_args!("{sizes} {}, {model}, {}", input.format, encoding.describe()));

    let mut progress = Progress::new(source.expected_frames());
    start.push(Item::Frame(first));
    let job = pipeline::Job { source, start, routes, upscaling, encoding };
    let done = pipeline::run(job, &mut muxer, &mut progress)?;
    let skipped = muxer.finish()?;
    let seconds = progress.seconds();
    drop(progress);
    temporary.keep(&target, args.yes)?;
    stop::set_unfinished(None);

    warn_of_damage(args, &done.damage, done.frames, skipped);
    let rate = done.frames as f64 / seconds.max(1e-3);
    let word = if stop::requested() { "stopped early" } else { "done" };
    let frames = frames_in_words(done.frames);
    print(format_args!("{word}: {frames} in {seconds:.1} s, {rate:.1} fps, {model}, {}", args.output.display()));
    Ok(if stop::requested() { Ending::Interrupted } else { Ending::Done })
}

/// Reads up to the first frame, which says what the container does not: depth, colour, HDR. Returns what came before it too.
fn first_frame(args: &Args, source: &mut Source) -> Result<(Vec<Item>, Video), Failure> {
    let mut before = Vec::new();
    loop {
        match source.next_item()? {
            Some(Item::Frame(frame)) => return Ok((before, frame)),
            Some(packet) => before.push(packet),
            None => {
                let text = format!("no frame of {} can be decoded; the file is damaged", args.input.display());
                return Err(Failure::new(text));
            }
        }
    }
}

fn video(source: &Source) -> Result<ffmpeg_next::Stream<'_>, Failure> {
    source.input().stream(source.video()).ok_or_else(|| Failure::new("the video stream is gone; try again"))
}

fn open_encoder(
    args: &Args,
    container: &format::Output,
    source: &mut Source,
    first: &mut Video,
    upscaling: &Upscaling,
    hdr: &Hdr,
) -> Result<Encoding, Failure> {
    let index = source.video();
    let aspect = ffi::pixel_aspect(source.input_mut(), index, first);
    let stream = video(source)?;
    let (_, output) = upscaling.infos();
    let frames = Shape {
        pixel: formats::pixel(output.format),
        // At most MAX_SIZE, far within 32 bits.
        width: output.width as u32,
        height: output.height as u32,
        full: upscaling.tags().is_full(),
    };
    let target = Target {
        container,
        source: source.codec(),
        frames,
        bits: output.format.bits(),
        tags: upscaling.tags(),
        time_base: source.time_base(),
        constant: grid::rate(container, &stream)?,
        rate: input::plausible(stream.avg_frame_rate()),
        aspect,
        hdr,
    };
    let codec = encode::choose(args, container, target.source, target.bits)?;
    let (encoding, mut warnings) = Encoding::open(args, codec, &target)?;
    if !output.format.has_alpha() && ffi::layout(first.format()).is_some_and(|layout| layout.alpha) {
        warnings.push("the video's transparency is dropped".into());
    }
    let depth = ffi::layout(first.format()).map_or(0, |layout| layout.depth);
    if depth > output.format.bits() as usize {
        let bits = output.format.bits();
        warnings.push(format!(
            "the video has {depth} bits a sample, and networks here take {bits} at most; it loses depth"
        ));
    }
    for kind in hdr::dropped(first, &ffi::stream_side_data(&stream)) {
        warnings.push(format!("{kind} metadata is dropped: no encoder here can write it"));
    }
    warn(warnings);
    Ok(encoding)
}

fn frames_in_words(count: u64) -> String {
    format!("{count} frame{}", if count == 1 { "" } else { "s" })
}

/// FFmpeg before 6.1 writes a rotation into MP4 and its relatives only.
fn warn_of_rotation(source: &Source, container: &format::Output) -> Result<(), Failure> {
    const MATROSKA_ROTATES: u32 = (60 << 16) | (16 << 8);
    let kind = ffmpeg_next::ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    let rotated = ffi::stream_side_data(&video(source)?).iter().any(|entry| entry.0 == kind);
    let kept = streams::is_mov(container) || ffmpeg_next::format::version() >= MATROSKA_ROTATES;
    if rotated && !kept {
        warn([format!("{} cannot keep the rotation here; end the name in .mp4 or .mov", container.name())]);
    }
    Ok(())
}

fn warn_of_damage(args: &Args, damage: &Damage, frames: u64, skipped: usize) {
    let name = args.input.display();
    let kept = format!("what could be decoded is kept: {}", frames_in_words(frames));
    match (&damage.cut, damage.packets) {
        (Some(cut), _) => warn([format!("{name} is cut off: {cut}; {kept}")]),
        (None, 0) => {}
        (None, packets) => warn([format!("{name} is damaged: {packets} packets could not be read; {kept}")]),
    }
    if skipped > 0 {
        warn([format!("{skipped} packets of copied streams were empty or damaged and are left out")]);
    }
}

fn warn(texts: impl IntoIterator<Item = String>) {
    for text in texts {
        tell(format_args!("warning: {text}"));
    }
}
