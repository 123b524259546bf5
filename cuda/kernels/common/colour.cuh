// Matrices between colours.
#pragma once
#include "common/types.cuh"

// Three sums m[0] * x + m[1] * y + m[2] * z + m[3].
struct Affine {
    float m[3][4];
};

// Sum `row`; the last product is added first, as on the host.
__device__ __forceinline__ float affine(const Affine& a, u32 row, float x, float y, float z) {
    const float* m = a.m[row];
    return __fmaf_rn(m[0], x, __fmaf_rn(m[1], y, __fmaf_rn(m[2], z, m[3])));
}

// A value held within 0 and 1; NaN becomes 0.
__device__ __forceinline__ float clamp_unit(float v) { return __saturatef(v); }
