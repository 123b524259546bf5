//! Decode, upscale and encode in threads of their own, with bounded queues between; the caller's thread writes.
//!
//! A thread that ends, well or not, drops its ends of the channels, and so the others end too: those before it cannot send
//! any more, those after it drain what is left.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ffmpeg_next::Packet;
use ffmpeg_next::frame::Video;
use srup_examples::Failure;
use srup_examples::video::input::{Damage, Item, Source};

use crate::output::{Muxer, Routes};
use crate::progress::Progress;
use crate::{encode, stop, streams, upscale};

/// Frames that may wait between two threads: enough to keep both busy, little enough for memory (a frame of 8K in 4:2:0 takes
/// 48 MiB at 8 bits).
const FRAMES: usize = 4;

/// Packets that may wait for the writer, which is never slow for long.
const PACKETS: usize = 256;

/// How long a thread waits before it looks whether it is to stop, and how far the others are.
const GLANCE: Duration = Duration::from_millis(100);

/// What the threads send to the writer.
enum Message {
    /// A packet; its stream is an index of the output.
    Packet(Packet),
    /// Something for the user to know.
    Warning(String),
}

/// Everything that is open before the work begins.
pub struct Job {
    /// The input, the first frame taken out.
    pub source: Source,
    /// What was read before the first frame was decoded, and that frame.
    pub start: Vec<Item>,
    /// Where packets go.
    pub routes: Routes,
    /// The engine.
    pub upscaling: upscale::Upscaling,
    /// The encoder.
    pub encoding: encode::Encoding,
}

/// What was done.
pub struct Done {
    /// Frames that were enlarged and encoded.
    pub frames: u64,
    /// What was wrong with the input.
    pub damage: Damage,
}

/// Runs the job to its end, or until [`stop::requested`]; every packet goes to `muxer`.
pub fn run(job: Job, muxer: &mut Muxer, progress: &mut Progress) -> Result<Done, Failure> {
    let Job { source, start, routes, upscaling, encoding } = job;
    let video = routes[source.video()].unwrap_or_default();
    let done = AtomicU64::new(0);
    let (decoded_in, decoded) = bounded(FRAMES);
    let enlarged = upscaling.taker();
    let (messages_in, messages) = bounded(PACKETS);
    let to_writer = messages_in.clone();
    let decoder = thread::spawn(move || decode(source, start, &routes, &decoded_in, &to_writer));
    thread::scope(|scope| {
        let to_writer = messages_in.clone();
        let count = &done;
        let upscaler = scope.spawn(move || upscale(upscaling, &decoded, &to_writer));
        let encoder = scope.spawn(move || encode(encoding, video, enlarged, &messages_in, count));
        let written = write(messages, muxer, progress, &done, || stop::requested() && encoder.is_finished());
        // In the order of the stream: the first failure is the cause of those after it. A decoder that is told to stop may
        // hang at a pipe that is silent.
        let damage =
            if stop::requested() && !decoder.is_finished() { Ok(Damage::default()) } else { join(decoder.join()) };
        let upscaled = join(upscaler.join());
        let encoded = join(encoder.join());
        let damage = damage?;
        upscaled.and(encoded).and(written)?;
        Ok(Done { frames: done.load(Ordering::Relaxed), damage })
    })
}

fn join<T>(ended: thread::Result<Result<T, Failure>>) -> Result<T, Failure> {
    ended.unwrap_or_else(|_| Err(Failure::new("a thread broke down; this is a bug: please report it")))
}

fn decode(
    mut source: Source,
    start: Vec<Item>,
    routes: &Routes,
    frames: &Sender<Video>,
    writer: &Sender<Message>,
) -> Result<Damage, Failure> {
    let send = |item: Item| match item {
        Item::Frame(frame) => frames.send(frame).is_ok(),
        Item::Packet(mut packet) => match routes.get(packet.stream()).copied().flatten() {
            Some(stream) => {
                packet.set_stream(stream);
                writer.send(Message::Packet(packet)).is_ok()
            }
            None => true,
        },
        Item::Notice(text) => writer.send(Message::Warning(text)).is_ok(),
    };
    if !start.into_iter().all(send) {
        return Ok(Damage::default());
    }
    let mut late = HashSet::new();
    while !stop::requested() {
        let Some(item) = source.next_item()? else { return Ok(source.damage()) };
        if let Item::Packet(packet) = &item
            && packet.stream() >= routes.len()
            && late.insert(packet.stream())
            && let Some(stream) = source.input().stream(packet.stream())
        {
            // Should the writer be gone, the next item shows it.
            let _ = writer.send(Message::Warning(streams::describe_absent(&stream)));
        }
        if !send(item) {
            break;
        }
    }
    Ok(Damage::default())
}

fn upscale(upscaling: upscale::Upscaling, frames: &Receiver<Video>, writer: &Sender<Message>) -> Result<(), Failure> {
    let (mut feeder, mut fed) = (upscaling.feeder(), 0);
    // One frame at least, so that what is left is a video.
    while !stop::requested() || fed == 0 {
        let frame = match frames.recv_timeout(GLANCE) {
            Ok(frame) => frame,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // Should the writer be gone, the encoder notices.
        let warn = |text| drop(writer.send(Message::Warning(text)));
        if !feeder.run(frame, warn)? {
            break;
        }
        fed += 1;
    }
    Ok(())
}

fn encode(
    encoding: encode::Encoding,
    stream: usize,
    frames: upscale::Taker,
    writer: &Sender<Message>,
    count: &AtomicU64,
) -> Result<(), Failure> {
    let mut worker = encoding.start();
    let mut out = |mut packet: Packet| {
        packet.set_stream(stream);
        writer.send(Message::Packet(packet)).is_ok()
    };
    let mut captions = true;
    for frame in frames {
        let frame = frame?;
        if captions && worker.loses_captions(&frame) {
            captions = false;
            let text = "the video's closed captions are dropped: this encoder does not write them, as libx264 would";
            // Should the writer be gone, the next packet shows it.
            let _ = writer.send(Message::Warning(text.into()));
        }
        if !worker.run(Some(frame), &mut out)? {
            return Ok(());
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    worker.run(None, &mut out)?;
    Ok(())
}

/// Writes until every sender is gone, or `over` while nothing comes. Takes the receiver, so that on a failure the senders
/// hear of it.
fn write(
    messages: Receiver<Message>,
    muxer: &mut Muxer,
    progress: &mut Progress,
    done: &AtomicU64,
    over: impl Fn() -> bool,
) -> Result<(), Failure> {
    loop {
        match messages.recv_timeout(GLANCE) {
            Ok(Message::Packet(packet)) => muxer.write(packet)?,
            Ok(Message::Warning(text)) => progress.warn(&text),
            Err(RecvTimeoutError::Timeout) if over() => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        progress.update(done.load(Ordering::Relaxed));
    }
}
