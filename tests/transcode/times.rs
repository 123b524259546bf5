//! When frames are shown and how long a file is, where that is not as plain as copying.

use std::fs;
use std::path::Path;

use crate::tools::{ffmpeg, frames, packet_times, probe, run, stream, time, transcode, workshop};

#[test]
fn joined_recordings_are_as_long_as_their_parts() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    // A clock that falls, and one that leaps ahead.
    for (name, start) in [("a", 5), ("b", 0), ("c", 500)] {
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 -bf 2 -c:a mp2 \
                 -output_ts_offset {start} {name}.ts"
            ),
        );
    }
    let part = |name: &str| fs::read(folder.join(format!("{name}.ts"))).unwrap();
    for (name, count) in [("abc", 3), ("aa", 2)] {
        let joined: Vec<u8> = name.chars().flat_map(|name| part(&name.to_string())).collect();
        fs::write(folder.join("in.ts"), joined).unwrap();
        let run = transcode(folder, "in.ts out.mkv -y");
        let warnings: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning")).collect();
        assert_eq!(warnings.len(), 1, "{run:?}");
        assert!(warnings[0].contains("the file's clock jumps"), "{run:?}");
        let output = folder.join("out.mkv");
        // Picture and sound: as many as went in, in even steps, and together at each join.
        let packets = |path: &Path, kind| packet_times(path, kind).len();
        for kind in ["v", "a"] {
            assert_eq!(packets(&output, kind), count * packets(&folder.join("a.ts"), kind));
            let times = packet_times(&output, kind);
            let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(steps.clone().all(|step| (0.01..0.12).contains(&step)), "{kind}: {:?}", steps.collect::<Vec<_>>());
        }
        let length = |kind| {
            let times = packet_times(&output, kind);
            times[times.len() - 1] - times[0]
        };
        let expected = 2.0 * count as f64;
        assert!((length("v") - expected).abs() < 0.1 * count as f64, "{}", length("v"));
        assert!((length("v") - length("a")).abs() < 0.1, "{} and {}", length("v"), length("a"));
    }
}

#[test]
fn a_clock_that_has_run_for_hours_begins_anew() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let begins = |path: &Path| ["v", "a"].map(|kind| packet_times(path, kind)[0]);
    for name in ["in.ts", "in.mkv"] {
        // The sound begins half a second after the picture.
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -itsoffset 0.5 -f lavfi -i sine=duration=1 -c:v libx264 \
                 -c:a aac -output_ts_offset 36000 {name}"
            ),
        );
        let [picture, sound] = begins(&folder.join(name));
        assert!(picture > 35_999.0 && sound > picture, "{picture} {sound}");
        for output in ["out.mp4", "out.mkv"] {
            transcode(folder, &format!("{name} {output} -y"));
            let [first, second] = begins(&folder.join(output));
            assert!(first.abs() < 0.1, "{name} {output}: {first}");
            let between = second - first;
            assert!((between - (sound - picture)).abs() < 0.03, "{name} {output}: {between}, not {picture} {sound}");
        }
    }
}

#[test]
fn a_container_of_one_frame_rate_gets_one_or_is_refused() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=8 -f lavfi -i sine=duration=8 -c:v libx264 -c:a mp2";
    ffmpeg(folder, &format!("{source} in.mp4"));
    // A frame is missing.
    ffmpeg(folder, &format!("{source} -vf select=not(eq(n\\,10)) -fps_mode passthrough gap.mp4"));
    ffmpeg(folder, &format!("{source} -vf select=lt(n\\,99)+not(mod(n\\,3)) -fps_mode passthrough varies.mp4"));
    for (name, repeated) in [("in", 0), ("gap", 1)] {
        // AVI has no times of display, which pictures out of order would need.
        let run = transcode(folder, &format!("{name}.mp4 {name}.avi --encoder-option bf=0"));
        assert!(!run.stderr.contains("warning"), "{run:?}");
        let file = probe(&folder.join(format!("{name}.avi")));
        assert_eq!(stream(&file, "video")["r_frame_rate"], "25/1", "{name}");
        assert_eq!(frames(&folder.join(format!("{name}.mp4"))).len(), 200 - repeated);
        let times: Vec<_> = frames(&folder.join(format!("{name}.avi"))).iter().map(time).collect();
        assert_eq!(times.len(), 200);
        assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.04).abs() < 1e-3), "{times:?}");
    }
    let refused = run(folder, "varies.mp4 out.avi --model bicubic");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("avi holds one frame rate, and this video's varies"), "{refused:?}");
}

#[test]
fn sound_that_outlasts_the_video_is_no_cut_even_where_it_is_left_out() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -f lavfi -i sine=duration=3 -c:v libx264 -c:a aac talk.mp4",
    );
    let run = transcode(folder, "talk.mp4 out.webm");
    assert!(run.stderr.contains("webm cannot hold audio stream 1 (aac)"), "{run:?}");
    assert!(!run.stderr.contains("cut off"), "{run:?}");
}
