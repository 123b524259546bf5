//! Muxers write down what they hold when the first packet comes: every stream is kept back until all have one.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

/// Streams that wait for each other.
pub struct Hold(Arc<Mutex<Vec<Held>>>);

struct Held {
    pad: gst::Pad,
    probe: Option<gst::PadProbeId>,
    here: bool,
}

impl Hold {
    /// Blocks these pads until each has a buffer. To be called before anything flows.
    pub fn new(pads: &[gst::Pad]) -> Self {
        let held = pads.iter().map(|pad| Held { pad: pad.clone(), probe: None, here: false }).collect();
        let hold = Self(Arc::new(Mutex::new(held)));
        for (index, pad) in pads.iter().enumerate() {
            let weak = Arc::downgrade(&hold.0);
            let probe = pad.add_probe(gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER, move |_, _| {
                let Some(held) = weak.upgrade() else { return gst::PadProbeReturn::Remove };
                if arrive(&held, index) { gst::PadProbeReturn::Remove } else { gst::PadProbeReturn::Ok }
            });
            hold.0.lock().unwrap_or_else(PoisonError::into_inner)[index].probe = probe;
        }
        hold
    }

    /// Lets everything through that has come.
    pub fn release(&self) {
        release(&self.0, None);
    }
}

/// Notes that a stream has its first buffer. Returns true where that was the last one.
fn arrive(held: &Mutex<Vec<Held>>, index: usize) -> bool {
    let all = {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        held[index].here = true;
        held.iter().all(|held| held.here)
    };
    if all {
        release(held, Some(index));
    }
    all
}

/// Removes all probes but that of the caller, which removes itself.
fn release(held: &Mutex<Vec<Held>>, own: Option<usize>) {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let probes: Vec<_> = held
        .iter_mut()
        .enumerate()
        .filter_map(|(index, held)| {
            let probe = held.probe.take().filter(|_| own != Some(index))?;
            Some((held.pad.clone(), probe))
        })
        .collect();
    drop(held);
    for (pad, probe) in probes {
        pad.remove_probe(probe);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stream_passes_when_the_others_have_come() {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(
            "fakesrc num-buffers=5 ! identity name=quick ! fakesink async=false \
             fakesrc num-buffers=5 ! identity name=slow sleep-time=60000 ! fakesink async=false name=last",
        )
        .unwrap();
        let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
        let pads = ["quick", "slow"].map(|name| bin.by_name(name).unwrap().static_pad("src").unwrap());
        let hold = Hold::new(&pads);
        let order = Arc::new(Mutex::new(Vec::new()));
        for (index, pad) in pads.iter().enumerate() {
            let order = order.clone();
            pad.peer().unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                order.lock().unwrap().push((index, std::time::Instant::now()));
                gst::PadProbeReturn::Ok
            });
        }
        let begun = std::time::Instant::now();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        assert!(bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).is_some());
        pipeline.set_state(gst::State::Null).unwrap();
        let order = order.lock().unwrap();
        assert_eq!(order.len(), 10);
        assert!(order.iter().all(|(_, time)| time.duration_since(begun) >= Duration::from_millis(60)));
        drop(hold);
    }
}
