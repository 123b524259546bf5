//! The example `transcode`, run as users run it, on clips made with FFmpeg: what goes in must come out.

#[path = "transcode/endings.rs"]
mod endings;
#[path = "transcode/kept.rs"]
mod kept;
#[path = "transcode/times.rs"]
mod times;
#[path = "transcode/tools.rs"]
mod tools;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use srup_tests::shared;
use tools::{
    assert_same_colour, assert_same_times, ffmpeg, frames, likeness, listing, number, probe, run, side_data, stream,
    transcode, workshop,
};

/// A clip with a variable frame rate, sound, two subtitles, a font, chapters, titles and languages.
fn make_rich_clip(folder: &Path) {
    let chapters = ";FFMETADATA1\ntitle=A film\nartist=Somebody\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=700\ntitle=One\n\
                    [CHAPTER]\nTIMEBASE=1/1000\nSTART=700\nEND=2000\ntitle=Two\n";
    fs::write(folder.join("chapters.txt"), chapters).unwrap();
    fs::write(folder.join("words.srt"), "1\n00:00:00,200 --> 00:00:01,000\nHello\n\n").unwrap();
    fs::write(folder.join("font.ttf"), [7; 1234]).unwrap();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -f lavfi -i sine=duration=2 -i words.srt -i chapters.txt \
         -map 0:v -map 1:a -map 2:s -map_metadata 3 -map_chapters 3 -vf setpts=PTS+mod(N\\,3)*0.009/TB -vsync passthrough \
         -c:v libx264 -bf 3 -c:a aac -c:s srt -attach font.ttf -metadata:s:t mimetype=application/x-truetype-font \
         -metadata:s:a language=deu -metadata:s:a title=German␣sound -metadata:s:s language=eng \
         -disposition:s forced rich.mkv",
    );
}

fn kinds(file: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let streams = file["streams"].as_array().expect("streams");
    streams.iter().map(|stream| (text(&stream["codec_type"]), text(&stream["codec_name"]))).collect()
}

#[test]
fn streams_chapters_metadata_and_times_are_kept_in_matroska() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    make_rich_clip(folder);
    let run = transcode(folder, "rich.mkv out.mkv");
    assert!(!run.stderr.contains("warning"), "{run:?}");
    assert_eq!(assert_same_times(&folder.join("rich.mkv"), &folder.join("out.mkv")), 50);
    let (before, after) = (probe(&folder.join("rich.mkv")), probe(&folder.join("out.mkv")));
    assert_eq!(kinds(&before), kinds(&after));
    for (before, after) in before["streams"].as_array().unwrap().iter().zip(after["streams"].as_array().unwrap()) {
        for key in ["language", "title", "filename", "mimetype"] {
            assert_eq!(before["tags"][key], after["tags"][key], "{key}");
        }
        assert_eq!(before["disposition"], after["disposition"]);
    }
    assert_eq!(before["chapters"], after["chapters"]);
    assert_eq!(after["chapters"].as_array().map(Vec::len), Some(2));
    for key in ["title", "ARTIST"] {
        assert!(before["format"]["tags"][key].is_string(), "{before}");
        assert_eq!(before["format"]["tags"][key], after["format"]["tags"][key]);
    }
    let video = stream(&after, "video");
    assert_eq!((&video["width"], &video["height"]), (&128.into(), &96.into()));
    // The copied packets are the same bytes, the font too.
    for name in ["rich", "out"] {
        ffmpeg(folder, &format!("-i {name}.mkv -map 0:a -map 0:s -c copy -f framemd5 {name}.md5"));
        ffmpeg(folder, &format!("-dump_attachment:t:0 {name}.ttf -i {name}.mkv -map 0:a -t 0.1 -f null -"));
    }
    let sums = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(sums("rich.md5"), sums("out.md5"));
    assert_eq!(fs::read(folder.join("out.ttf")).unwrap(), fs::read(folder.join("font.ttf")).unwrap());
    assert!(likeness(&folder.join("rich.mkv"), &folder.join("out.mkv")) > 30.0);
}

