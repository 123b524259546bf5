// The exact GELU, x / 2 * (1 + erf(x / sqrt 2)), in f32 within 1e-6.
#pragma once
#include "common/types.cuh"

__device__ __forceinline__ float reciprocal(float v) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

__device__ __forceinline__ float power_of_two(float v) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

// max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2), erfc(z) = polynomial(1 / (1 + p z)) * exp(-z * z) with an error of 1.5e-7
// (Abramowitz and Stegun, 7.1.26; coefficients halved, p divided by sqrt 2).
__device__ __forceinline__ float gelu(float x) {
    const float magnitude = fabsf(x);
    const float t = reciprocal(__fmaf_rn(magnitude, 0.3275911f * 0.70710678f, 1.0f));
    float tail = __fmaf_rn(t, 0.5f * 1.061405429f, 0.5f * -1.453152027f);
    tail = __fmaf_rn(tail, t, 0.5f * 1.421413741f);
    tail = __fmaf_rn(tail, t, 0.5f * -0.284496736f);
    tail = __fmaf_rn(tail, t, 0.5f * 0.254829592f) * t;
    tail *= power_of_two(x * x * (-0.5f * 1.44269504f));
    return __fmaf_rn(-magnitude, tail, fmaxf(x, 0.0f));
}
