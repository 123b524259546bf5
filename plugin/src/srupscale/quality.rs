//! Quality of service: frames that downstream would throw away are not computed.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::SrUpscale;
use super::lock;
use super::session::Session;

/// The most that frames are dropped ahead of what is late now: a stall is no reason to freeze for as long again.
const AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(1);

impl SrUpscale {
    /// Whether downstream would only throw the frame away.
    pub fn is_hopeless(&self, buffer: &gst::BufferRef, session: &Session) -> bool {
        if !lock(&self.settings).qos {
            return false;
        }
        let (earliest, entrance) = (*lock(&self.earliest), lock(&self.entrance));
        let (Some(segment), Some(pts)) = (&entrance.segment, buffer.pts()) else { return false };
        // Backwards, a frame's last moment is its first.
        let lasts = buffer.duration().filter(|_| segment.rate() > 0.0).unwrap_or(gst::ClockTime::ZERO);
        let end = segment.to_running_time(pts + lasts);
        earliest.zip(end).is_some_and(|(earliest, end)| end < earliest) || session.has_no_time()
    }

    /// Leaves a frame out, and tells of it.
    pub fn drop_frame(&self, buffer: &gst::BufferRef) {
        let (earliest, mut entrance) = (*lock(&self.earliest), lock(&self.entrance));
        entrance.discont = true;
        let dropped = self.count_dropped();
        let (Some(segment), Some(pts)) = (&entrance.segment, buffer.pts()) else { return };
        let running = segment.to_running_time(pts);
        let late = earliest.zip(running).map_or(0, |(earliest, running)| earliest.saturating_sub(running).nseconds());
        let message = gst::message::Qos::builder(false)
            .running_time(running)
            .stream_time(segment.to_stream_time(pts))
            .timestamp(pts)
            .duration(buffer.duration())
            .values(i64::try_from(late).unwrap_or(i64::MAX), 1.0, 1_000_000)
            .stats(gst::format::Buffers::from_u64(self.stats().frames), gst::format::Buffers::from_u64(dropped))
            .src(&*self.obj())
            .build();
        drop(entrance);
        let _ = self.obj().post_message(message);
    }

    /// Downstream says how it likes what it gets: how late or early a frame was.
    pub fn hear_quality(&self, event: &gst::event::Qos) {
        let (kind, _, diff, Some(timestamp)) = event.get() else { return };
        let late = gst::ClockTime::from_nseconds(diff.unsigned_abs());
        // A sink that shows fewer frames than there are says when it wants the next; nothing is late.
        let throttles = kind == gst::QOSType::Throttle;
        let earliest = match diff {
            ..=0 => timestamp.saturating_sub(late),
            _ if throttles => timestamp + late,
            _ => timestamp + late + late.min(AHEAD),
        };
        *lock(&self.earliest) = Some(earliest);
        if let Some(session) = self.session().filter(|_| diff > 0 && !throttles) {
            session.scheduler.report_lateness(late.into());
        }
    }
}
