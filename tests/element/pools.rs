//! Pools of downstream's that are no help are not used.

use std::sync::{Arc, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_check::Harness;
use srup_engine::frame::PixelFormat;

use crate::support::{caps, element, harness, info, noise};

/// Whether an element out of which four frames come uses a pool of downstream's, of that many buffers at most.
fn is_used(make: fn() -> gst::BufferPool, max: u32) -> bool {
    is_used_beside(make, max, || None)
}

/// Beside an allocator that downstream names.
fn is_used_beside(make: fn() -> gst::BufferPool, max: u32, allocator: fn() -> Option<gst::Allocator>) -> bool {
    let element = element("luma-s", 2);
    element.set_property("max-in-flight", 4_u32);
    let mut harness = harness(&element);
    let theirs = offer(&harness, make, max, allocator);
    harness.play();
    let input = caps(PixelFormat::I420, 32, 32);
    harness.set_src_caps(input.clone());
    for n in 0..4 {
        harness.push(noise(&input, n)).unwrap();
    }
    for n in 0..4 {
        let output = harness.pull().unwrap();
        assert_eq!(output.pts(), Some(gst::ClockTime::from_mseconds(40 * n)));
        assert_eq!(output.n_memory(), 1);
    }
    theirs.lock().unwrap().take().unwrap().is_active()
}

/// Answers the element's question for a pool.
fn offer(
    harness: &Harness,
    make: fn() -> gst::BufferPool,
    max: u32,
    allocator: fn() -> Option<gst::Allocator>,
) -> Arc<Mutex<Option<gst::BufferPool>>> {
    let theirs: Arc<Mutex<Option<gst::BufferPool>>> = Arc::default();
    let offered = theirs.clone();
    harness.sinkpad().unwrap().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::QueryViewMut::Allocation(query)) = info.query_mut().map(|query| query.view_mut()) else {
            return gst::PadProbeReturn::Ok;
        };
        let size = crate::support::info(&query.get_owned().0.unwrap()).size() as u32;
        let pool = make();
        if let Some(allocator) = allocator() {
            query.add_allocation_param(Some(&allocator), gst::AllocationParams::default());
        }
        query.add_allocation_pool(Some(&pool), size, 1, max);
        *offered.lock().unwrap() = Some(pool);
        gst::PadProbeReturn::Handled
    });
    theirs
}

#[test]
fn one_that_is_too_small_is_not_used() {
    let pool = || gst_video::VideoBufferPool::new().upcast();
    assert!(!is_used(pool, 2), "two buffers are too few for four frames");
    assert!(is_used(pool, 0), "without a bound it is");
}

/// Its buffers have their planes in memories of their own, as those of GPUs and of some decoders.
mod in_pieces {
    use super::*;

    #[derive(Default)]
    pub struct Imp;

    #[glib::object_subclass]
    impl ObjectSubclass for Imp {
        const NAME: &'static str = "PoolInPieces";
        type Type = super::InPieces;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for Imp {}
    impl GstObjectImpl for Imp {}

    impl BufferPoolImpl for Imp {
        fn alloc_buffer(&self, _params: Option<&gst::BufferPoolAcquireParams>) -> Result<gst::Buffer, gst::FlowError> {
            let (caps, ..) = self.obj().config().params().ok_or(gst::FlowError::Error)?;
            let size = info(&caps.unwrap()).size();
            let mut buffer = gst::Buffer::with_size(size / 2).unwrap();
            buffer.get_mut().unwrap().append_memory(gst::Memory::with_size(size - size / 2));
            Ok(buffer)
        }
    }
}

glib::wrapper! {
    pub struct InPieces(ObjectSubclass<in_pieces::Imp>) @extends gst::BufferPool, gst::Object;
}

#[test]
fn one_whose_planes_lie_apart_is_not_used() {
    assert!(!is_used(|| glib::Object::new::<InPieces>().upcast(), 0));
}

/// It gives nothing to others than its own pool, as those of GL and VA.
mod of_its_pool_only {
    use super::*;

    #[derive(Default)]
    pub struct Imp;

    #[glib::object_subclass]
    impl ObjectSubclass for Imp {
        const NAME: &'static str = "AllocatorOfItsPoolOnly";
        type Type = super::OfItsPoolOnly;
        type ParentType = gst::Allocator;
    }

    impl ObjectImpl for Imp {}
    impl GstObjectImpl for Imp {}
    // SAFETY: nothing is overridden; the base class gives no memory.
    unsafe impl AllocatorImpl for Imp {}
}

glib::wrapper! {
    pub struct OfItsPoolOnly(ObjectSubclass<of_its_pool_only::Imp>) @extends gst::Allocator, gst::Object;
}

#[test]
fn the_allocator_of_one_that_is_not_used_is_not_either() {
    let allocator = || Some(glib::Object::new::<OfItsPoolOnly>().upcast());
    assert!(!is_used_beside(|| glib::Object::new::<InPieces>().upcast(), 0, allocator));
    assert!(!is_used_beside(|| gst_video::VideoBufferPool::new().upcast(), 0, allocator), "it gives nothing");
}
