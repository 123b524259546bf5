// Pixel shuffle outside of a convolution: channel c * s * s + i * s + j of a feature map's pixel (y, x) goes to sample
// (s * y + i, s * x + j) of plane c, f32. A thread makes a sample; neighbours write neighbours, and read channels of the
// same pixel or the next.
// Bound: DRAM.
#include "common/chunk.cuh"

constexpr u32 BLOCK = 256;

extern "C" __global__ void __launch_bounds__(BLOCK)
    pixel_shuffle_f16(const Channels input, float* picture, u32 samples, u32 height, u32 width, u32 s) {
    const u32 number = blockIdx.x * BLOCK + threadIdx.x;
    if (number >= samples) return;
    const u32 wide = width * s, line = number / wide, column = number - line * wide;
    const u32 plane = line / (height * s), row = line - plane * (height * s);
    const u32 y = row / s, x = column / s, channel = (plane * s + row - y * s) * s + column - x * s;
    const u64 pixel = (u64)y * width + x;
    picture[number] = from_half(*(const u16*)(input.base + 2 * (pixel * input.pitch + channel)));
}
