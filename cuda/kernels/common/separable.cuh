// Separable resampling of tiles by tables of taps, in f32, down the columns first, then along the rows.
//
// A block makes a tile of COLUMNS x ROWS outputs of N components. Shared memory holds the columns after the first pass,
// [ROWS][N][PITCH], and the window of input that they need, [rows][N][PITCH]; it begins at a multiple of four columns, so
// that threads move and sum four columns at a time. Along the rows a thread makes every (256 / COLUMNS)th row of one column,
// so that a weight is read once for all of them. Tables are read from global memory: a warp's reads are neighbours, and
// blocks on the same multiprocessor share them in its cache.
// Bound: shared memory, taps * (1 + input width / output width) reads of 4 bytes an output.
#pragma once
#include "common/quad.cuh"

constexpr u32 BLOCK = 256;

// Columns of a window at most, with what it takes to begin at a multiple of four. Enough for 64 outputs that are no
// closer than the inputs, with 8 taps, and for 32 outputs at half the resolution.
constexpr u32 PITCH = 80;

// The taps of one axis: output j is the sum over t of weights[t * outputs + j] * input[starts[j] + t]. All taps lie within
// the input, and starts never decrease.
struct Axis {
    u64 starts;   // u32
    u64 weights;  // f32
    u32 taps;
    u32 outputs;

    __device__ __forceinline__ u32 start(u32 j) const { return __ldg((const u32*)starts + j); }
    __device__ __forceinline__ const float* weights_of(u32 j) const { return (const float*)weights + j; }
};

// The outputs of a tile along one axis, and the inputs that they need.
struct Span {
    u32 first, count;
    u32 in_first, in_count;

    __device__ __forceinline__ Span(const Axis& a, u32 tile, u32 size) {
        first = tile * size;
        count = min(size, a.outputs - first);
        in_first = a.start(first);
        in_count = a.start(first + count - 1) + a.taps - in_first;
    }

    // Widens the inputs to hold [from, to) as well.
    __device__ __forceinline__ void cover(u32 from, u32 to) {
        const u32 end = max(in_first + in_count, to);
        in_first = min(in_first, from);
        in_count = end - in_first;
    }

    // Lets the inputs begin at a multiple of four.
    __device__ __forceinline__ void align() { cover(in_first & ~3u, in_first); }
};

// Rows of quads dealt out to the threads of a block.
struct Deal {
    u32 quads, items, reciprocal;

    __device__ __forceinline__ Deal(u32 columns, u32 rows) {
        quads = (columns + 3) / 4;
        items = quads * rows;
        // item * quads is far below 2^16, which makes the quotient exact.
        reciprocal = 65536 / quads + 1;
    }

    __device__ __forceinline__ u32 row(u32 item) const { return item * reciprocal >> 16; }
    __device__ __forceinline__ u32 column(u32 item) const { return 4 * (item - row(item) * quads); }
};

extern __shared__ float4 separable_memory[];

template <u32 N, u32 COLUMNS, u32 ROWS>
struct Separable {
    static constexpr u32 LINE = N * PITCH;

    Span across, down;
    const Axis &along, &downwards;

    // The tile of this block. Its spans may be widened before windows are loaded.
    __device__ __forceinline__ Separable(const Axis& along_, const Axis& downwards_)
        : across(along_, blockIdx.x, COLUMNS), down(downwards_, blockIdx.y, ROWS), along(along_), downwards(downwards_) {
        across.align();
    }

    // Row 0 of what the passes read and write.
    static __device__ __forceinline__ float* columns() { return (float*)separable_memory; }
    static __device__ __forceinline__ float* window() { return (float*)separable_memory + ROWS * LINE; }

    // The windows of all components; a barrier must follow. read(y, x, values) gives four columns from x on of each.
    template <typename Read>
    __device__ __forceinline__ void load_window(const Read& read) const {
        const Deal deal(across.in_count, down.in_count);
#pragma unroll 1
        for (u32 i = threadIdx.x; i < deal.items; i += BLOCK) {
            const u32 row = deal.row(i), column = deal.column(i);
            float v[N][4];
            read(down.in_first + row, across.in_first + column, v);
#pragma unroll
            for (u32 n = 0; n < N; ++n)
                *(float4*)(window() + row * LINE + n * PITCH + column) = make_float4(v[n][0], v[n][1], v[n][2], v[n][3]);
        }
    }

