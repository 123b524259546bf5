//! Upscales a video file.
fn main() {}
