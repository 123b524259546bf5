// Eight channels of a pixel of a feature map: one 16-byte access, computed with in f32.
#pragma once
#include "common/pack.cuh"

// Consecutive channels of a map, from a multiple of 8 on; the host's structure has the same layout.
struct Channels {
    u64 base;   // address of the first channel of pixel (0, 0)
    u32 pitch;  // channels of the whole map
};

struct Chunk {
    float v[8];
};

__device__ __forceinline__ const uint4* chunk_address(const Channels& c, u64 pixel, u32 chunk) {
    return (const uint4*)(c.base + 2 * (pixel * c.pitch + 8 * chunk));
}

__device__ __forceinline__ Chunk unpack_chunk(uint4 raw) {
    const float2 a = unpack_half2(raw.x), b = unpack_half2(raw.y), c = unpack_half2(raw.z), d = unpack_half2(raw.w);
    return {{a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y}};
}

__device__ __forceinline__ Chunk load_chunk(const Channels& c, u64 pixel, u32 chunk) {
    return unpack_chunk(*chunk_address(c, pixel, chunk));
}

// Eight values of a table of f32.
__device__ __forceinline__ Chunk load_chunk(const float* table, u32 chunk) {
    const float4 a = __ldg((const float4*)table + 2 * chunk), b = __ldg((const float4*)table + 2 * chunk + 1);
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

__device__ __forceinline__ void store_chunk(const Channels& c, u64 pixel, u32 chunk, const Chunk& value) {
    const float* v = value.v;
    *(uint4*)chunk_address(c, pixel, chunk) = make_uint4(pack_half2(v[0], v[1]), pack_half2(v[2], v[3]),
                                                         pack_half2(v[4], v[5]), pack_half2(v[6], v[7]));
}
