// Samples of video planes. A code is what is stored; a value is code / max_code. Samples of f32 are their own code.
#pragma once
#include "common/types.cuh"

enum SampleKind : u32 { SAMPLE_U8 = 0, SAMPLE_U16 = 1, SAMPLE_F32 = 2 };

// One component of a video plane; the host's structure has the same layout. Rows and base are aligned to a sample.
struct Plane {
    u64 base;        // address of row 0
    u32 pitch;       // bytes from row to row
    u32 width;       // samples of this component in a row
    u32 height;      // rows
    u32 kind;        // a SampleKind
    u32 shift;       // u16: unused low bits of the stored word
    u32 group;       // samples in memory per pixel: 1 planar, 2 semi-planar, 3 or 4 packed
    u32 part;        // which of the group
    float max_code;  // code of the value 1; 1 for f32
};

// Address of sample (y, x).
__device__ __forceinline__ u64 sample_address(const Plane& p, u32 y, u32 x) {
    return p.base + (u64)y * p.pitch + ((x * p.group + p.part) << p.kind);
}

// The code of sample (y, x), where the kind is known to the compiler.
template <u32 KIND>
__device__ __forceinline__ float sample_read(const Plane& p, u32 y, u32 x) {
    const u64 at = sample_address(p, y, x);
    if (KIND == SAMPLE_U8) return (float)(u32)__ldg((const u8*)at);
    if (KIND == SAMPLE_U16) return (float)((u32)__ldg((const u16*)at) >> p.shift);
    return __ldg((const float*)at);
}

// The code of sample (y, x).
__device__ __forceinline__ float sample_read(const Plane& p, u32 y, u32 x) {
    if (p.kind == SAMPLE_U8) return sample_read<SAMPLE_U8>(p, y, x);
    if (p.kind == SAMPLE_U16) return sample_read<SAMPLE_U16>(p, y, x);
    return sample_read<SAMPLE_F32>(p, y, x);
}

// The value of sample (y, x), given 1 / max_code.
__device__ __forceinline__ float sample_load(const Plane& p, float inverse, u32 y, u32 x) {
    return sample_read(p, y, x) * inverse;
}

// The code nearest to value * gain, within 0 and the largest code. NaN becomes 0.
__device__ __forceinline__ u32 sample_code(float value, float gain, float max_code) {
    // The conversion itself takes what is below 0, and NaN, to 0.
    return min(__float2uint_rz(__fmaf_rn(value, gain, 0.5f)), (u32)max_code);
}

// Writes sample (y, x): rounded and clamped, except f32, which is stored as it is.
__device__ __forceinline__ void sample_store(const Plane& p, u32 y, u32 x, float value) {
    const u64 at = sample_address(p, y, x);
    if (p.kind == SAMPLE_U8)
        *(u8*)at = (u8)sample_code(value, p.max_code, p.max_code);
    else if (p.kind == SAMPLE_U16)
        *(u16*)at = (u16)(sample_code(value, p.max_code, p.max_code) << p.shift);
    else
        *(float*)at = value;
}

// Whether a value is neither infinite nor NaN.
__device__ __forceinline__ bool is_finite(float v) { return (__float_as_uint(v) & 0x7f800000u) != 0x7f800000u; }

// Sets a word to 1, from whichever threads: they meet there, so the store is an atomic one.
__device__ __forceinline__ void raise(u32* flag) { asm volatile("red.global.or.b32 [%0], 1;" ::"l"(flag) : "memory"); }
