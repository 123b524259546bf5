// Separable resampling of tiles by tables of taps, in f32, down the columns first, then along the rows.
//
// A tile of COLUMNS x ROWS outputs of N components. In shared memory, in this order:
//   weights along (COLUMNS rows of taps | 1, an odd pitch so that lanes meet different banks), weights down, first taps
//   (relative to the window) along and down, the columns after the first pass [N][ROWS][pitch], and the window of input
//   [N][rows][pitch]. Pitch is the widest window of the picture, rounded up to a multiple of 4.
// Down: a thread makes four neighbouring columns of one row. Along: a thread makes every (256 / COLUMNS)th row of one
// column, so that a weight is read once for all of them.
// Bound: shared memory, about taps * (1 + input width / output width) reads of 4 bytes an output.
#pragma once
#include "common/sample.cuh"

constexpr u32 BLOCK = 256;

// The taps of one axis: output j is the sum over t of weights[j * taps + t] * input[starts[j] + t]. All taps lie within the
// input, and starts never decrease.
struct Axis {
    u64 starts;   // i32
    u64 weights;  // f32
    u32 taps;
    u32 outputs;
};

// The most input that a tile of the picture needs; columns are a multiple of 4.
struct Window {
    u32 columns;
    u32 rows;
};

__device__ __forceinline__ u32 axis_start(const Axis& a, u32 j) { return __ldg((const u32*)a.starts + j); }

// The outputs of a tile along one axis, and the inputs that they need.
struct Span {
    u32 first, count;
    u32 in_first, in_count;

    // Widens the inputs to hold [from, to) as well.
    __device__ __forceinline__ void cover(u32 from, u32 to) {
        const u32 end = max(in_first + in_count, to);
        in_first = min(in_first, from);
        in_count = end - in_first;
    }
};

__device__ __forceinline__ Span span_of(const Axis& a, u32 tile, u32 size) {
    const u32 first = tile * size, count = min(size, a.outputs - first);
    const u32 in_first = axis_start(a, first);
    return {first, count, in_first, axis_start(a, first + count - 1) + a.taps - in_first};
}

extern __shared__ float4 separable_memory[];

template <u32 N, u32 COLUMNS, u32 ROWS>
struct Separable {
    Span across, down;
    u32 across_taps, down_taps;
    u32 pitch, window_rows;
    // Places in shared memory, in values.
    u32 across_weights, down_weights, across_starts, down_starts, columns, window;

    // The tile of this block. Its spans may be widened before `load_tables`.
    __device__ __forceinline__ Separable(const Axis& along, const Axis& downwards, const Window& most)
        : across(span_of(along, blockIdx.x, COLUMNS)), down(span_of(downwards, blockIdx.y, ROWS)),
          across_taps(along.taps), down_taps(downwards.taps), pitch(most.columns), window_rows(most.rows) {
        across_weights = 0;
        down_weights = COLUMNS * (across_taps | 1);
        across_starts = down_weights + ROWS * down_taps;
        down_starts = across_starts + COLUMNS;
        columns = down_starts + ROWS;
        window = columns + N * ROWS * pitch;
    }

    static __device__ __forceinline__ float& value(u32 place) { return ((float*)separable_memory)[place]; }
    static __device__ __forceinline__ u32& index(u32 place) { return ((u32*)separable_memory)[place]; }
    static __device__ __forceinline__ float4& four(u32 place) { return *(float4*)((float*)separable_memory + place); }

    // Tables to shared memory; a barrier must follow.
    __device__ __forceinline__ void load_tables(const Axis& along, const Axis& downwards) {
        constexpr u32 LANES = BLOCK / COLUMNS;
        const u32 column = threadIdx.x / LANES, odd = across_taps | 1;
        if (column < across.count) {
            const float* weights = (const float*)along.weights + (across.first + column) * across_taps;
#pragma unroll 1
            for (u32 t = threadIdx.x % LANES; t < across_taps; t += LANES)
                value(across_weights + column * odd + t) = __ldg(weights + t);
            if (threadIdx.x % LANES == 0)
                index(across_starts + column) = axis_start(along, across.first + column) - across.in_first;
        }
        const float* weights = (const float*)downwards.weights + down.first * down_taps;
#pragma unroll 1
        for (u32 i = threadIdx.x; i < down.count * down_taps; i += BLOCK) value(down_weights + i) = __ldg(weights + i);
        if (threadIdx.x < down.count)
            index(down_starts + threadIdx.x) = axis_start(downwards, down.first + threadIdx.x) - down.in_first;
    }

    // The windows of components FIRST, FIRST + 1, ... to shared memory, as codes; a barrier must follow. Columns up to a
    // multiple of four are filled with the last one.
    template <u32 FIRST, u32 KIND, u32 COUNT>
    __device__ __forceinline__ void load_window(const Plane (&sources)[COUNT]) {
        constexpr u32 WIDTH = 64;
        const u32 width = (across.in_count + 3) & ~3u;
#pragma unroll 1
        for (u32 c = threadIdx.x % WIDTH; c < width; c += WIDTH) {
            const u32 x = across.in_first + min(c, across.in_count - 1);
#pragma unroll 4
            for (u32 r = threadIdx.x / WIDTH; r < down.in_count; r += BLOCK / WIDTH)
#pragma unroll
                for (u32 n = 0; n < COUNT; ++n)
                    value(window + ((FIRST + n) * window_rows + r) * pitch + c) =
                        sample_read<KIND>(sources[n], down.in_first + r, x);
        }
    }

