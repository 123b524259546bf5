//! What goes wrong, as messages on the bus. The texts of the engine say what to do and are passed on as they are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::prelude::*;
use srup_engine::Error;

/// Why the element cannot go on.
#[derive(Debug)]
pub enum Failure {
    /// The engine's reason.
    Engine(Error),
    /// A buffer that does not hold what its caps say.
    Buffer(String),
    /// Upstream's and downstream's caps do not go together.
    Caps(String),
    /// A fault of this software.
    Panic(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    /// What is wrong with the memory of a buffer of that many bytes.
    pub fn of_buffer(bytes: usize, error: &Error) -> Self {
        Self::Buffer(format!("a buffer of {bytes} bytes: {error}"))
    }

    /// The message for the bus.
    pub fn message(&self) -> gst::ErrorMessage {
        match self {
            Self::Engine(error) => engine_message(error),
            Self::Buffer(text) => gst::error_msg!(gst::StreamError::Failed, ("{text}")),
            Self::Caps(text) => gst::error_msg!(gst::CoreError::Negotiation, ("{text}")),
            Self::Panic(text) => {
                gst::error_msg!(gst::CoreError::Failed, ("a fault inside srupscale: {text}; please report it"))
            }
        }
    }

    /// Puts the message on the bus of `element`.
    pub fn post(&self, element: &impl IsA<gst::Element>) {
        element.upcast_ref().post_error_message(self.message());
    }
}

fn engine_message(error: &Error) -> gst::ErrorMessage {
    match error {
        Error::UnknownModel { .. } => gst::error_msg!(gst::ResourceError::NotFound, ("{error}")),
        Error::ScaleUnavailable { .. } => gst::error_msg!(gst::LibraryError::Settings, ("{error}")),
        Error::WeightsFile { .. } | Error::Tensor { .. } | Error::NotANumber { .. } => {
            gst::error_msg!(gst::ResourceError::Read, ("{error}"))
        }
        Error::Memory { .. } | Error::DeviceMemory { .. } => {
            gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{error}"))
        }
        Error::Size { .. } => gst::error_msg!(gst::StreamError::Format, ("{error}")),
        Error::Fault { .. } => gst::error_msg!(gst::CoreError::Failed, ("{error}")),
        Error::Plane { .. } | Error::FrameMismatch { .. } => gst::error_msg!(gst::StreamError::Failed, ("{error}")),
        _ => gst::error_msg!(gst::LibraryError::Init, ("{error}")),
    }
}

/// Runs `work`; a panic becomes a [`Failure`]. Else gstreamer-rs would skip every later call of the element, the one
/// that stops it included.
pub fn guard<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panic".to_owned());
        Err(Failure::Panic(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_with_its_text() {
        let result = guard::<()>(|| panic!("row {} of nothing", 7));
        assert!(matches!(result, Err(Failure::Panic(text)) if text == "row 7 of nothing"));
        assert!(matches!(guard::<()>(|| panic!("plain")), Err(Failure::Panic(text)) if text == "plain"));
        assert_eq!(guard(|| Ok(3)).unwrap(), 3);
    }

    #[test]
    fn the_text_of_the_engine_reaches_the_message() {
        let error = Error::UnknownModel { name: "lama".into(), known: "luma-s, bicubic".into() };
        let text = error.to_string();
        let message = format!("{:?}", Failure::from(error).message());
        assert!(message.contains(&format!("message: Some({text:?})")), "{message}");
    }
}