#[test]
fn what_mp4_cannot_hold_is_named_and_the_rest_kept() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    make_rich_clip(folder);
    let run = transcode(folder, "rich.mkv out.mp4");
    let warnings: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 1, "{run:?}");
    assert!(warnings[0].contains("attachment stream 3 (ttf) 'font.ttf'"), "{run:?}");
    assert_eq!(assert_same_times(&folder.join("rich.mkv"), &folder.join("out.mp4")), 50);
    let file = probe(&folder.join("out.mp4"));
    assert_eq!(stream(&file, "audio")["tags"]["language"], "deu");
    assert_eq!(file["chapters"].as_array().map(Vec::len), Some(2));
    assert_eq!(file["chapters"][1]["tags"]["title"], "Two");
    assert_eq!(file["format"]["tags"]["title"], "A film");
    // And back: MP4's tags are not Matroska's.
    transcode(folder, "out.mp4 back.mkv");
    assert_same_times(&folder.join("out.mp4"), &folder.join("back.mkv"));
    assert_eq!(probe(&folder.join("back.mkv"))["chapters"].as_array().map(Vec::len), Some(2));
}

#[test]
fn text_subtitles_take_the_form_that_the_container_holds() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let words = "1\n00:00:00,200 --> 00:00:00,800\nHello, <i>you</i>\nand you\n\n\
                 2\n00:00:01,000 --> 00:00:01,500\nGrüße\n\n";
    fs::write(folder.join("words.srt"), words).unwrap();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -i words.srt -i words.srt -map 0 -map 1 -map 2 -c:v libx264 \
         -c:s:0 srt -c:s:1 ass -metadata:s:s:0 language=deu -disposition:s:0 default -disposition:s:1 0 in.mkv",
    );
    for (from, to, form) in
        [("in.mkv", "a.mp4", "mov_text"), ("a.mp4", "b.mkv", "subrip"), ("b.mkv", "c.webm", "webvtt")]
    {
        let run = transcode(folder, &format!("{from} {to}"));
        let warnings: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning")).collect();
        // Of ASS only the words can be kept.
        assert_eq!(warnings.len(), usize::from(from == "in.mkv"), "{run:?}");
        assert!(warnings.iter().all(|text| text.contains("(ass); its words are kept as mov_text")), "{run:?}");
        let file = probe(&folder.join(to));
        let subtitles: Vec<_> =
            file["streams"].as_array().unwrap().iter().filter(|stream| stream["codec_type"] == "subtitle").collect();
        assert_eq!(subtitles.iter().map(|stream| &stream["codec_name"]).collect::<Vec<_>>(), [form; 2], "{to}");
        assert_eq!(subtitles[0]["tags"]["language"], "deu", "{to}");
        assert_eq!(subtitles[0]["disposition"]["default"], 1, "{to}");
        for track in 0..2 {
            ffmpeg(folder, &format!("-i {to} -map 0:s:{track} -c:s srt out.srt"));
            // FFmpeg's encoder ends a line within a subtitle as DOS does.
            let kept = fs::read_to_string(folder.join("out.srt")).unwrap().replace('\r', "");
            assert_eq!(kept, words, "{to}, {track}");
        }
    }
}

#[test]
fn ten_bits_and_hdr_metadata_are_kept_in_container_and_bitstream() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=96x64:rate=24:duration=0.5 -pix_fmt yuv420p10le -c:v libx265 -x265-params \
         log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400:\
         hdr-opt=1:repeat-headers=1 -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv \
         -chroma_sample_location topleft hdr.mkv",
    );
    for name in ["out.mkv", "out.mp4"] {
        let run = transcode(folder, &format!("hdr.mkv {name} --preset ultrafast"));
        assert!(!run.stderr.contains("warning"), "{run:?}");
        assert_same_times(&folder.join("hdr.mkv"), &folder.join(name));
        assert_same_colour(&folder.join("hdr.mkv"), &folder.join(name));
        let file = probe(&folder.join(name));
        let video = stream(&file, "video");
        assert_eq!(video["pix_fmt"], "yuv420p10le");
        assert_eq!(video["codec_name"], "hevc");
        // Apple's players want this tag.
        assert!(name != "out.mp4" || video["codec_tag_string"] == "hvc1", "{video}");
        assert_hdr(video);
        // Without the container only the bitstream can say it.
        ffmpeg(folder, &format!("-i {name} -c copy bare.hevc"));
        assert_hdr(&frames(&folder.join("bare.hevc"))[0]);
    }
}

