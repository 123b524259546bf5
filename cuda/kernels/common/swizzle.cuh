// Where the 16-byte chunks (8 channels) of a pixel lie in shared memory.
//
// ldmatrix and the epilogues touch the same chunk of 8 neighbouring pixels at once. The exclusive or moves those 8 to 8
// different groups of 4 banks, for any first pixel; so does, with none, a pixel of an odd number of chunks.
#pragma once
#include "common/types.cuh"

// The place, among the chunks of pixel `p`, of chunk `c`, where a pixel has CHUNKS of them.
template <int CHUNKS>
__device__ __forceinline__ u32 swizzle(u32 p, u32 c) {
    if (CHUNKS % 8 == 0) return c ^ (p & 7);
    if (CHUNKS % 4 == 0) return c ^ ((p >> 1) & 3);
    if (CHUNKS % 2 == 0) return c ^ ((p >> 2) & 1);
    return c;
}
