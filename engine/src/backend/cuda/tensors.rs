//! Tensors to device memory and back, in the layouts of networks and single operators. For checks, not for frames.

use half::f16;
use srup_cuda::{Buffer, Device, Image, Map};

use super::lower::IMAGE_CHANNELS;
use super::network::Port;
use crate::Error;
use crate::network::{Block, Network};
use crate::tensor::Tensor;

/// The input on the device, and room for what the network makes of it.
pub fn ports(device: &Device, network: &Network, input: &Tensor) -> Result<(Port, Port), Error> {
    let (height, width) = (input.height, input.width);
    let from = if network.channels <= IMAGE_CHANNELS {
        let buffer = Buffer::from_slice(device, &input.data)?;
        Port::Image(Image::new(&buffer, input.channels, height, width))
    } else {
        Port::Map(Map::new(&Buffer::from_slice(device, &channels_last(input))?, height, width, input.channels))
    };
    let (channels, height, width) = network.shapes(height, width)[network.output];
    // Networks end in a pixel shuffle into planes, operators in maps.
    let ends_in_image = network.steps.iter().any(|step| matches!(step.block, Block::PixelShuffle { .. }));
    let to = if ends_in_image {
        Port::Image(Image::allocate(device, channels, height, width)?)
    } else {
        Port::Map(Map::allocate(device, height, width, channels)?)
    };
    Ok((from, to))
}

/// What a port holds, as a tensor of that shape.
pub fn read(port: &Port, (channels, height, width): (usize, usize, usize)) -> Result<Tensor, Error> {
    let mut tensor = Tensor::zeros(channels, height, width);
    match port {
        Port::Image(image) => image.buffer().read(bytemuck::cast_slice_mut(&mut tensor.data))?,
        Port::Map(map) => {
            let padded = map.shape().2;
            let mut values = vec![f16::ZERO; height * width * padded];
            map.buffer().read(bytemuck::cast_slice_mut(&mut values))?;
            for (i, value) in tensor.data.iter_mut().enumerate() {
                let (channel, pixel) = (i / (height * width), i % (height * width));
                *value = values[pixel * padded + channel].to_f32();
            }
        }
        Port::Plane(_) => return Err(super::network::unfit()),
    }
    Ok(tensor)
}

/// `[height][width][channels]` in f16, channels padded with zeros.
fn channels_last(tensor: &Tensor) -> Vec<f16> {
    let padded = tensor.channels.next_multiple_of(srup_cuda::CHANNEL_STEP);
    let pixels = tensor.plane_len();
    let mut values = vec![f16::ZERO; pixels * padded];
    for (i, &value) in tensor.data.iter().enumerate() {
        values[i % pixels * padded + i / pixels] = f16::from_f32(value);
    }
    values
}
