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
    float inverse;
    u32 to;  // the column in row 0 of the ring
    int column;
    u64 from;  // the sample after `ahead`
    u32 row;   // its row in the picture; above it: beyond 2^31

    // `columns` from picture column `left` on; ring row 0 is picture row `top`. Fills three rows.
    __device__ __forceinline__ void init(const Plane& p, u32 ring, int thread, int columns, int left, int top) {
        to = opaque(ring + 2 * thread);
        // Columns outside the picture are filled, but never read from it.
        column = opaque(thread < columns ? thread : -1);
        const bool outside = column < 0 || (u32)(left + thread) >= p.width;
        inverse = outside ? 0.0f : 1.0f / p.max_code;
        from = sample_address(p, 0, outside ? 0 : left + thread) + (long long)top * p.pitch;
        row = top;
#pragma unroll 1
        for (int i = 0; i < 3; i++) {
            fetch(p);
            write(i);
        }
        fetch(p);
    }

    __device__ __forceinline__ void fetch(const Plane& p) {
        ahead = 0.0f;
        if (row < p.height && inverse != 0.0f) {
            if (p.kind == SAMPLE_U8)
                ahead = (float)(u32)__ldg((const u8*)from) * inverse;
            else if (p.kind == SAMPLE_U16)
                ahead = (float)((u32)__ldg((const u16*)from) >> p.shift) * inverse;
            else
                ahead = __ldg((const float*)from);
        }
        from += p.pitch;
        row++;
    }

    __device__ __forceinline__ void write(u32 i) const {
        if (column < 0) return;
        const u32 at = to + i % Ring::ROWS * Ring::PITCH;
        const u16 h = to_half(ahead);
        asm volatile("st.shared.u16 [%0], %1;" ::"r"(at), "h"(h) : "memory");
        if (column > 0) asm volatile("st.shared.u16 [%0], %1;" ::"r"(at + Ring::COPY - 2), "h"(h) : "memory");
        const u32 value = to + 2 * column + Ring::ROWS * Ring::PITCH + i % VALUES * Ring::VALUE_PITCH;
        store_shared(value, __float_as_uint(ahead));
    }

    // At step s rows s..s + 2 are read; this writes row s + 3.
    __device__ __forceinline__ void step(const Plane& p, int s) {
        write(s + 3);
        fetch(p);
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
    u32 at;    // the lane's word for column 0, less the row
    u32 row;   // the lane's of the two upper rows
    u32 rest;  // what the lane has instead of taps of the lowest row: bias or nothing

    // Ring column 0 is one left of the strip's column 0.
    __device__ __forceinline__ void init(const uint2* fragments, int first_group, u32 ring) {
        const u32 lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll
        for (int n = 0; n < GROUPS; n++) weight[n] = fragments[(first_group + n) * 32 + lane];
        at = opaque(ring + (g & 1) * PictureRing<1>::COPY + 4 * ((g >> 1) + (t & 1)));
        row = opaque(t >> 1);
        rest = opaque(t == 2 ? 0x3c003c00u : 0u);
    }

    // The taps of pixels column..column + 15, `above` being the ring row above them.
    __device__ __forceinline__ void taps(u32 (&a)[4], int column, int above) const {
        const u32 place = at + 2 * column;
        const u32 upper = place + (above + row) % PictureRing<1>::ROWS * PictureRing<1>::PITCH;
        const u32 lower = place + (u32)(above + 2) % PictureRing<1>::ROWS * PictureRing<1>::PITCH;
        a[0] = load_shared(upper);
        a[1] = load_shared(upper + 16);
        a[2] = a[3] = rest;
        if ((threadIdx.x & 3) < 2) {
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
