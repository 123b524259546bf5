//! The element in whole pipelines: pictures, caps, buffers, metas, frames in flight, errors, real clips and the built plugin file.

#[path = "element/clips.rs"]
mod clips;
#[path = "element/errors.rs"]
mod errors;
#[path = "element/flight.rs"]
mod flight;
#[path = "element/installed.rs"]
mod installed;
#[path = "element/links.rs"]
mod links;
#[path = "element/metas.rs"]
mod metas;
#[path = "element/negotiation.rs"]
mod negotiation;
#[path = "element/pictures.rs"]
mod pictures;
#[path = "element/pools.rs"]
mod pools;
#[path = "element/precision.rs"]
mod precision;
#[path = "element/quality.rs"]
mod quality;
#[path = "element/sessions.rs"]
mod sessions;
#[path = "element/streams.rs"]
mod streams;
#[path = "element/support.rs"]
mod support;
