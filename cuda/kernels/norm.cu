// Layer norm of every pixel over its channels, f16 NHWC, in f32: (x - mean) / sqrt(variance + 1e-5) * weight + bias.
//
// The variance is biased and takes a second pass, as mean(x * x) - mean * mean would lose it where the mean is large.
// Weight and bias of padding channels are 0, which keeps them 0. Four lanes share a pixel and take its chunks of 8
// channels in turn. The passes after the first find the pixel in L1.
// Bound: DRAM, 4 bytes a channel.
#include "common/chunk.cuh"

constexpr int BLOCK = 128;
constexpr int LANES = 4;
constexpr float EPSILON = 1e-5f;

__device__ __forceinline__ float sum_of_lanes(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

// `channels` without the padding; `chunks` with it.
extern "C" __global__ void __launch_bounds__(BLOCK)
    layer_norm_f16(const Channels input, const Channels output, const float* __restrict__ weight,
                   const float* __restrict__ bias, u32 pixels, u32 channels, u32 chunks) {
    const u32 found = blockIdx.x * (BLOCK / LANES) + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    // Lanes beyond the end repeat the last pixel: all of a warp must take part in its sums.
    const u32 pixel = min(found, pixels - 1);
    float sum = 0.0f;
    for (u32 c = lane; c < chunks; c += LANES) {
        const Chunk x = load_chunk(input, pixel, c);
#pragma unroll
        for (int e = 0; e < 8; e++) sum += x.v[e];
    }
    const float mean = sum_of_lanes(sum) / channels;
    float squares = 0.0f;
    for (u32 c = lane; c < chunks; c += LANES) {
        const Chunk x = load_chunk(input, pixel, c);
#pragma unroll
        for (int e = 0; e < 8; e++) {
            const float d = 8 * c + e < channels ? x.v[e] - mean : 0.0f;
            squares = __fmaf_rn(d, d, squares);
        }
    }
    const float scale = 1.0f / sqrtf(sum_of_lanes(squares) / channels + EPSILON);
    if (found >= pixels) return;
    for (u32 c = lane; c < chunks; c += LANES) {
        Chunk x = load_chunk(input, pixel, c);
        const Chunk w = load_chunk(weight, c), b = load_chunk(bias, c);
#pragma unroll
        for (int e = 0; e < 8; e++) x.v[e] = __fmaf_rn((x.v[e] - mean) * scale, w.v[e], b.v[e]);
        store_chunk(output, pixel, c, x);
    }
}
