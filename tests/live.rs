//! The example `live`, run as users run it, with senders and receivers in processes of their own on loopback.

#[path = "live/tools.rs"]
mod tools;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use tools::{
    Event, FRAME, Live, Run, ffmpeg, flashes, frame_sizes, free_port, make_clip, probe, send, send_rtp, sound_packets,
    workshop,
};

/// Asserts that sound lies to picture as it does in the source, before and after the picture stood still.
#[track_caller]
fn assert_in_sync(source: &Path, output: &Path, least: usize) -> Vec<Event> {
    let known = flashes(source);
    assert!(known.len() >= 3, "{known:?}");
    let mean = known.iter().map(|event| event.offset).sum::<f64>() / known.len() as f64;
    assert!(known.iter().all(|event| (event.offset - mean).abs() < 0.01), "{known:?}");
    let events = flashes(output);
    assert!(events.len() >= least, "{} of {least} flashes: {events:?}", events.len());
    let worst = events.iter().map(|event| (event.offset - mean).abs()).fold(0.0, f64::max);
    assert!(worst <= FRAME, "sound is {worst:.4} s away from where it belongs: {events:?}, in the source {mean:.4}");
    println!("{} flashes, sound at most {:.1} ms away from where it belongs", events.len(), worst * 1e3);
    events
}

/// Sends a clip for `seconds`, kills the sender, sends it again. Returns the events of what came out.
fn restart_a_sender(folder: &Path, seconds: [u64; 2]) -> (Vec<Event>, Run) {
    let clip = make_clip(folder, "clip.ts", seconds[0].max(seconds[1]) as u32 + 30);
    let address = format!("srt://127.0.0.1:{}", free_port());
    let mut live = Live::start(folder, &format!("{address}?mode=listener out.ts --stall 2"));
    live.wait_for("status", |line| line["state"] == "waiting");
    let arguments = format!("-c copy -f mpegts {address}?mode=caller");
    let sender = send(&clip, &arguments);
    let frames = seconds.map(|seconds| 25 * seconds);
    live.wait_for_frames(frames[0]);
    sender.kill();
    live.wait_for("reconnecting", |line| line["state"] == "reconnecting");
    let sender = send(&clip, &arguments);
    let back = live.wait_for("the sender", |line| line["reconnects"] == 1 && line["state"] == "playing");
    live.wait_for_frames(back["frames"].as_u64().unwrap() + frames[1]);
    let run = live.interrupt();
    sender.kill();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(run.last()["reconnects"], 1, "{run:?}");
    assert_eq!(run.last()["state"], "ended");
    let least = (seconds[0] + seconds[1] - 2) as usize;
    let events = assert_in_sync(&clip, &folder.join("out.ts"), least);
    (events, run)
}

#[test]
fn a_sender_that_is_killed_and_comes_back_leaves_one_stream_in_sync() {
    let Some(folder) = workshop(&["srtsrc"]) else { return };
    let folder = folder.path();
    let (events, run) = restart_a_sender(folder, [5, 5]);
    let pause = events.windows(2).map(|pair| pair[1].flash - pair[0].flash).fold(0.0, f64::max);
    assert!(pause > 2.0, "the time that the sender was away is in the output: {events:?}");
    let before = events.iter().take_while(|event| event.flash < events[0].flash + 4.5).count();
    assert!(before >= 3 && events.len() - before >= 3, "{events:?}");
    // What came between is neither lost nor doubled: as many frames are in the file as were counted.
    let sizes = frame_sizes(&folder.join("out.ts"));
    assert_eq!(Some(sizes.len() as u64), run.last()["frames"].as_u64(), "{run:?}");
    assert!(sizes.iter().all(|&size| size == (320, 180)));
    let (sent, kept) = (sound_packets(&folder.join("clip.ts")), sound_packets(&folder.join("out.ts")));
    assert!(kept.len() > 300 && kept.iter().all(|packet| sent.contains(packet)), "sound is passed on bit for bit");
}

#[test]
#[ignore = "two minutes of real time; run it by name"]
fn two_minutes_over_srt_with_a_restart_keep_sound_and_picture_within_a_frame() {
    let Some(folder) = workshop(&["srtsrc"]) else { return };
    let (events, run) = restart_a_sender(folder.path(), [60, 60]);
    println!("{} s, {}", events[events.len() - 1].flash - events[0].flash, run.last());
}