#[track_caller]
fn assert_hdr(owner: &Value) {
    let display = side_data(owner, "Mastering display metadata").unwrap_or_else(|| panic!("{owner}"));
    let expected = [("green_y", 0.69), ("white_point_x", 0.3127), ("max_luminance", 1000.0), ("min_luminance", 0.0001)];
    for (key, expected) in expected {
        let found = number(&display[key]);
        assert!((found / expected - 1.0).abs() < 1e-6, "{key}: {found}, not {expected}");
    }
    let light = side_data(owner, "Content light level metadata").unwrap_or_else(|| panic!("{owner}"));
    assert_eq!((&light["max_content"], &light["max_average"]), (&1000.into(), &400.into()));
}

#[test]
fn colour_tags_pixel_shape_and_rotation_are_kept_and_none_is_invented() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -pix_fmt yuv420p -c:v libx264";
    let tags = "-color_primaries smpte170m -color_trc smpte170m -colorspace smpte170m -color_range pc";
    let matrix = "scale=out_range=pc:out_color_matrix=smpte170m,setsar=16/11";
    ffmpeg(folder, &format!("{source} bare.mp4"));
    ffmpeg(folder, &format!("{source} -vf {matrix} {tags} -chroma_sample_location center tagged.mp4"));
    ffmpeg(folder, "-i tagged.mp4 -c copy -metadata:s:v rotate=90 rotated.mp4");
    for (from, to) in [("bare.mp4", "a.mp4"), ("bare.mp4", "b.mkv"), ("tagged.mp4", "c.mp4"), ("tagged.mp4", "d.mkv")] {
        let run = transcode(folder, &format!("{from} {to}"));
        assert!(!run.stderr.contains("warning"), "{run:?}");
        assert_same_colour(&folder.join(from), &folder.join(to));
        assert_same_times(&folder.join(from), &folder.join(to));
        assert!(likeness(&folder.join(from), &folder.join(to)) > 30.0, "{from} to {to}");
    }
    // At twice this size players take another matrix where none is said.
    ffmpeg(folder, "-f lavfi -i testsrc2=size=720x576:rate=25:duration=0.1 -pix_fmt yuv420p -c:v ffv1 sd.mkv");
    transcode(folder, "sd.mkv hd.mkv");
    assert_eq!(stream(&probe(&folder.join("hd.mkv")), "video")["color_space"], "smpte170m");
    transcode(folder, "rotated.mp4 f.mp4");
    let (before, after) = (probe(&folder.join("rotated.mp4")), probe(&folder.join("f.mp4")));
    let rotation =
        |file: &Value| side_data(stream(file, "video"), "Display Matrix").map(|data| data["rotation"].clone());
    assert_eq!(rotation(&before).and_then(|turn| turn.as_i64()).map(i64::abs), Some(90));
    assert_eq!(rotation(&after), rotation(&before));
    let run = transcode(folder, "rotated.mp4 f.mkv");
    assert_eq!(run.stderr.contains("cannot keep the rotation"), rotation(&probe(&folder.join("f.mkv"))).is_none());
}

#[test]
fn transparency_that_webm_keeps_beside_the_picture_is_named_as_dropped() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2,format=yuva420p -c:v libvpx-vp9 in.webm");
    let run = transcode(folder, "in.webm out.webm");
    assert!(run.stderr.contains("transparency, which WebM keeps beside the picture, is dropped"), "{run:?}");
    let alpha = |name: &str| {
        let file = probe(&folder.join(name));
        let tags = &stream(&file, "video")["tags"];
        ["alpha_mode", "ALPHA_MODE"].into_iter().any(|key| tags[key] == "1")
    };
    assert!(alpha("in.webm") && !alpha("out.webm"));
}

