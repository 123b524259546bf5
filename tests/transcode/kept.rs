//! What is left out is named, and the rest is worth having.

use std::fs;
use std::path::Path;

use crate::tools::{Run, ffmpeg, frames, packet_times, probe, run, stream, transcode, workshop};

fn warnings(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.starts_with("warning")).collect()
}

/// A recording with sound, whose packets have the numbers from `pid` on.
fn record(folder: &Path, pid: u32, start: u32, seconds: u32) -> Vec<u8> {
    ffmpeg(
        folder,
        &format!(
            "-f lavfi -i testsrc2=size=64x48:rate=25:duration={seconds} -f lavfi -i sine=duration={seconds} -c:v libx264 \
             -c:a aac -mpegts_start_pid {pid} -output_ts_offset {start} part.ts"
        ),
    );
    fs::read(folder.join("part.ts")).unwrap()
}

#[test]
fn streams_that_begin_on_the_way_are_named_once() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    // Short, and they begin before the first frame has been decoded.
    for seconds in [1, 4] {
        let joined = [record(folder, 0x100, 0, seconds), record(folder, 0x200, seconds, 1)].concat();
        fs::write(folder.join("in.ts"), joined).unwrap();
        let run = transcode(folder, "in.ts out.mkv -y");
        let warnings = warnings(&run);
        assert_eq!(warnings.len(), 2, "{run:?}");
        for (text, more) in
            [("nothing of video stream 2 (h264) was", true), ("nothing of audio stream 3 (aac) was", false)]
        {
            let found: Vec<_> = warnings.iter().filter(|line| line.contains(text)).collect();
            assert!(found.len() == 1 && found[0].contains("the picture ends where the first") == more, "{run:?}");
        }
        assert_eq!(frames(&folder.join("out.mkv")).len(), 25 * seconds as usize);
    }
}

#[test]
fn a_stream_that_is_announced_and_never_comes_is_left_out() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let whole = record(folder, 0x100, 0, 1);
    let is_sound = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == 0x101;
    let silent: Vec<&[u8]> = whole.chunks(188).filter(|packet| !is_sound(packet)).collect();
    fs::write(folder.join("in.ts"), silent.concat()).unwrap();
    for name in ["out.mkv", "out.mp4", "out.ts"] {
        let run = transcode(folder, &format!("in.ts {name}"));
        let warnings = warnings(&run);
        assert!(warnings.len() == 1 && warnings[0].contains("nothing of audio stream 1 (aac) was found"), "{run:?}");
        assert_eq!(frames(&folder.join(name)).len(), 25);
    }
}

#[test]
fn what_a_muxer_refuses_against_the_list_of_its_container_is_named() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -f lavfi -i sine=duration=1 -map 0 -map 1 -map 1 -c:v libx264 \
         -c:a:0 truehd -strict -2 -c:a:1 aac in.mkv",
    );
    for name in ["out.mp4", "out.mov"] {
        let run = transcode(folder, &format!("in.mkv {name}"));
        let warnings = warnings(&run);
        assert!(warnings.len() == 1 && warnings[0].contains("cannot hold audio stream 1 (truehd)"), "{run:?}");
        let file = probe(&folder.join(name));
        assert_eq!(stream(&file, "audio")["codec_name"], "aac");
        assert!(packet_times(&folder.join(name), "a").len() > 40);
    }
    assert_eq!(warnings(&transcode(folder, "in.mkv out.mkv")), [""; 0]);
}

#[test]
fn chapters_that_a_container_does_not_hold_are_named() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n";
    fs::write(folder.join("chapters.txt"), chapters).unwrap();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -i chapters.txt -map_chapters 1 -c:v libx264 in.mkv",
    );
    for name in ["out.mkv", "out.mp4", "out.mov", "out.webm", "out.nut", "out.ts", "out.avi", "out.flv"] {
        let run = transcode(
            folder,
            &format!("in.mkv {name} --encoder-option {}", if name == "out.webm" { "g=9" } else { "bf=0" }),
        );
        let kept = probe(&folder.join(name))["chapters"].as_array().is_some_and(|chapters| chapters.len() == 1);
        assert_eq!(kept, !run.stderr.contains("holds no chapters; to keep them"), "{name}: {run:?}");
    }
}

#[test]
fn a_rate_or_a_quantiser_takes_the_place_of_the_default_quality() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=2,noise=alls=80:allf=t -c:v libx264 -crf 1 in.mkv",
    );
    let size = |options: &str| {
        transcode(folder, &format!("in.mkv out.mkv -y {options}"));
        fs::metadata(folder.join("out.mkv")).unwrap().len()
    };
    let default = size("");
    for options in ["--encoder-option b=40k", "--encoder-option qp=50"] {
        assert!(size(options) < default / 3, "{options}");
    }
    // What is asked for by its name counts, whatever else is.
    assert_eq!(size("--crf 17 --encoder-option b=40k"), default);
    let refused = run(folder, "in.mkv out.mkv -y --model bicubic --encoder-option b:v=40k");
    assert!(refused.stderr.contains("has no option 'b:v'"), "{refused:?}");
}
