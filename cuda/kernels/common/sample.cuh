// Samples of video planes. A value is code / max_code.
#pragma once
#include "common/types.cuh"

enum SampleKind : u32 { SAMPLE_U8 = 0, SAMPLE_U16 = 1, SAMPLE_F32 = 2 };

// One component of a video plane; the host's structure has the same layout.
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

__device__ __forceinline__ u32 sample_bytes(u32 kind) { return 1u << kind; }

// Address of sample (y, x).
__device__ __forceinline__ u64 sample_address(const Plane& p, u32 y, u32 x) {
    return p.base + (u64)y * p.pitch + (((u64)x * p.group + p.part) << p.kind);
}

// The value of sample (y, x), given 1 / max_code.
__device__ __forceinline__ float sample_load(const Plane& p, float inverse, u32 y, u32 x) {
    const u64 at = sample_address(p, y, x);
    if (p.kind == SAMPLE_U8) return (float)__ldg((const u8*)at) * inverse;
    if (p.kind == SAMPLE_U16) return (float)(u32)(__ldg((const u16*)at) >> p.shift) * inverse;
    return __ldg((const float*)at);
}

// The nearest code, clamped to the range. NaN becomes 0.
__device__ __forceinline__ u32 sample_code(float value, float max_code) {
    return (u32)(__saturatef(value) * max_code + 0.5f);
}

// Writes sample (y, x): rounded and clamped, except f32, which is stored as it is.
__device__ __forceinline__ void sample_store(const Plane& p, u32 y, u32 x, float value) {
    const u64 at = sample_address(p, y, x);
    if (p.kind == SAMPLE_U8)
        *(u8*)at = (u8)sample_code(value, p.max_code);
    else if (p.kind == SAMPLE_U16)
        *(u16*)at = (u16)(sample_code(value, p.max_code) << p.shift);
    else
        *(float*)at = value;
}

// Whether a value is neither infinite nor NaN.
__device__ __forceinline__ bool is_finite(float v) { return (__float_as_uint(v) & 0x7f800000u) != 0x7f800000u; }