#[test]
fn odd_sizes_keep_their_format() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    for format in ["yuv420p", "yuv422p10le", "yuv444p", "gray"] {
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i gradients=size=36x18:rate=5:duration=1:seed=1,format=gbrp,crop=35:17 -pix_fmt {format} -c:v ffv1 odd.mkv"
            ),
        );
        for scale in [2, 3] {
            transcode(folder, &format!("odd.mkv out.mkv -y --scale {scale} --codec ffv1"));
            let file = probe(&folder.join("out.mkv"));
            let video = stream(&file, "video");
            assert_eq!((&video["width"], &video["height"]), (&(35 * scale).into(), &(17 * scale).into()));
            assert_eq!(video["pix_fmt"], format);
            assert_same_times(&folder.join("odd.mkv"), &folder.join("out.mkv"));
            let likeness = likeness(&folder.join("odd.mkv"), &folder.join("out.mkv"));
            assert!(likeness > 30.0, "{format} x{scale}: {likeness} dB");
        }
    }
}

#[test]
fn formats_that_the_engine_lacks_are_converted() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    // Format, encoder and options of the input, its name; the depth that must be left.
    let cases = [
        ("yuvj420p", "mjpeg -q:v 2", "in.mkv", 8),
        ("yuv440p", "ffv1", "in.mkv", 8),
        ("yuv411p", "rawvideo", "in.nut", 8),
        ("yuyv422", "rawvideo", "in.nut", 8),
        ("nv12", "rawvideo", "in.nut", 8),
        ("yuva420p", "ffv1", "in.mkv", 8),
        ("yuv420p12le", "ffv1", "in.mkv", 10),
        ("yuv422p10be", "rawvideo", "in.nut", 10),
        ("gray10le", "ffv1", "in.mkv", 10),
        ("rgb24", "rawvideo", "in.nut", 8),
        ("pal8", "rawvideo", "in.nut", 8),
        ("rgba", "png", "in.mkv", 8),
        ("gbrp10le", "ffv1", "in.mkv", 10),
        ("rgb48le", "rawvideo", "in.nut", 10),
        // Rows that run upwards: a negative line size.
        ("bgr24", "rawvideo -flipped_raw_rgb 1", "in.avi", 8),
    ];
    for (format, encoder, name, depth) in cases {
        ffmpeg(
            folder,
            &format!("-f lavfi -i smptebars=size=64x48:rate=5:duration=1 -pix_fmt {format} -c:v {encoder} {name}"),
        );
        let run = transcode(folder, &format!("{name} out.mkv -y --crf 8"));
        let deep = ["yuv420p12le", "rgb48le"].contains(&format);
        assert_eq!(run.stderr.contains("it loses depth"), deep, "{format}: {run:?}");
        assert_same_times(&folder.join(name), &folder.join("out.mkv"));
        let likeness = likeness(&folder.join(name), &folder.join("out.mkv"));
        assert!(likeness > 28.0, "{format}: {likeness} dB");
        let file = probe(&folder.join("out.mkv"));
        let pixel = stream(&file, "video")["pix_fmt"].as_str().unwrap().to_owned();
        assert_eq!(pixel.contains("10"), depth == 10, "{format} became {pixel}");
        assert_eq!(pixel.contains("10"), stream(&file, "video")["codec_name"] == "hevc", "{format} became {pixel}");
    }
}

