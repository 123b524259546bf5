//! Video files through FFmpeg: decoded frames, what their codes mean, and their bytes as the engine takes them.

pub mod colour;
pub mod convert;
mod deinterlace;
pub mod ffi;
pub mod file;
pub mod formats;
pub mod input;
pub mod subtitles;
mod timeline;