#[test]
fn rtp_that_an_sdp_file_describes_is_played_in_sync() {
    let needed = ["rtpbin", "sdpsrc", "rtph264pay", "rtph264depay", "rtpmp4gpay", "rtpmp4gdepay", "matroskamux"];
    let Some(folder) = workshop(&needed) else { return };
    let folder = folder.path();
    let clip = make_clip(folder, "clip.mkv", 30);
    let ports = [free_port(), free_port()];
    let description = format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nc=IN IP4 127.0.0.1\r\n\
         m=video {} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n\
         m=audio {} RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\n\
         a=fmtp:97 streamtype=5;profile-level-id=2;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1188\r\n",
        ports[0], ports[1]
    );
    fs::write(folder.join("s.sdp"), description).unwrap();
    let mut live = Live::start(folder, "s.sdp out.mkv");
    live.wait_for("status", |line| line["state"] == "waiting");
    let sender = send_rtp(&clip, ports);
    live.wait_for_frames(150);
    let run = live.interrupt();
    sender.kill();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_in_sync(&clip, &folder.join("out.mkv"), 4);
}

#[test]
fn srt_carries_it_from_one_process_to_the_next() {
    let Some(folder) = workshop(&["srtsrc", "srtsink", "matroskamux", "avenc_aac"]) else { return };
    let folder = folder.path();
    let address = format!("srt://127.0.0.1:{}", free_port());
    // The receiver is there first, and waits.
    let mut receiver = Live::start(folder, &format!("{address} out.mkv --wait"));
    receiver.wait_for_text("trying again");
    let mut sender = Live::start(folder, &format!("test:160x90@25 {address}?mode=listener"));
    receiver.wait_for_frames(60);
    let run = receiver.interrupt();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(run.last()["reconnects"], 0, "{run:?}");
    // A receiver that leaves is nothing to a sender.
    let frames = sender.wait_for_frames(1)["frames"].as_u64().unwrap();
    sender.wait_for_frames(frames + 25);
    assert_eq!(sender.interrupt().code, Some(130));
    let file = probe(&folder.join("out.mkv"), "-show_streams");
    let codecs: Vec<_> = file["streams"].as_array().unwrap().iter().map(|stream| &stream["codec_name"]).collect();
    assert_eq!(codecs, ["h264", "aac"]);
    let sizes = frame_sizes(&folder.join("out.mkv"));
    assert!(sizes.len() >= 60 && sizes.iter().all(|&size| size == (640, 360)), "{sizes:?}");
}

#[test]
fn a_size_that_changes_in_mid_stream_does_not_end_it() {
    let Some(folder) = workshop(&["matroskamux", "udpsrc"]) else { return };
    let folder = folder.path();
    let part = |size: &str, start: u32, name: &str| {
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i testsrc2=size={size}:rate=25:duration=3 -c:v libx264 -preset veryfast -g 12 -bf 0 \
                 -output_ts_offset {start} -f mpegts {name}"
            ),
        );
        fs::read(folder.join(name)).unwrap()
    };
    let both = [part("160x90", 0, "a.ts"), part("128x128", 3, "b.ts")].concat();
    fs::write(folder.join("both.ts"), both).unwrap();
    // MPEG-TS changes along; Matroska cannot, so the second half is fitted into the first one's size.
    let address = format!("udp://127.0.0.1:{}", free_port());
    let mut network = Live::start(folder, &format!("{address} out.ts --stall 2"));
    let file = Live::start(folder, "both.ts out.mkv");
    network.wait_for("status", |line| line["state"] == "waiting");
    let sender = send(&folder.join("both.ts"), &format!("-c copy -f mpegts {address}?pkt_size=1316"));
    network.wait_for("the second size", |line| line["output"] == "256x256");
    network.wait_for("the sender's end", |line| line["state"] == "reconnecting");
    sender.kill();
    assert_eq!(network.interrupt().code, Some(130));
    let run = file.finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    let sizes = frame_sizes(&folder.join("out.ts"));
    let count = |size| sizes.iter().filter(|&&found| found == size).count();
    assert!(count((320, 180)) >= 60 && count((256, 256)) >= 60, "{sizes:?}");
    let sizes = frame_sizes(&folder.join("out.mkv"));
    assert_eq!((sizes.len(), sizes.iter().all(|&size| size == (320, 180))), (150, true), "{sizes:?}");
}

#[test]
fn sound_that_a_container_does_not_hold_is_encoded_for_it() {
    let Some(folder) = workshop(&["matroskamux", "mp4mux", "avenc_aac", "avdec_aac_latm"]) else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=160x90:rate=25:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 \
         -preset veryfast -g 12 -bf 0 -c:a aac -f mpegts -mpegts_flags latm latm.ts",
    );
    for name in ["out.mkv", "out.mp4", "out.flv", "out.ts"] {
        let run = Live::start(folder, &format!("latm.ts {name}")).finish();
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
        let file = probe(&folder.join(name), "-select_streams a -show_streams -count_frames");
        let sound = &file["streams"][0];
        let frames: u32 = sound["nb_read_frames"].as_str().unwrap().parse().unwrap();
        // Of 86; what comes before the sender says the first time how it is coded is lost.
        assert!(sound["codec_name"] == "aac" && frames >= 60, "{name}: {sound}");
    }
}

