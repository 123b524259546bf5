// A chain of 3x3 convolutions with ReLU that goes down a strip of the picture row by row ("row march").
//
// A block owns a strip STRIP columns wide and `rows` rows tall. Each layer ("stage") belongs to warps of its own, and
// its weights stay in their registers. Stages pass rows on through rings in shared memory: at step s the source writes
// a row into ring 0, and layer i reads what ring i - 1 got at step s - 1 and writes ring i. A fragment that was read
// once feeds the three kernel rows through three rolling rows of accumulators, so no row is read twice. One barrier
// a step. A ring has three rows, as many as accumulators, and the step is unrolled by three: all their places are
// constants.
//
// At step s the source writes row y0 + s, layer i finishes row y0 + s - 2i. Of the STRIP columns each layer spoils one
// on both sides; columns and rows outside the picture are set to 0, as the next convolution pads.
#pragma once
#include "common/accumulator.cuh"
#include "common/picture.cuh"
#include "common/sample.cuh"
#include "common/swizzle.cuh"

// The host's structure of the same name has the same layout.
struct MarchArguments {
    Plane input;             // the picture: head, skips
    Plane output;            // what the tail writes
    const u16* source;       // map that the first layer reads, where there is no head
    u16* target;             // map that the last layer writes, where there is no tail
    const uint2* head;       // fragments [WIDTH / 8][32]
    const uint2* body;       // fragments [layer][ky][kx][WIDTH / 16][WIDTH / 8][32]
    const uint2* tail;       // fragments, see tail.cuh
    const float* body_bias;  // [layer][WIDTH]
    const float* tail_bias;  // [MAX_OUTPUTS], in the order of the tail's columns
    u32* flag;               // set to 1 if a result is not finite
    int width;               // of the picture
    int height;
    int rows;                // of a strip
    int scale;
    int layers;              // 3x3 layers between source and sink
    int skip;                // whether the last layer adds the head's features
};

// A chain's geometry. A warp computes TILES x 16 pixels times GROUPS x 8 outputs of a layer.
template <int WIDTH_, int STRIP_, int TILES_, int GROUPS_>
struct Shape {
    static constexpr int WIDTH = WIDTH_;
    static constexpr int STRIP = STRIP_;
    static constexpr int TILES = TILES_;
    static constexpr int GROUPS = GROUPS_;
    static constexpr int CHUNKS = WIDTH / 8;
    static constexpr int SLICES = WIDTH / 16;               // of 16 channels, the depth of an mma
    // Bytes of a pixel, an even number of chunks (6 or 2) where shared memory is short: swizzle.cuh. 32 channels would
    // have the swizzle touch the slice's bit, which costs address registers; so they have a fifth chunk.
    static constexpr int PIXEL = WIDTH == 32 ? 80 : WIDTH * 2;
    static constexpr bool SWIZZLED = PIXEL / 16 % 2 == 0;
    static constexpr int ROW = (STRIP + 2) * PIXEL;         // bytes; one column more on both sides
    static constexpr int RING = 3 * ROW;
    static constexpr int ACROSS = STRIP / 16 / TILES;       // warps side by side
    static constexpr int WARPS = ACROSS * CHUNKS / GROUPS;  // of a layer
};

// Warps that are source and sink of the chain.
constexpr int EDGE_WARPS = 4;

// Outputs of the tail at the most, those that only fill its tiles included.
constexpr int MAX_OUTPUTS = 16;

// Where a block's strip lies.
struct Strip {
    int left;     // picture column of strip column 0
    int top;      // picture row that the source writes at step 0
    int first;    // output rows first..last - 1
    int last;
    int picture;  // picture row of row 0 of the picture's ring
};

// The fragments of pixels `column` + dx - 1 and on of a ring, dx = 0..2 (ring column 0 is one left of the strip's).
template <class S>
struct Fragments {
    u32 address[S::SWIZZLED ? 3 : 1];

