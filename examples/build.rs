//! Tells the code from which side of a change in FFmpeg's interface it is built, as ffmpeg-sys-next has found out.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(ffmpeg_7)");
    if std::env::var("DEP_FFMPEG_FFMPEG_7_0").is_ok_and(|value| value == "true") {
        println!("cargo:rustc-cfg=ffmpeg_7");
    }
}
