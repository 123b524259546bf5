// f16 values, one in 16 bits or two in 32 (the lower half is the first).
#pragma once
#include "common/types.cuh"

__device__ __forceinline__ u16 to_half(float v) {
    u16 h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(v));
    return h;
}

__device__ __forceinline__ float from_half(u16 h) {
    float v;
    asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(h));
    return v;
}

__device__ __forceinline__ u32 pack_half2(float first, float second) {
#if __CUDA_ARCH__ >= 800
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(second), "f"(first));
    return r;
#else
    return (u32)to_half(first) | ((u32)to_half(second) << 16);
#endif
}

__device__ __forceinline__ float2 unpack_half2(u32 v) {
    return make_float2(from_half((u16)v), from_half((u16)(v >> 16)));
}

__device__ __forceinline__ u32 add_half2(u32 a, u32 b) {
    u32 r;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

__device__ __forceinline__ u32 mul_half2(u32 a, u32 b) {
    u32 r;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

// a * b + c.
__device__ __forceinline__ u32 fma_half2(u32 a, u32 b, u32 c) {
    u32 r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

// max(x, 0) of both halves; NaN stays NaN, so that an overflow is seen at the end. sm_75 has no packed maximum:
// there the signs become masks.
__device__ __forceinline__ u32 relu_half2(u32 v) {
#if __CUDA_ARCH__ >= 800
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(v) : "r"(0));
    return v;
#else
    // -0 and below, except NaN: adding 0x3ff carries into the sign's place from the least NaN on.
    const u32 negative = v & ~((v & 0x7fff7fffu) + 0x03ff03ffu);
    return v & ~(((negative >> 15) & 0x10001u) * 0xffffu);
#endif
}