    __device__ __forceinline__ void init(u32 ring, u32 column) {
        const u32 lane = threadIdx.x & 31;
#pragma unroll
        for (int dx = 0; dx < (S::SWIZZLED ? 3 : 1); dx++) {
            const u32 p = column + (lane & 15) + dx;
            address[dx] = opaque(ring + p * S::PIXEL + (swizzle<S::PIXEL / 16>(p, lane >> 4) << 4));
        }
    }

    // 16 channels from 16 * slice on, of 16 pixels from 16 * tile on, of a row of the ring.
    __device__ __forceinline__ void load(u32 (&a)[4], int dx, int slice, int tile, int row) const {
        const u32 at = S::SWIZZLED ? address[dx] : address[0] + dx * S::PIXEL;
        ldmatrix_x4(a, at + row * S::ROW + tile * 16 * S::PIXEL + slice * 32);
    }
};

// Biases of the tail, then those of the layers. They are read every step: registers are dearer.
template <class S, bool TAIL>
__device__ __forceinline__ void load_biases(const MarchArguments& a, u32 biases) {
    for (int i = threadIdx.x; i < MAX_OUTPUTS + a.layers * S::WIDTH; i += blockDim.x) {
        float b = 0.0f;
        if (i >= MAX_OUTPUTS)
            b = a.body_bias[i - MAX_OUTPUTS];
        else if (TAIL)
            b = a.tail_bias[i];
        store_shared(biases + 4 * i, __float_as_uint(b));
    }
}

// A warp's share of a 3x3 convolution: its weights and three rolling rows of sums. The newest row r of a ring adds to
// the output rows r - 1, r, r + 1; in phase p (step modulo 3) their sums are number (p + 2) % 3, p, (p + 1) % 3.
template <class S, class Sum, int TILES, int GROUPS>
struct Rolling {
    uint2 weight[3][3][S::SLICES][GROUPS];
    u32 bias;  // where the lane's biases lie in shared memory
    Sum sum[3][TILES][GROUPS];
    Fragments<S> from;

    // `fragments` and `biases` begin at the warp's first group; the whole layer has `groups`.
    __device__ __forceinline__ void init(const uint2* fragments, u32 biases, int groups, u32 ring, int column) {
        const int lane = threadIdx.x & 31;
#pragma unroll
        for (int i = 0; i < 9 * S::SLICES * GROUPS; i++) {
            const int n = i % GROUPS, k = i / GROUPS % S::SLICES, tap = i / GROUPS / S::SLICES;
            weight[tap / 3][tap % 3][k][n] = fragments[((tap * S::SLICES + k) * groups + n) * 32 + lane];
        }
        bias = opaque(biases + 8 * (lane & 3));
        reset<0>(), reset<1>(), reset<2>();
        from.init(ring, column);
    }

    template <int NUMBER>
    __device__ __forceinline__ void reset() {
#pragma unroll
        for (int n = 0; n < GROUPS; n++) {
            const float2 b = load_shared_pair(bias + 32 * n);
#pragma unroll
            for (int m = 0; m < TILES; m++) sum[NUMBER][m][n].start(b.x, b.y);
        }
    }

    template <int PHASE>
    __device__ __forceinline__ void multiply() {
#pragma unroll
        for (int i = 0; i < S::SLICES * 3 * TILES; i++) {
            const int m = i % TILES, dx = i / TILES % 3, k = i / TILES / 3;
            u32 a[4];
            from.load(a, dx, k, m, (PHASE + 2) % 3);
#pragma unroll
            for (int dy = 2; dy >= 0; dy--)
#pragma unroll
                for (int n = 0; n < GROUPS; n++) sum[(PHASE + 4 - dy) % 3][m][n].add(a, weight[dy][dx][k][n]);
        }
    }
};

