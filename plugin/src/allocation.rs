//! Whose memory: what is asked of downstream, and what is offered upstream.

use gst::prelude::*;
use gst_video::{VideoBufferPool, VideoInfo, VideoMeta};

use crate::errors::Failure;
use crate::video::video_info;

/// Buffers that upstream should have beside those that are inside here: one to compare the next with, one to fill meanwhile.
const OFFERED_BUFFERS: u32 = 2;

/// The option of a pool that lays out planes as it likes and says so in a `VideoMeta`.
const VIDEO_META_OPTION: &str = "GstBufferPoolOptionVideoMeta";

/// Answers upstream's allocation query: any stride will do, and here is a pool. `window` frames are inside at once.
pub fn propose(query: &mut gst::query::Allocation, window: usize) -> Result<(), Failure> {
    let buffers = window as u32 + OFFERED_BUFFERS;
    query.add_allocation_meta::<VideoMeta>(None);
    let (caps, need_pool) = query.get_owned();
    let Some((caps, info)) = caps.and_then(|caps| VideoInfo::from_caps(&caps).ok().map(|info| (caps, info))) else {
        return Ok(());
    };
    let size = info.size().try_into().map_err(|_| too_large(&info))?;
    let pool = need_pool
        .then(|| {
            configure(VideoBufferPool::new().upcast(), &Wish { caps: &caps, size, min: buffers, max: 0 }, None, true)
        })
        .flatten();
    query.add_allocation_pool(pool.as_ref(), size, buffers, 0);
    Ok(())
}

/// Asks downstream, and gives a pool that is switched on: downstream's if it has one that works and has buffers for the
/// `window` frames inside beside those that downstream keeps, else an own one.
pub fn choose(src: &gst::Pad, caps: &gst::Caps, window: usize) -> Result<gst::BufferPool, Failure> {
    let info = video_info(caps)?;
    let least: u32 = info.size().try_into().map_err(|_| too_large(&info))?;
    let mut query = gst::query::Allocation::new(Some(caps), true);
    // Who gives no answer takes any memory.
    let answered = src.peer_query(&mut query);
    let with_meta = answered && query.find_allocation_meta::<VideoMeta>().is_some();
    let memory = query.allocation_params().next();
    let (theirs, size, min, max) = query.allocation_pools().next().unwrap_or_default();
    let inside = window as u32 + 1;
    let enough = max == 0 || max >= min.saturating_add(inside);
    let mut wish = Wish { caps, size: size.max(least), min: min + inside, max };
    let theirs = theirs.filter(|_| enough).and_then(|pool| configure(pool, &wish, memory.as_ref(), with_meta));
    let theirs = theirs.filter(gives_plain_memory);
    wish.max = 0;
    // Allocators of GPUs give memory only to pools of their own kind.
    let memory = memory.map(|(_, params)| (None, params));
    let pool = theirs
        .or_else(|| configure(VideoBufferPool::new().upcast(), &wish, memory.as_ref(), with_meta))
        .ok_or_else(|| Failure::Buffer(format!("no buffer pool for {caps}")))?;
    pool.set_active(true).map_err(|_| {
        let buffers = wish.min;
        Failure::Buffer(format!(
            "no memory for {buffers} buffers of {caps}; lower max-in-flight or scale-factor, or make the input smaller"
        ))
    })?;
    Ok(pool)
}

/// Whether pictures can be written to its buffers where they are. The memory of planes that are apart would be copied into one
/// piece for every frame, and what GL keeps would come down from the GPU first. It is switched on if so.
fn gives_plain_memory(pool: &gst::BufferPool) -> bool {
    if pool.set_active(true).is_err() {
        return false;
    }
    // One that is in use may have none to spare, and has been looked at.
    let one = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
    let plain = pool.acquire_buffer(Some(&one)).map_or(true, |buffer| {
        buffer.n_memory() == 1
            && !["GLMemory", "GLMemoryPBO"].into_iter().any(|kind| buffer.peek_memory(0).is_type(kind))
    });
    if !plain {
        let _ = pool.set_active(false);
    }
    plain
}

fn too_large(info: &VideoInfo) -> Failure {
    Failure::Buffer(format!("a frame of {} bytes is too large for a buffer pool", info.size()))
}

/// What a pool is to give.
struct Wish<'a> {
    caps: &'a gst::Caps,
    size: u32,
    min: u32,
    max: u32,
}

type Memory = (Option<gst::Allocator>, gst::AllocationParams);

/// The pool, ready to be switched on; None if it cannot do what is wished.
fn configure(
    pool: gst::BufferPool,
    wish: &Wish<'_>,
    memory: Option<&Memory>,
    with_meta: bool,
) -> Option<gst::BufferPool> {
    let mut config = pool.config();
    config.set_params(Some(wish.caps), wish.size, wish.min, wish.max);
    if let Some((allocator, params)) = memory {
        config.set_allocator(allocator.as_ref(), Some(params));
    }
    // Only where both the pool and the one who reads the buffers know it.
    if with_meta && pool.options().iter().any(|option| option == VIDEO_META_OPTION) {
        config.add_option(VIDEO_META_OPTION);
    }
    if pool.set_config(config).is_ok() {
        return Some(pool);
    }
    // A refusal leaves behind what the pool can do instead: take that, if it is enough.
    let config = pool.config();
    config.validate_params(Some(wish.caps), wish.size, wish.min, wish.max).ok()?;
    pool.set_config(config).ok()?;
    Some(pool)
}
