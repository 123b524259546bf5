// Features of 16 pixels in registers, for chains of 1x1 convolutions.
//
// A slice is 16 channels of 16 pixels, the A operand of an mma. With g = lane / 4 and t = lane % 4, a lane holds
// channels 4t to 4t + 3 of pixels g and g + 8: 8 bytes of each, so that maps are read and written in whole sectors
// without shared memory. Registers 0 and 2 are pixel g, 1 and 3 pixel g + 8. The accumulators of 16 outputs have the
// same order, so the results of one convolution are the operands of the next.
//
// The packing of the weights sees to that order. Fragment (n, k) of a convolution is a uint4 a lane: channels 16k + 4t
// to 16k + 4t + 3 of output 16n + 4 * (g / 2) + g % 2, then those of the output two further on.
#pragma once
#include "common/mma.cuh"
#include "common/pack.cuh"

// Four channels of a pixel.
__device__ __forceinline__ uint2 fma_half4(uint2 a, uint2 b, uint2 c) {
    return make_uint2(fma_half2(a.x, b.x, c.x), fma_half2(a.y, b.y, c.y));
}

__device__ __forceinline__ uint2 load_shared_8(u32 address) {
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(address) : "memory");
    return v;
}

__device__ __forceinline__ void store_shared(u32 address, uint2 v) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(address), "r"(v.x), "r"(v.y) : "memory");
}

struct Slice {
    u32 v[4];

    __device__ __forceinline__ uint2 pixel(int half) const { return make_uint2(v[half], v[half + 2]); }

    __device__ __forceinline__ void set_pixel(int half, uint2 value) {
        v[half] = value.x;
        v[half + 2] = value.y;
    }
};

// Sums of 16 outputs of 16 pixels.
struct SliceSum {
    float v[2][4];

    // The lane's four biases of `table`, which begins at the slice's first channel.
    __device__ __forceinline__ void start(const float* table) {
        const float4 b = ((const float4*)table)[threadIdx.x & 3];
        v[0][0] = v[0][2] = b.x;
        v[0][1] = v[0][3] = b.y;
        v[1][0] = v[1][2] = b.z;
        v[1][1] = v[1][3] = b.w;
    }

    __device__ __forceinline__ void add(const Slice& a, uint4 weight) {
        mma_m16n8k16(v[0], a.v, weight.x, weight.y);
        mma_m16n8k16(v[1], a.v, weight.z, weight.w);
    }

    __device__ __forceinline__ void add_pixel(int half, uint2 value) {
        const float2 a = unpack_half2(value.x), b = unpack_half2(value.y);
        v[0][2 * half] += a.x;
        v[0][2 * half + 1] += a.y;
        v[1][2 * half] += b.x;
        v[1][2 * half + 1] += b.y;
    }

    __device__ __forceinline__ void multiply_pixel(int half, uint2 value) {
        const float2 a = unpack_half2(value.x), b = unpack_half2(value.y);
        v[0][2 * half] *= a.x;
        v[0][2 * half + 1] *= a.y;
        v[1][2 * half] *= b.x;
        v[1][2 * half + 1] *= b.y;
    }

    __device__ __forceinline__ void clear() {
        apply([](float) { return 0.0f; });
    }

    // Every sum x becomes f(x).
    template <class F>
    __device__ __forceinline__ void apply(F f) {
#pragma unroll
        for (int i = 0; i < 8; i++) v[i / 4][i % 4] = f(v[i / 4][i % 4]);
    }

    __device__ __forceinline__ Slice packed() const {
        return {{pack_half2(v[0][0], v[0][1]), pack_half2(v[0][2], v[0][3]), pack_half2(v[1][0], v[1][1]),
                 pack_half2(v[1][2], v[1][3])}};
    }
};

// The lane's fragment of a packed convolution whose input has SLICES slices.
template <int SLICES>
__device__ __forceinline__ uint4 slice_weight(const uint4* weight, int n, int k) {
    return weight[(n * SLICES + k) * 32 + (threadIdx.x & 31)];
}

// Sum of the four lanes that share pixels.
__device__ __forceinline__ float sum_of_quad(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

// Layer norm of 16 pixels over all their channels, in place; `table` holds the weights, then the biases.
template <int SLICES>
__device__ __forceinline__ void layer_norm(Slice (&x)[SLICES], const float* table) {
    constexpr float SHARE = 1.0f / (16 * SLICES), EPSILON = 1e-5f;
    const int t = threadIdx.x & 3;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float2 v[SLICES][2];
        float sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (int s = 0; s < SLICES; s++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                v[s][i] = unpack_half2(x[s].v[half + 2 * i]);
                sum += v[s][i].x + v[s][i].y;
            }
        const float mean = sum_of_quad(sum) * SHARE;
#pragma unroll
        for (int s = 0; s < SLICES; s++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                v[s][i].x -= mean;
                v[s][i].y -= mean;
                squares = __fmaf_rn(v[s][i].x, v[s][i].x, __fmaf_rn(v[s][i].y, v[s][i].y, squares));
            }
        const float scale = rsqrtf(__fmaf_rn(sum_of_quad(squares), SHARE, EPSILON));
#pragma unroll
        for (int s = 0; s < SLICES; s++) {
            const float4 w = ((const float4*)table)[4 * s + t], b = ((const float4*)table)[4 * (SLICES + s) + t];
            const float2 first = v[s][0], second = v[s][1];
            x[s].v[half] = pack_half2(__fmaf_rn(first.x * scale, w.x, b.x), __fmaf_rn(first.y * scale, w.y, b.y));
            x[s].v[half + 2] = pack_half2(__fmaf_rn(second.x * scale, w.z, b.z), __fmaf_rn(second.y * scale, w.w, b.w));
        }
    }
}