#[test]
fn interlaced_video_is_refused_or_deinterlaced() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=50:duration=1 -vf interlace -c:v mpeg2video -q:v 2 -flags +ilme+ildct -bf 2 in.mkv",
    );
    assert_eq!(frames(&folder.join("in.mkv"))[3]["interlaced_frame"], 1);
    let before = listing(folder);
    let refused = run(folder, "in.mkv out.mkv --model bicubic");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.ends_with("add --deinterlace\n"), "{refused:?}");
    assert_eq!(listing(folder), before);
    transcode(folder, "in.mkv out.mkv --deinterlace");
    assert_same_times(&folder.join("in.mkv"), &folder.join("out.mkv"));
    assert!(frames(&folder.join("out.mkv")).iter().all(|frame| frame["interlaced_frame"] == 0));
    // A video that becomes interlaced on its way.
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1 -c:v mpeg2video -q:v 2 -bf 2 a.ts");
    ffmpeg(folder, "-i in.mkv -c copy -output_ts_offset 1 b.ts");
    let joined = ["a.ts", "b.ts"].map(|name| fs::read(folder.join(name)).unwrap()).concat();
    fs::write(folder.join("late.ts"), joined).unwrap();
    let late = transcode(folder, "late.ts late.mkv");
    assert!(late.stderr.contains("warning: the video is interlaced from 1.0 s on"), "{late:?}");
    assert_same_times(&folder.join("late.ts"), &folder.join("late.mkv"));
    assert!(frames(&folder.join("late.mkv")).iter().all(|frame| frame["interlaced_frame"] == 0));
    // Progressive frames pass untouched.
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -c:v ffv1 plain.mkv");
    transcode(folder, "plain.mkv a.mkv --codec ffv1");
    transcode(folder, "plain.mkv b.mkv --codec ffv1 --deinterlace");
    for name in ["a", "b"] {
        ffmpeg(folder, &format!("-i {name}.mkv -f framemd5 {name}.md5"));
    }
    assert_eq!(fs::read(folder.join("a.md5")).unwrap(), fs::read(folder.join("b.md5")).unwrap());
}

#[test]
fn a_truncated_file_gives_what_decodes_and_says_so() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    let source = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=4 -f lavfi -i sine=duration=4 -c:v libx264 -g 25";
    ffmpeg(folder, &format!("{source} whole.mkv"));
    ffmpeg(folder, &format!("{source} -movflags +faststart whole.mp4"));
    for name in ["mkv", "mp4"] {
        let bytes = fs::read(folder.join(format!("whole.{name}"))).unwrap();
        fs::write(folder.join(format!("cut.{name}")), &bytes[..bytes.len() * 6 / 10]).unwrap();
        let run = transcode(folder, &format!("cut.{name} out-{name}.mkv"));
        let count = frames(&folder.join(format!("out-{name}.mkv"))).len();
        assert!((20..90).contains(&count), "{count}");
        assert!(run.stderr.contains(&format!("cut.{name} is cut off")), "{run:?}");
        assert!(run.stderr.contains(&format!("what could be decoded is kept: {count} frames")), "{run:?}");
        assert!(run.stdout.contains(&format!("{count} frames")), "{run:?}");
        assert_eq!(count, frames(&folder.join(format!("cut.{name}"))).len());
    }
}

#[test]
fn a_size_that_changes_on_the_way_is_brought_to_the_first() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    for (name, size, start) in [("a", "96x64", "0"), ("b", "64x64", "1")] {
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i testsrc2=size={size}:rate=25:duration=1 -c:v libx264 -output_ts_offset {start} {name}.ts"
            ),
        );
    }
    let joined = [fs::read(folder.join("a.ts")).unwrap(), fs::read(folder.join("b.ts")).unwrap()].concat();
    fs::write(folder.join("in.ts"), joined).unwrap();
    let run = transcode(folder, "in.ts out.mkv");
    assert!(run.stderr.contains("changes from 96x64 to 64x64"), "{run:?}");
    let sizes: Vec<_> = frames(&folder.join("out.mkv")).iter().map(|frame| frame["width"].clone()).collect();
    assert_eq!(sizes, vec![Value::from(192); 50]);
}

#[test]
fn cover_art_is_kept_as_cover_art() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -c:v libx264 plain.mp4");
    ffmpeg(folder, "-f lavfi -i smptebars=size=80x80 -frames:v 1 cover.png");
    ffmpeg(folder, "-i plain.mp4 -i cover.png -map 0 -map 1 -c copy -disposition:v:1 attached_pic in.mp4");
    transcode(folder, "in.mp4 out.mkv");
    transcode(folder, "out.mkv back.mp4");
    for name in ["in.mp4", "out.mkv", "back.mp4"] {
        let file = probe(&folder.join(name));
        let covers: Vec<_> =
            file["streams"].as_array().unwrap().iter().filter(|s| s["disposition"]["attached_pic"] == 1).collect();
        assert_eq!(covers.len(), 1, "{name}");
        assert_eq!((&covers[0]["codec_name"], &covers[0]["width"]), (&"png".into(), &80.into()), "{name}");
    }
    assert_eq!(stream(&probe(&folder.join("back.mp4")), "video")["width"], 256);
}

