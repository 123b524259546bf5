// Operations on the channels of single pixels, f16 NHWC, in f32. A thread makes one chunk of 8 channels of a pixel;
// lanes go through the chunks of a pixel, then through the pixels. Ranges of channels of larger maps will do as
// operands. The output may be one of the inputs.
// Bound: DRAM.
#include "common/chunk.cuh"

constexpr u32 BLOCK = 256;

struct Place {
    u32 pixel;
    u32 chunk;
    bool inside;
};

__device__ __forceinline__ Place place(u32 pixels, u32 chunks) {
    const u32 i = blockIdx.x * BLOCK + threadIdx.x, pixel = i / chunks;
    return {pixel, i - pixel * chunks, pixel < pixels};
}

// r + min(max(a, 0), 6) * b, the star product of two branches.
extern "C" __global__ void __launch_bounds__(BLOCK)
    star_product_f16(const Channels r, const Channels a, const Channels b, const Channels output, u32 pixels,
                     u32 chunks) {
    const Place p = place(pixels, chunks);
    if (!p.inside) return;
    Chunk sum = load_chunk(r, p.pixel, p.chunk);
    const Chunk u = load_chunk(a, p.pixel, p.chunk), v = load_chunk(b, p.pixel, p.chunk);
#pragma unroll
    for (int e = 0; e < 8; e++) sum.v[e] = __fmaf_rn(fminf(fmaxf(u.v[e], 0.0f), 6.0f), v.v[e], sum.v[e]);
    store_chunk(output, p.pixel, p.chunk, sum);
}

// a * b.
extern "C" __global__ void __launch_bounds__(BLOCK)
    product_f16(const Channels a, const Channels b, const Channels output, u32 pixels, u32 chunks) {
    const Place p = place(pixels, chunks);
    if (!p.inside) return;
    Chunk u = load_chunk(a, p.pixel, p.chunk);
    const Chunk v = load_chunk(b, p.pixel, p.chunk);
#pragma unroll
    for (int e = 0; e < 8; e++) u.v[e] *= v.v[e];
    store_chunk(output, p.pixel, p.chunk, u);
}

// a + scale * b.
extern "C" __global__ void __launch_bounds__(BLOCK)
    add_f16(const Channels a, const Channels b, const Channels output, float scale, u32 pixels, u32 chunks) {
    const Place p = place(pixels, chunks);
    if (!p.inside) return;
    Chunk u = load_chunk(a, p.pixel, p.chunk);
    const Chunk v = load_chunk(b, p.pixel, p.chunk);
#pragma unroll
    for (int e = 0; e < 8; e++) u.v[e] = __fmaf_rn(scale, v.v[e], u.v[e]);
    store_chunk(output, p.pixel, p.chunk, u);
}