    // First pass: window to columns, of which those below the picture repeat the last; a barrier must follow.
    __device__ __forceinline__ void run_down() const {
        const Deal deal(across.in_count, ROWS);
#pragma unroll 1
        for (u32 i = threadIdx.x; i < deal.items; i += BLOCK) {
            const u32 row = deal.row(i), column = deal.column(i), y = down.first + min(row, down.count - 1);
            const float* weights = downwards.weights_of(y);
            const float* from = window() + (downwards.start(y) - down.in_first) * LINE + column;
            float4 sums[N] = {};
#pragma unroll 2
            for (u32 t = 0; t < downwards.taps; ++t) {
                const float w = __ldg(weights);
                weights += downwards.outputs;
#pragma unroll
                for (u32 n = 0; n < N; ++n) {
                    const float4 v = *(const float4*)(from + n * PITCH);
                    sums[n].x = __fmaf_rn(v.x, w, sums[n].x), sums[n].y = __fmaf_rn(v.y, w, sums[n].y);
                    sums[n].z = __fmaf_rn(v.z, w, sums[n].z), sums[n].w = __fmaf_rn(v.w, w, sums[n].w);
                }
                from += LINE;
            }
#pragma unroll
            for (u32 n = 0; n < N; ++n) *(float4*)(columns() + row * LINE + n * PITCH + column) = sums[n];
        }
    }

    // Second pass, along the rows from `lines` on: calls emit(x, y, inside, values of N components). Every lane of a warp
    // calls it; those outside the picture with `inside` false.
    template <typename Emit>
    __device__ __forceinline__ void run_along(const float* lines, const Emit& emit) const {
        constexpr u32 GROUPS = BLOCK / COLUMNS, EACH = ROWS / GROUPS;
        const u32 column = threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
        const u32 x = across.first + min(column, across.count - 1);
        const float* weights = along.weights_of(x);
        const float* from = lines + group * LINE + along.start(x) - across.in_first;
        float sums[EACH][N] = {};
#pragma unroll 2
        for (u32 t = 0; t < along.taps; ++t, ++from) {
            const float w = __ldg(weights);
            weights += along.outputs;
#pragma unroll
            for (u32 i = 0; i < EACH; ++i)
#pragma unroll
                for (u32 n = 0; n < N; ++n)
                    sums[i][n] = __fmaf_rn(from[i * GROUPS * LINE + n * PITCH], w, sums[i][n]);
        }
#pragma unroll
        for (u32 i = 0; i < EACH; ++i) {
            const u32 row = group + i * GROUPS;
            emit(x, down.first + row, column < across.count && row < down.count, sums[i]);
        }
    }
};

// Tile of the kernels that enlarge.
constexpr u32 TILE_COLUMNS = 64, TILE_ROWS = 16;

// Writes a packed pixel of four bytes.
__device__ __forceinline__ void store_pixel(const Plane& p, u32 y, u32 x, u32 pixel) {
    const u64 at = p.base + (u64)y * p.pitch + 4 * x;
    if ((at & 3) == 0) {
        *(u32*)at = pixel;
        return;
    }
#pragma unroll
    for (u32 n = 0; n < 4; ++n) ((u8*)at)[n] = (u8)(pixel >> (8 * n));
}

// Writes a packed pixel of three bytes. Four neighbouring lanes put theirs together to three words. All lanes of a warp
// must call it, neighbours with neighbouring x.
__device__ __forceinline__ void store_triple(const Plane& p, u32 y, u32 x, bool inside, u32 pixel) {
    const u64 at = p.base + (u64)y * p.pitch + 3 * x;
    const u32 lane = threadIdx.x & 3;
    const u64 first = at - 3 * lane;
    const u32 next = __shfl_down_sync(~0u, pixel, 1);
    const bool whole = (__ballot_sync(~0u, inside) >> (threadIdx.x & 28) & 15) == 15;
    if (whole && (first & 3) == 0) {
        if (lane < 3) *(u32*)(first + 4 * lane) = pixel >> (8 * lane) | next << (24 - 8 * lane);
        return;
    }
#pragma unroll
    for (u32 n = 0; n < 3; ++n)
        if (inside) ((u8*)at)[n] = (u8)(pixel >> (8 * n));
}

// Writes one sample of each of two components of the same kind, u8 or u16; in one store where they are neighbours at an
// aligned address.
__device__ __forceinline__ void store_pair(const Plane& p, const Plane& q, u32 y, u32 x, u32 first, u32 second) {
    const u64 at = sample_address(p, y, x), other = sample_address(q, y, x);
    const bool pair = p.group == 2 && ((u32)at & ((2 << p.kind) - 1)) == 0;
    if (p.kind == SAMPLE_U8 && pair) {
        *(u16*)at = (u16)(first | second << 8);
    } else if (p.kind == SAMPLE_U8) {
        *(u8*)at = (u8)first, *(u8*)other = (u8)second;
    } else if (pair) {
        *(u32*)at = (first | second << 16) << p.shift;
    } else {
        *(u16*)at = (u16)(first << p.shift), *(u16*)other = (u16)(second << p.shift);
    }
}