#[test]
fn bad_input_ends_with_one_line_and_leaves_nothing() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=36x18:rate=25:duration=0.4,format=gbrp,crop=35:17 -pix_fmt yuv420p -c:v ffv1 in.mkv",
    );
    ffmpeg(folder, "-f lavfi -i testsrc2=size=6000x16:rate=25:duration=0.1 -c:v ffv1 wide.mkv");
    ffmpeg(folder, "-f lavfi -i sine=duration=1 sound.wav");
    fs::copy(folder.join("in.mkv"), folder.join("there.mkv")).unwrap();
    fs::write(folder.join("words.mkv"), "this is no video").unwrap();
    fs::write(folder.join("empty.mkv"), "").unwrap();
    fs::create_dir(folder.join("folder.mkv")).unwrap();
    std::os::unix::fs::symlink("in.mkv", folder.join("link.mkv")).unwrap();
    let cases = [
        ("missing.mkv out.mkv", 1, "missing.mkv: no such file"),
        ("folder.mkv out.mkv", 1, "is a folder"),
        ("words.mkv out.mkv", 1, "cannot read words.mkv"),
        ("empty.mkv out.mkv", 1, "cannot read empty.mkv"),
        ("sound.wav out.mkv", 1, "has no video stream"),
        ("in.mkv nowhere/out.mkv", 1, "the folder nowhere does not exist"),
        ("in.mkv there.mkv", 1, "or replace it with -y"),
        ("in.mkv in.mkv -y", 1, "is both input and output"),
        ("in.mkv link.mkv -y", 1, "is both input and output"),
        ("in.mkv folder.mkv -y", 1, "is a folder"),
        ("in.mkv out", 1, "end the name in .mkv"),
        ("in.mkv out.png", 1, "is not one video file"),
        ("in.mkv out.mkv --model nothing", 1, "unknown model 'nothing'"),
        ("in.mkv out.mkv --model nothing.safetensors", 1, "nothing.safetensors"),
        ("in.mkv out.mkv --model bicubic --scale 16", 1, "scale 16"),
        ("wide.mkv out.mkv --model bicubic --scale 3", 1, "from 1 to 16384 pixels"),
        ("in.mkv out.mkv --codec nothing", 1, "unknown video encoder 'nothing'"),
        ("in.mkv out.mkv --codec aac", 1, "unknown video encoder 'aac'"),
        ("in.mkv out.webm --model bicubic --codec libx264", 1, "webm cannot hold h264"),
        ("in.mkv out.y4m --model bicubic", 1, "yuv4mpegpipe cannot hold these streams together"),
        ("in.mkv out.mkv --model bicubic --scale 3", 1, "many encoders want even sizes"),
        ("in.mkv out.mkv --model bicubic --preset nothing", 1, "unknown preset 'nothing': use one of ultrafast"),
        ("in.mkv out.mkv --model bicubic --encoder-option g=nothing", 1, "check --preset"),
        ("in.mkv out.mkv --model bicubic --codec ffv1 --crf 9", 1, "has no option 'crf'"),
        ("in.mkv out.mkv --model bicubic --encoder-option nothing=1", 1, "has no option 'nothing'"),
        ("in.mkv out.mkv --encoder-option nothing", 2, "KEY=VALUE"),
        ("in.mkv out.mkv --backend abacus", 2, "unknown backend 'abacus'"),
        ("in.mkv out.mkv --scale 0", 2, "--scale"),
        ("in.mkv", 2, "<OUT>"),
    ];
    let before = listing(folder);
    let original = fs::read(folder.join("in.mkv")).unwrap();
    for (arguments, code, text) in cases {
        let run = run(folder, arguments);
        assert_eq!(run.code, Some(code), "{arguments}: {run:?}");
        assert!(run.stderr.contains(text), "{arguments}: {run:?}");
        assert!(run.stderr.starts_with("error: "), "{arguments}: {run:?}");
        assert!(code == 2 || run.stderr.lines().count() == 1, "{arguments}: {run:?}");
        assert_eq!(listing(folder), before, "{arguments}");
    }
    assert_eq!(fs::read(folder.join("in.mkv")).unwrap(), original);
    transcode(folder, "in.mkv there.mkv -y");
    assert_eq!(stream(&probe(&folder.join("there.mkv")), "video")["width"], 70);
    assert_eq!(listing(folder), before);
}