#[test]
fn a_sound_whose_rate_changes_in_mid_stream_does_not_end_it() {
    let Some(folder) = workshop(&["matroskamux", "mp4mux", "flvmux", "avenc_aac"]) else { return };
    let folder = folder.path();
    let part = |codec: &str, rate: u32, start: u32| {
        ffmpeg(
            folder,
            &format!(
                "-f lavfi -i testsrc2=size=160x90:rate=25:duration=3 -f lavfi -i sine=duration=3 -c:v libx264 \
                 -preset veryfast -g 12 -bf 0 -c:a {codec} -ar {rate} -output_ts_offset {start} -f mpegts part.ts"
            ),
        );
        fs::read(folder.join("part.ts")).unwrap()
    };
    for codec in ["aac", "mp2"] {
        let both = [part(codec, 48000, 0), part(codec, 44100, 3)].concat();
        fs::write(folder.join(format!("{codec}.ts")), both).unwrap();
    }
    // Matroska and MP4 lose AAC's second half, FLV does not. MP4 has no MP2 layer 2: it is encoded, all in one rate.
    for (input, name, least, most, warned) in [
        ("aac.ts", "aac.mkv", 135, 145, true),
        ("aac.ts", "aac.mp4", 135, 145, true),
        ("aac.ts", "aac.flv", 265, 280, false),
        ("mp2.ts", "mp2.mp4", 278, 290, false),
    ] {
        let run = Live::start(folder, &format!("{input} {name}")).finish();
        assert_eq!((run.code, run.stderr.contains("44100 Hz")), (Some(0), warned), "{name}: {run:?}");
        let file = probe(&folder.join(name), "-show_streams -count_frames");
        let streams = file["streams"].as_array().unwrap();
        let count = |stream: usize| streams[stream]["nb_read_frames"].as_str().unwrap().parse::<u32>().unwrap();
        assert!(count(0) == 150 && (least..=most).contains(&count(1)), "{name}: {file}");
    }
}

#[test]
fn interlaced_frames_become_a_frame_for_each_field_at_the_bitrate_that_was_asked_for() {
    let Some(folder) = workshop(&["matroskamux", "deinterlace"]) else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=160x96:rate=50:duration=4 -vf tinterlace=interleave_top,setfield=tff -c:v libx264 \
         -preset veryfast -flags +ildct+ilme -g 12 fields.ts",
    );
    let run = Live::start(folder, "fields.ts out.mkv --bitrate 500").finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    let packets = probe(&folder.join("out.mkv"), "-select_streams v -show_packets");
    let sizes = packets["packets"].as_array().unwrap().iter().map(|packet| packet["size"].as_str().unwrap());
    let sizes: Vec<u64> = sizes.map(|size| size.parse().unwrap()).collect();
    assert_eq!(sizes.len(), 200);
    let kilobits = sizes.iter().sum::<u64>() * 8 / 4 / 1000;
    assert!((300..650).contains(&kilobits), "{kilobits} kbit/s");
}

#[test]
fn a_file_is_played_to_its_last_frame_and_sound() {
    let Some(folder) = workshop(&["matroskamux"]) else { return };
    let folder = folder.path();
    let clip = make_clip(folder, "clip.mkv", 3);
    for name in ["out.mkv", "out.mp4", "out.ts"] {
        let run = Live::start(folder, &format!("clip.mkv {name}")).finish();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(frame_sizes(&folder.join(name)).len(), 75, "{run:?}");
        assert_in_sync(&clip, &folder.join(name), 2);
    }
    assert_eq!(sound_packets(&clip), sound_packets(&folder.join("out.mkv")));
}

#[test]
fn a_file_loses_no_frame_to_a_network_that_is_too_slow() {
    let Some(folder) = workshop(&["matroskamux"]) else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=160x90:rate=25:duration=0.4 -c:v libx264 -bf 2 clip.mkv");
    let run = Live::start(folder, "clip.mkv out.mkv --model dlgsanet-tiny --target-fps 0").finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!((frame_sizes(&folder.join("out.mkv")).len(), &run.last()["dropped"]), (10, &0.into()), "{run:?}");
}

