// Depth-wise convolution of any size, f16 NHWC, sums in f32: out = bias + sum over taps of weight * in [+ residual].
//
// Kernels are rows x columns, both odd, with `dilation` pixels from tap to tap; zeros around the picture. Any range of
// channels that begins at a multiple of 8 can be worked on; of its first and last chunk of 8 only channels first..last
// - 1 are written, so that groups of channels may begin anywhere.
//
// A thread makes one chunk of 8 channels of ROWS pixels of a column, so that a weight is read once for all of them.
// Lanes go through the chunks of a pixel, then through the pixels of a row.
// Bound: L1, 16 bytes a tap and chunk, and 32 / ROWS bytes of weights.
#include "common/chunk.cuh"

constexpr int BLOCK = 128;
constexpr int ROWS = 4;

// The host's structure of the same name has the same layout.
struct DepthwiseArguments {
    Channels input;
    Channels output;
    Channels residual;    // base 0: none
    const float* weight;  // [rows][columns][chunks * 8]
    const float* bias;    // [chunks * 8]
    int height;           // of the picture
    int width;
    int chunks;
    int first;            // channels of the range that are written
    int last;
    int rows;             // of the kernel
    int columns;
    int dilation;
};

extern "C" __global__ void __launch_bounds__(BLOCK) depthwise_f16(const DepthwiseArguments a) {
    const u32 i = blockIdx.x * BLOCK + threadIdx.x;
    const int chunk = i % a.chunks, x = i / a.chunks, y = blockIdx.y * ROWS;
    if (x >= a.width) return;
    const Chunk bias = load_chunk(a.bias, chunk);
    Chunk sum[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) sum[r] = bias;
    u32 tap = chunk;
#pragma unroll 1
    for (int ky = 0; ky < a.rows; ky++) {
        const int top = y + (ky - a.rows / 2) * a.dilation;
#pragma unroll 1
        for (int kx = 0; kx < a.columns; kx++, tap += a.chunks) {
            const int sx = x + (kx - a.columns / 2) * a.dilation;
            if ((u32)sx >= (u32)a.width) continue;
            const Chunk w = load_chunk(a.weight, tap);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if ((u32)(top + r) >= (u32)a.height) continue;
                const Chunk v = load_chunk(a.input, (u64)(top + r) * a.width + sx, chunk);
#pragma unroll
                for (int e = 0; e < 8; e++) sum[r].v[e] = __fmaf_rn(w.v[e], v.v[e], sum[r].v[e]);
            }
        }
    }
    const bool whole = 8 * chunk >= a.first && 8 * chunk + 8 <= a.last;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        if (y + r >= a.height) return;
        const u64 pixel = (u64)(y + r) * a.width + x;
        if (a.residual.base) {
            const Chunk v = load_chunk(a.residual, pixel, chunk);
#pragma unroll
            for (int e = 0; e < 8; e++) sum[r].v[e] += v.v[e];
        }
        if (whole) {
            store_chunk(a.output, pixel, chunk, sum[r]);
            continue;
        }
        u16* to = (u16*)chunk_address(a.output, pixel, chunk);
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (8 * chunk + e >= a.first && 8 * chunk + e < a.last) to[e] = to_half(sum[r].v[e]);
    }
}