    // First pass: `window` to `columns`; a barrier must follow.
    __device__ __forceinline__ void run_down() {
        const u32 quads = (across.in_count + 3) / 4;
#pragma unroll 1
        for (u32 i = threadIdx.x; i < down.count * quads; i += BLOCK) {
            const u32 row = i / quads, c = 4 * (i - row * quads);
            u32 weight = down_weights + row * down_taps, from = window + index(down_starts + row) * pitch + c;
            float4 sums[N] = {};
#pragma unroll 2
            for (u32 t = 0; t < down_taps; ++t, ++weight, from += pitch) {
                const float w = value(weight);
#pragma unroll
                for (u32 n = 0; n < N; ++n) {
                    const float4 v = four(from + n * window_rows * pitch);
                    sums[n].x = __fmaf_rn(v.x, w, sums[n].x), sums[n].y = __fmaf_rn(v.y, w, sums[n].y);
                    sums[n].z = __fmaf_rn(v.z, w, sums[n].z), sums[n].w = __fmaf_rn(v.w, w, sums[n].w);
                }
            }
#pragma unroll
            for (u32 n = 0; n < N; ++n) four(columns + (n * ROWS + row) * pitch + c) = sums[n];
        }
    }

    // Second pass, along rows from place `lines` on, components `distance` apart: calls emit(x, y, inside, values of N
    // components). Every lane of a warp calls it; those outside the picture with `inside` false and values of a
    // neighbour.
    template <typename Emit>
    __device__ __forceinline__ void run_along(u32 lines, u32 distance, const Emit& emit) {
        constexpr u32 GROUPS = BLOCK / COLUMNS, EACH = ROWS / GROUPS;
        const u32 column = threadIdx.x % COLUMNS, group = threadIdx.x / COLUMNS;
        const u32 held = min(column, across.count - 1);
        const u32 weights = across_weights + held * (across_taps | 1);
        u32 from[EACH];
#pragma unroll
        for (u32 i = 0; i < EACH; ++i)
            from[i] = lines + min(group + i * GROUPS, down.count - 1) * pitch + index(across_starts + held);
        float sums[EACH][N] = {};
#pragma unroll 2
        for (u32 t = 0; t < across_taps; ++t) {
            const float w = value(weights + t);
#pragma unroll
            for (u32 i = 0; i < EACH; ++i)
#pragma unroll
                for (u32 n = 0; n < N; ++n)
                    sums[i][n] = __fmaf_rn(value(from[i] + n * distance + t), w, sums[i][n]);
        }
#pragma unroll
        for (u32 i = 0; i < EACH; ++i) {
            const u32 row = group + i * GROUPS;
            emit(across.first + column, down.first + row, column < across.count && row < down.count, sums[i]);
        }
    }

    template <typename Emit>
    __device__ __forceinline__ void run_along(const Emit& emit) {
        run_along(columns, ROWS * pitch, emit);
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

// Writes one pixel of N codes of a u8 or u16 plane whose group is N, or N + 1 with the largest code in the last place. Groups
// are one store where they are 1, 2 or 4 bytes at an aligned address; packed pixels of three bytes are put together by
// four neighbouring lanes to three words. All lanes of a warp must call it, neighbours with neighbouring x.
template <u32 N>
__device__ __forceinline__ void store_group(const Plane& p, u32 y, u32 x, bool inside, const u32 (&code)[N]) {
    const u64 at = p.base + (u64)y * p.pitch + ((x * p.group) << p.kind);
    if (p.kind == SAMPLE_U16) {
        if (N == 2 && (at & 3) == 0) {
            if (inside) *(u32*)at = (code[0] | code[N - 1] << 16) << p.shift;
            return;
        }
#pragma unroll
        for (u32 n = 0; n < N; ++n)
            if (inside) ((u16*)at)[n] = (u16)(code[n] << p.shift);
        return;
    }
    u32 word = p.group > N ? (u32)p.max_code << (8 * (N & 3)) : 0;
#pragma unroll
    for (u32 n = 0; n < N; ++n) word |= code[n] << (8 * n);
    if (N == 3 && p.group == 3) {
        const u32 lane = threadIdx.x & 3;
        const u32 next = __shfl_down_sync(~0u, word, 1);
        const bool whole = (__ballot_sync(~0u, inside) >> (threadIdx.x & 28) & 15) == 15;
        const u64 first = at - 3 * lane;
        if (whole && (first & 3) == 0) {
            if (lane < 3) *(u32*)(first + 4 * lane) = word >> (8 * lane) | next << (24 - 8 * lane);
            return;
        }
    } else if (((u32)at & (p.group - 1)) == 0) {
        if (!inside) return;
        if (p.group == 1)
            *(u8*)at = (u8)word;
        else if (p.group == 2)
            *(u16*)at = (u16)word;
        else
            *(u32*)at = word;
        return;
    }
#pragma unroll 1
    for (u32 n = 0; inside && n < p.group; ++n) ((u8*)at)[n] = (u8)(word >> (8 * n));
}