#[test]
fn the_end_by_ctrl_c_leaves_a_file_that_plays_and_figures_are_served_until_then() {
    let Some(folder) = workshop(&["mp4mux", "avenc_aac"]) else { return };
    let folder = folder.path();
    let mut live = Live::start(folder, "test:160x90@25 out.mp4 --metrics 0");
    let said = live.wait_for_text("/metrics");
    let address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect(&said).to_owned();
    assert!(address.starts_with("127.0.0.1:"), "loopback by default: {address}");
    let line = live.wait_for_frames(50);
    assert_eq!((&line["input"], &line["output"]), (&"160x90".into(), &"320x180".into()));
    assert!((15.0..35.0).contains(&line["fps"].as_f64().unwrap()), "{line}");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("srupscale_up 1\n") && answer.contains("srupscale_info{model=\"bicubic\"} 1\n"),
        "{answer}"
    );
    let run = live.interrupt();
    assert_eq!(run.code, Some(130), "{run:?}");
    let file = probe(&folder.join("out.mp4"), "-show_streams -count_frames");
    let streams = file["streams"].as_array().unwrap();
    assert_eq!(streams[0]["nb_read_frames"].as_str().unwrap(), run.last()["frames"].to_string());
    assert_eq!(streams[1]["codec_name"], "aac");
}

/// Serves the files of a folder over HTTP, one after another, until the test's process ends.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 8192];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    let name = request.split_whitespace().nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                    let (status, body) =
                        fs::read(folder.join(name)).map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                    if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn hls_goes_out_as_a_playlist_with_segments_and_comes_in_again() {
    let Some(folder) = workshop(&["hlssink2", "hlsdemux", "souphttpsrc"]) else { return };
    let folder = folder.path();
    let clip = make_clip(folder, "clip.mkv", 6);
    let run = Live::start(folder, "clip.mkv first/ --segment 2").finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    let playlist = fs::read_to_string(folder.join("first/playlist.m3u8")).unwrap();
    assert!(playlist.starts_with("#EXTM3U") && playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    let segments: Vec<_> = playlist.lines().filter(|line| line.ends_with(".ts")).collect();
    assert!(segments.len() >= 3, "{playlist}");
    let run =
        Live::start(folder, &format!("{}/playlist.m3u8 second/ --segment 2", serve(&folder.join("first")))).finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    let playlist = folder.join("second/playlist.m3u8");
    assert_in_sync(&clip, &playlist, 4);
    let sizes = frame_sizes(&playlist);
    assert_eq!((sizes.len(), sizes[0]), (150, (640, 360)), "{run:?}");
}

#[test]
fn what_cannot_work_is_an_error_in_one_line_that_says_what_to_do() {
    let Some(folder) = workshop(&["srtsrc", "rtmp2sink"]) else { return };
    let folder = folder.path();
    fs::write(folder.join("taken.ts"), "x").unwrap();
    fs::write(folder.join("text.mkv"), "no video at all").unwrap();
    ffmpeg(folder, "-f lavfi -i sine=duration=1 -c:a aac sound.mkv");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = port.local_addr().unwrap();
    for (arguments, part) in [
        ("no-such-file.mkv out.ts", "no-such-file.mkv"),
        ("foo://host out.ts", "foo://host"),
        ("test out.avi", ".mkv"),
        ("test taken.ts", "-y"),
        ("taken.ts taken.ts -y", "both input and output"),
        ("test no/folder/out.ts", "make it first"),
        ("test gopher://host", "OUTPUT is"),
        ("test out.ts --model luma-z", "luma-z"),
        ("test out.ts --encoder identity", "x264enc"),
        ("test out.ts --encoder no-such", "gst-inspect-1.0"),
        ("test out.ts --preset warp", "ultrafast"),
        ("text.mkv out.ts", "text.mkv"),
        ("sound.mkv out.ts", "no video"),
        ("srt://127.0.0.1:1 out.ts", "srt://127.0.0.1:1"),
        ("rtsp://127.0.0.1:1/x out.ts", "rtsp://127.0.0.1:1/x"),
        ("http://127.0.0.1:1/x.m3u8 out.ts", "http://127.0.0.1:1/x.m3u8"),
        ("test rtmp://127.0.0.1:1/app/key", "rtmp://127.0.0.1:1/app/key"),
        (&format!("test out.ts --metrics {taken}"), "--metrics"),
    ] {
        let run = Live::start(folder, arguments).finish();
        assert_eq!(run.code, Some(1), "{arguments}: {run:?}");
        let lines: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(part), "{arguments}: {run:?}");
        assert!(!run.stderr.contains("panicked"), "{arguments}: {run:?}");
        // Nothing is left behind by what never began.
        let _ = fs::remove_file(folder.join("out.ts"));
    }
    assert_eq!(fs::read(folder.join("taken.ts")).unwrap(), b"x");
}
