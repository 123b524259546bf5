// The accumulators of one 16x8 tile, with sums in f32 or in f16, behind one face.
//
// Sums in f16 take half the registers, and GeForce cards run them at twice the rate; the price is their precision.
#pragma once
#include "common/mma.cuh"
#include "common/pack.cuh"

struct SumF32 {
    float v[4];

    // Both rows start at the values of the lane's two columns.
    __device__ __forceinline__ void start(float first, float second) {
        v[0] = v[2] = first;
        v[1] = v[3] = second;
    }

    __device__ __forceinline__ void add(const u32 (&a)[4], uint2 b) { mma_m16n8k16(v, a, b.x, b.y); }

    // Two columns of row g (half 0) or g + 8 (half 1).
    __device__ __forceinline__ u32 packed(int half) const { return pack_half2(v[2 * half], v[2 * half + 1]); }
};

struct SumF16 {
    u32 v[2];

    __device__ __forceinline__ void start(float first, float second) { v[0] = v[1] = pack_half2(first, second); }

    __device__ __forceinline__ void add(const u32 (&a)[4], uint2 b) { mma_m16n8k16(v, a, b.x, b.y); }

    __device__ __forceinline__ u32 packed(int half) const { return v[half]; }
};
