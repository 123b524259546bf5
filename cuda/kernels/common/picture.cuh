// The picture in shared memory, and the first layer (1 channel to WIDTH), which reads it.
//
// A few rows as f16, in a ring. Each row is there twice, the second time moved by one sample, so that any two
// neighbours are one aligned 32-bit word. The depth of 16 of one mma holds the 9 taps and the bias, as pairs that the
// lanes t = 0..3 of a fragment read as they are: kernel row 0: samples (0, 1), (2, 3); row 1: the same; row 2: the
// same; (1, 1); nothing. The weights of sample 3 are 0; those of (1, 1) are the bias as a sum of two f16.
#pragma once
#include "common/accumulator.cuh"
#include "common/sample.cuh"

template <int VALUES>
struct PictureRing {
    static constexpr int COPY = 192;   // bytes from a row to its moved copy: 16 banks on
    static constexpr int PITCH = 416;  // bytes of both: 8 banks on
    static constexpr int ROWS = 4;
    // The unrounded values, which the tail adds to its result; these rows stay for longer.
    static constexpr int VALUE_PITCH = 272;
    static constexpr int BYTES = ROWS * PITCH + VALUES * VALUE_PITCH;
};

// Writes the rows, one thread a column, each sample one step before it is needed.
template <int VALUES>
struct PictureLoader {
    using Ring = PictureRing<VALUES>;
    float ahead;  // the sample of the row that the next step writes
    u32 ring;
    int x;
    int column;
    int top;  // picture row of ring row 0

    // `columns` from picture column `left` on; ring row 0 is picture row `top`. Fills three rows.
    __device__ __forceinline__ void init(const Plane& p, u32 ring_, int thread, int columns, int left, int top_) {
        ring = ring_;
        x = left + thread;
        column = thread < columns ? thread : -1;
        top = top_;
#pragma unroll 1
        for (int row = 0; row < 3; row++) {
            ahead = sample(p, row);
            write(row);
        }
        ahead = sample(p, 3);
    }

    __device__ __forceinline__ float sample(const Plane& p, int row) const {
        const int y = top + row;
        const bool inside = (u32)x < p.width && (u32)y < p.height && column >= 0;
        return inside ? sample_load(p, 1.0f / p.max_code, y, x) : 0.0f;
    }

    __device__ __forceinline__ void write(int row) const {
        if (column < 0) return;
        const u32 at = ring + (row % Ring::ROWS) * Ring::PITCH + 2 * column;
        const u16 h = to_half(ahead);
        asm volatile("st.shared.u16 [%0], %1;" ::"r"(at), "h"(h) : "memory");
        if (column > 0) asm volatile("st.shared.u16 [%0], %1;" ::"r"(at + Ring::COPY - 2), "h"(h) : "memory");
        const u32 value = ring + Ring::ROWS * Ring::PITCH + row % VALUES * Ring::VALUE_PITCH + 4 * column;
        store_shared(value, __float_as_uint(ahead));
    }

    // At step s rows s..s + 2 are read; this writes row s + 3.
    __device__ __forceinline__ void step(const Plane& p, int s) {
        write(s + 3);
        ahead = sample(p, s + 4);
    }
};

// The address of value (row, column) of the ring.
template <int VALUES>
__device__ __forceinline__ u32 value_address(u32 ring, int row, int column) {
    using Ring = PictureRing<VALUES>;
    return ring + Ring::ROWS * Ring::PITCH + (u32)row % VALUES * Ring::VALUE_PITCH + 4 * column;
}

// The first layer for 16 pixels at a time and GROUPS x 8 outputs.
template <int GROUPS, class Sum>
struct Head {
    uint2 weight[GROUPS];
    u32 at;  // the lane's word for column 0, less the row

    // Ring column 0 is one left of the strip's column 0.
    __device__ __forceinline__ void init(const uint2* fragments, int first_group, u32 ring) {
        const u32 lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll
        for (int n = 0; n < GROUPS; n++) weight[n] = fragments[(first_group + n) * 32 + lane];
        at = ring + (g & 1) * PictureRing<1>::COPY + 4 * ((g >> 1) + (t & 1));
    }

    // The taps of pixels column..column + 15, `row` being the ring row above them.
    __device__ __forceinline__ void taps(u32 (&a)[4], int column, int row) const {
        const u32 t = threadIdx.x & 3, place = at + 2 * column;
        const u32 upper = place + ((row + (t >> 1)) % PictureRing<1>::ROWS) * PictureRing<1>::PITCH;
        const u32 lower = place + ((u32)(row + 2) % PictureRing<1>::ROWS) * PictureRing<1>::PITCH;
        a[0] = load_shared(upper);
        a[1] = load_shared(upper + 16);
        a[2] = a[3] = t == 2 ? 0x3c003c00u : 0u;
        if (t < 2) {
            a[2] = load_shared(lower);
            a[3] = load_shared(lower + 16);
        }
    }

    __device__ __forceinline__ Sum features(const u32 (&taps)[4], int n) const {
        Sum sum;
        sum.start(0.0f, 0.0f);
        sum.add(taps, weight[n]);
        return sum;
    }
};
