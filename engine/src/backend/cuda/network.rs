//! A network on a device: its operations with their weights, and their launches for a size.

use srup_cuda::kernels::luma::{self, Luma, Sums};
use srup_cuda::{Buffer, Device, Image, Launch, Map, Plane};

use super::blocks::Blocks;
use crate::Error;
use crate::network::{Conv, Layers, Network};

/// What a network reads or writes.
#[derive(Clone, Debug)]
pub enum Port {
    /// One component of a frame's plane.
    Plane(Plane),
    /// Planes of f32.
    Image(Image),
    /// A feature map: inputs and outputs of single operators.
    Map(Map),
}

/// A network whose weights lie on a device; lanes share it.
pub struct DeviceNetwork {
    body: Body,
}

enum Body {
    Luma(Luma, Sums),
    Blocks(Blocks),
}

impl DeviceNetwork {
    /// Brings a network to a device.
    ///
    /// # Errors
    /// [`Error::Backend`] naming a block that has no kernel, or too little memory.
    pub fn new(device: &Device, network: &Network, sums: Sums) -> Result<Self, Error> {
        let body = match luma(device, network)? {
            Some(luma) => Body::Luma(luma, sums),
            None => Body::Blocks(Blocks::new(device, network)?),
        };
        Ok(Self { body })
    }

    /// Whether it reads and writes the planes of frames, instead of planes of f32.
    pub fn takes_planes(&self) -> bool {
        matches!(self.body, Body::Luma(..))
    }

    /// Bytes that it needs beside input and output, for an input of that size.
    pub fn scratch(&self, height: usize, width: usize) -> usize {
        match &self.body {
            Body::Luma(luma, _) => luma.maps() * map_bytes(luma, height, width),
            Body::Blocks(blocks) => blocks.layout(height, width).bytes,
        }
    }

    /// The whole network. A result that is not finite sets the first word of `flag`.
    ///
    /// # Errors
    /// [`Error::Backend`] if the ports do not fit.
    pub fn launches(&self, input: &Port, output: &Port, scratch: &Buffer, flag: &Buffer) -> Result<Vec<Launch>, Error> {
        match (&self.body, input, output) {
            (Body::Luma(luma, sums), _, _) => {
                let (input, output) = (input.plane(), output.plane());
                let (Some(input), Some(output)) = (input, output) else { return Err(unfit()) };
                let (height, width) = input.size();
                let bytes = map_bytes(luma, height, width);
                let map = |i| Map::new(&scratch.part(i * bytes, bytes), height, width, luma.width());
                let maps: Vec<Map> = (0..luma.maps()).map(map).collect();
                Ok(luma.launches(&input, &output, &maps, flag, *sums)?)
            }
            (Body::Blocks(blocks), input, output) => blocks.launches(input, output, scratch),
        }
    }
}

impl Port {
    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Self::Plane(plane) => plane.size(),
            Self::Image(image) => (image.shape().1, image.shape().2),
            Self::Map(map) => (map.shape().0, map.shape().1),
        }
    }

    /// As one plane, if it is that.
    fn plane(&self) -> Option<Plane> {
        match self {
            Self::Plane(plane) => Some(plane.clone()),
            Self::Image(image) if image.shape().0 == 1 => Some(image.plane(0)),
            _ => None,
        }
    }
}

fn map_bytes(luma: &Luma, height: usize, width: usize) -> usize {
    Map::bytes(height, width, luma.width()).next_multiple_of(srup_cuda::ALIGNMENT)
}

pub(super) fn unfit() -> Error {
    Error::Backend { backend: "cuda", reason: "what the network reads or writes does not fit it".into() }
}

/// The network as a chain of convolutions on one plane, if it is one that has kernels of its own.
fn luma(device: &Device, network: &Network) -> Result<Option<Luma>, Error> {
    let Some(Layers { head, body, tail, skip }) = network.luma() else { return Ok(None) };
    if !luma::is_supported(head.cout, body.len()) {
        return Ok(None);
    }
    let body: Vec<_> = body.into_iter().map(layer).collect();
    Ok(Some(Luma::new(device, layer(head), &body, layer(tail), network.scale, skip)?))
}

fn layer(conv: &Conv) -> luma::Layer<'_> {
    luma::Layer { weight: &conv.weight, bias: &conv.bias }
}