// The lane's place in a ring row that it writes: pixel `column` + g, first channels of `group`.
template <class S>
__device__ __forceinline__ u32 result_address(u32 ring, int column, int group) {
    const u32 lane = threadIdx.x & 31, p = column + (lane >> 2) + 1;
    return opaque(ring + p * S::PIXEL + (swizzle<S::PIXEL / 16>(p, group) << 4) + 4 * (lane & 3));
}

// The address of chunk n, given that of chunk 0 or, n being 0 or 1, of an even one.
template <class S>
__device__ __forceinline__ u32 chunk_address(u32 chunk, int n) {
    return S::SWIZZLED ? (chunk ^ ((n & 1) << 4)) + (n & ~1) * 16 : chunk + n * 16;
}

// All ones where pixel `column` + g of the strip lies in the picture's columns, else 0.
__device__ __forceinline__ u32 column_mask(const Strip& strip, int width, int column) {
    const int x = strip.left + column + ((threadIdx.x & 31) >> 2);
    return opaque((u32)x < (u32)width ? ~0u : 0u);
}

// One layer's warps.
template <class S, class Sum, bool MAY_SKIP>
struct Layer {
    Rolling<S, Sum, S::TILES, S::GROUPS> conv;
    Head<S::GROUPS, Sum> head;
    u32 to;
    u32 inside[2 * S::TILES];  // column_mask of the lane's pixels
    int column;
    int row;  // that step 0 finishes
    int height;
    bool skip;

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32 biases, u32 rings,
                                         u32 picture) {
        const int layer = warp / S::WARPS, place = warp % S::WARPS, group = place / S::ACROSS * S::GROUPS;
        column = place % S::ACROSS * S::TILES * 16;
        const uint2* fragments = a.body + (layer * 9 * S::SLICES * S::CHUNKS + group) * 32;
        const u32 own = biases + 4 * (MAX_OUTPUTS + layer * S::WIDTH + group * 8);
        conv.init(fragments, own, S::CHUNKS, rings + layer * S::RING, column);
        to = result_address<S>(rings + (layer + 1) * S::RING, column, group);
#pragma unroll
        for (int i = 0; i < 2 * S::TILES; i++) inside[i] = column_mask(strip, a.width, column + 8 * i);
        row = strip.top - 2 * (layer + 1);
        height = a.height;
        skip = MAY_SKIP && a.skip && layer == a.layers - 1;
        if (MAY_SKIP) head.init(a.head, group, picture);
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        constexpr int DONE = (PHASE + 2) % 3;
        conv.template multiply<PHASE>();
        const u32 row_inside = (u32)(row + s) < (u32)height ? ~0u : 0u;
#pragma unroll
        for (int m = 0; m < S::TILES; m++) {
            u32 taps[4];
            if (MAY_SKIP && skip) head.taps(taps, column + 16 * m, s);
#pragma unroll
            for (int n = 0; n < S::GROUPS; n++) {
                u32 v[2] = {relu_half2(conv.sum[DONE][m][n].packed(0)), relu_half2(conv.sum[DONE][m][n].packed(1))};
                if (MAY_SKIP && skip) {
                    const Sum first = head.features(taps, n);
                    v[0] = add_half2(v[0], relu_half2(first.packed(0)));
                    v[1] = add_half2(v[1], relu_half2(first.packed(1)));
                }
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const u32 at = chunk_address<S>(to, n) + PHASE * S::ROW + (16 * m + 8 * half) * S::PIXEL;
                    store_shared(at, v[half] & row_inside & inside[2 * m + half]);
                }
            }
        }
        conv.template reset<DONE>();
    }

    // Every warp of the block passes the same number of barriers.
    __device__ __forceinline__ void walk(int steps) {
#pragma unroll 1
        for (int s = 0; s < steps; s += 3) {
            step<0>(s);
            __syncthreads();
            step<1>(s + 1);
            __syncthreads();
            step<2>(s + 2);
            __syncthreads();
        }
    }
};