#[test]
fn pipes_are_read_and_links_are_followed() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.4 -c:v ffv1 in.mkv");
    fs::create_dir(folder.join("films")).unwrap();
    fs::write(folder.join("films/old.mkv"), "an older film").unwrap();
    for (to, link) in [("films/old.mkv", "link.mkv"), ("nowhere.mkv", "lost.mkv")] {
        std::os::unix::fs::symlink(to, folder.join(link)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(folder.join("pipe.mkv")).status().unwrap().success());
    for (name, text) in [("lost", "is a link that leads nowhere"), ("pipe", "is a pipe or a device; name a file")] {
        let refused = run(folder, &format!("in.mkv {name}.mkv -y --model bicubic"));
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(text), "{refused:?}");
    }
    let (from, into) = (folder.join("in.mkv"), folder.join("pipe.mkv"));
    let writer = std::thread::spawn(move || fs::copy(from, into).is_ok());
    transcode(folder, "pipe.mkv link.mkv -y");
    assert!(writer.join().unwrap(), "the pipe was closed early");
    assert!(folder.join("link.mkv").is_symlink());
    assert_same_times(&folder.join("in.mkv"), &folder.join("films/old.mkv"));
    assert_eq!(listing(&folder.join("films")), ["old.mkv"]);
}

#[test]
fn captions_that_an_encoder_cannot_write_are_named_once() {
    let (Some(clips), Some(folder)) = (shared("clips"), workshop()) else { return };
    let clip = clips.join("hls_cea608.ts");
    let run = transcode(folder.path(), &format!("{} out.mkv --codec ffv1", clip.display()));
    let warnings: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 1, "{run:?}");
    assert!(warnings[0].contains("closed captions are dropped"), "{run:?}");
}

#[test]
fn the_development_clips_go_through_whole() {
    let (Some(clips), Some(folder)) = (shared("clips"), workshop()) else { return };
    let folder = folder.path();
    let cases = [
        ("ass_subtitles_ac3.mkv", "ass.mkv"),
        ("bbb_nonsquare_pyramid.mp4", "bbb.mp4"),
        ("hlg10_hevc.mp4", "hlg.mp4"),
        ("hls_cea608.ts", "captions.mkv"),
        ("no_duration.webm", "no_duration.mkv"),
        ("phone_rotated_vfr.mp4", "phone.mp4"),
    ];
    for (from, to) in cases {
        let (source, target) = (clips.join(from), folder.join(to));
        let run = transcode(folder, &format!("{} {to} --preset ultrafast", source.display()));
        assert!(!run.stderr.contains("warning"), "{run:?}");
        assert_same_times(&source, &target);
        assert_same_colour(&source, &target);
        let (before, after) = (probe(&source), probe(&target));
        let kinds = |file| kinds(file).into_iter().map(|kind| kind.0).collect::<Vec<_>>();
        assert_eq!(kinds(&before), kinds(&after), "{from}");
        let (before, after) = (stream(&before, "video"), stream(&after, "video"));
        assert_eq!(before["pix_fmt"], after["pix_fmt"], "{from}");
        assert_eq!(after["width"], 2 * before["width"].as_u64().unwrap(), "{from}");
        let matrix = |stream: &Value| side_data(stream, "Display Matrix").map(|data| data["rotation"].clone());
        assert_eq!(matrix(before), matrix(after), "{from}");
        // Captions inside the video.
        let captions = |path: &Path| {
            let has = |frame: &Value| side_data(frame, "ATSC A53 Part 4 Closed Captions").is_some();
            frames(path).iter().filter(|frame| has(frame)).count()
        };
        assert_eq!(captions(&source), captions(&target), "{from}");
        fs::remove_file(&target).unwrap();
    }
}
