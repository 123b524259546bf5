//! Whose memory: what is asked of downstream, and what is offered upstream.

use gst::prelude::*;
use gst_video::{VideoBufferPool, VideoInfo, VideoMeta};

/// Buffers that upstream should have: one in work here, one to fill meanwhile.
const OFFERED_BUFFERS: u32 = 2;

/// The option of a pool that lays out planes as it likes and says so in a `VideoMeta`.
const VIDEO_META_OPTION: &str = "GstBufferPoolOptionVideoMeta";

/// Answers upstream's allocation query: any stride will do, and here is a pool.
pub fn propose(query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
    query.add_allocation_meta::<VideoMeta>(None);
    let (caps, need_pool) = query.get_owned();
    let Some((caps, info)) = caps.and_then(|caps| VideoInfo::from_caps(&caps).ok().map(|info| (caps, info))) else {
        return Ok(());
    };
    let size = info.size().try_into().map_err(|_| too_large(&info))?;
    let pool = need_pool
        .then(|| {
            configure(
                VideoBufferPool::new().upcast(),
                &Wish { caps: &caps, size, min: OFFERED_BUFFERS, max: 0 },
                None,
                true,
            )
        })
        .flatten();
    query.add_allocation_pool(pool.as_ref(), size, OFFERED_BUFFERS, 0);
    Ok(())
}

/// Chooses the pool for the output: downstream's if it has one that works, else an own one.
pub fn decide(query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
    let caps =
        query.get_owned().0.ok_or_else(|| gst::loggable_error!(super::srupscale::CAT, "no caps to allocate for"))?;
    let info = VideoInfo::from_caps(&caps)
        .map_err(|error| gst::loggable_error!(super::srupscale::CAT, "output caps {caps}: {error}"))?;
    let least: u32 = info.size().try_into().map_err(|_| too_large(&info))?;
    let with_meta = query.find_allocation_meta::<VideoMeta>().is_some();
    let memory = query.allocation_params().next();
    let offered = query.allocation_pools().next();
    let is_offered = offered.is_some();
    let (theirs, size, min, max) = offered.unwrap_or_default();
    let wish = Wish { caps: &caps, size: size.max(least), min, max };
    let pool = theirs
        .and_then(|pool| configure(pool, &wish, memory.as_ref(), with_meta))
        .or_else(|| configure(VideoBufferPool::new().upcast(), &wish, memory.as_ref(), with_meta))
        .ok_or_else(|| gst::loggable_error!(super::srupscale::CAT, "no buffer pool for {caps}"))?;
    if is_offered {
        query.set_nth_allocation_pool(0, Some(&pool), wish.size, min, max);
    } else {
        query.add_allocation_pool(Some(&pool), wish.size, min, max);
    }
    Ok(())
}

fn too_large(info: &VideoInfo) -> gst::LoggableError {
    gst::loggable_error!(super::srupscale::CAT, "a frame of {} bytes is too large for a buffer pool", info.size())
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
