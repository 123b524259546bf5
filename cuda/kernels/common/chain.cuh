// The roles of a chain's edge warps and the kernel's body: source, layers, sink (march.cuh says how they go together).
#pragma once
#include "common/copy.cuh"
#include "common/tail.cuh"

// Source: the first layer of a network, from the picture.
template <class S, class Sum>
struct HeadSource {
    static constexpr bool HEAD = true;
    Head<S::CHUNKS, Sum> head;
    u32 to;
    u32 inside[2];  // column_mask of the lane's pixels
    int column;
    int row;
    int height;

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32 ring, u32 picture) {
        column = opaque(warp * 16);
        head.init(a.head, 0, picture);
        to = result_address<S>(ring, column, 0);
        inside[0] = column_mask(strip, a.width, column);
        inside[1] = column_mask(strip, a.width, column + 8);
        row = strip.top;
        height = a.height;
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        if (column >= S::STRIP) return;
        u32 taps[4];
        head.taps(taps, column, s);
        const u32 row_inside = (u32)(row + s) < (u32)height ? ~0u : 0u;
#pragma unroll
        for (int n = 0; n < S::CHUNKS; n++) {
            const Sum sum = head.features(taps, n);
            const u32 at = chunk_address<S>(to, n) + PHASE * S::ROW;
#pragma unroll
            for (int half = 0; half < 2; half++)
                store_shared(at + 8 * half * S::PIXEL, relu_half2(sum.packed(half)) & row_inside & inside[half]);
        }
    }
};

// How the edge warps share out the chunks of a row: 8 neighbouring threads the same chunk of 8 pixels, so that they
// meet no bank twice; from turn to turn a thread keeps its chunk and goes on by STEP pixels.
template <class S>
struct Sharing {
    static constexpr int STEP = EDGE_WARPS * 32 / (8 * S::CHUNKS) * 8;
    int pixel;  // beyond every row for threads that are left over
    int chunk;

    __device__ __forceinline__ void init(int thread) {
        pixel = opaque(thread < STEP * S::CHUNKS ? thread / (8 * S::CHUNKS) * 8 + thread % 8 : 1 << 20);
        chunk = thread / 8 % S::CHUNKS;
    }

    // The place in a ring's row. STEP is a multiple of 16 pixels, after which the swizzle repeats.
    __device__ __forceinline__ u32 place(int first, int turn) const {
        const u32 p = pixel + first;
        return p * S::PIXEL + (swizzle<S::PIXEL / 16>(p, chunk) << 4) + turn * STEP * S::PIXEL;
    }
};

// Source: rows of a map, copied a step before they are read.
template <class S>
struct MapSource {
    static constexpr bool HEAD = false;
    static constexpr int TURNS = (S::STRIP + 2 + Sharing<S>::STEP - 1) / Sharing<S>::STEP;
    Sharing<S> share;
    const u16* from;  // the thread's chunk in row 0 of the map
    u32 to;
    int x;
    int row;
    int width;
    int height;

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32 ring, u32) {
        share.init(warp * 32 + (threadIdx.x & 31));
        x = strip.left - 1 + share.pixel;
        from = a.source + ((long long)x * S::WIDTH + share.chunk * 8);
        to = opaque(ring + share.place(0, 0));
        row = strip.top;
        width = a.width;
        height = a.height;
        copy<0>(0);
    }

    template <int PLACE>
    __device__ __forceinline__ void copy(int s) {
        const int y = row + s;
        const bool row_inside = (u32)y < (u32)height;
        const u16* line = from + (long long)y * width * S::WIDTH;
#pragma unroll
        for (int i = 0; i < TURNS; i++) {
            constexpr int STEP = Sharing<S>::STEP;
            const bool inside = row_inside && (u32)(x + i * STEP) < (u32)width;
            if (share.pixel + i * STEP < S::STRIP + 2)
                copy_async_16(to + PLACE * S::ROW + i * STEP * S::PIXEL, line + i * STEP * S::WIDTH, inside);
        }
        copy_async_commit();
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        copy<(PHASE + 1) % 3>(s + 1);
        copy_async_wait<1>();
    }
};

// Sink: rows of a map, from the last ring.
template <class S, int MARGIN, int COLUMNS>
struct MapSink {
    static constexpr int CONVOLUTIONS = 0;
    static constexpr int STAGING = 0;
    static constexpr int TURNS = (COLUMNS + Sharing<S>::STEP - 1) / Sharing<S>::STEP;
    Sharing<S> share;
    u32 from;
    int left;

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32, u32 ring, u32,
                                         u32) {
        share.init(warp * 32 + (threadIdx.x & 31));
        from = opaque(ring + share.place(MARGIN + 1, 0));
        left = strip.left + MARGIN;
    }

    __device__ __forceinline__ void before(const MarchArguments& a, const Strip& strip, int s) {
        // The row that the last layer finished in the last step.
        const int y = strip.top - 2 * a.layers + s - 1;
        if (y < strip.first || y >= strip.last) return;
        const int pixels = min(COLUMNS, a.width - left) - share.pixel;
        u16* to = a.target + (((long long)y * a.width + left + share.pixel) * S::WIDTH + share.chunk * 8);
        const u32 line = from + (s + 2) % 3 * S::ROW;
#pragma unroll
        for (int i = 0; i < TURNS; i++) {
            constexpr int STEP = Sharing<S>::STEP;
            if (i * STEP < pixels) *(uint4*)(to + i * STEP * S::WIDTH) = load_shared_16(line + i * STEP * S::PIXEL);
        }
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int) {}
};

// Sink: the last layer of a network, to the picture.
template <class S, int MAX_SCALE, int VALUES, int MARGIN, int COLUMNS>
struct TailSink {
    static constexpr int CONVOLUTIONS = 1;
    static constexpr int STAGING = Staging<MAX_SCALE, COLUMNS>::BYTES;
    Tail<S, MAX_SCALE, VALUES, MARGIN, COLUMNS> tail;
    SampleWriter writer;
    u32 staged;
    int row;  // that step 0 writes out: the tail left it in staging a step before

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32 biases, u32 ring,
                                         u32 picture, u32 staging) {
        const int done = strip.top - 2 * (a.layers + 1), left = strip.left + MARGIN, scale = a.scale;
        tail.init(a, warp, biases, ring, staging, picture, done - strip.picture);
        row = done - 1;
        staged = opaque(staging + warp * Staging<MAX_SCALE, COLUMNS>::pitch(scale));
        const int count = warp < scale ? scale * min(COLUMNS, a.width - left) : 0;
        writer.init(a.output, scale * row + warp, scale * left, count);
    }

    __device__ __forceinline__ void before(const MarchArguments& a, const Strip& strip, int s) {
        if (row >= strip.first && row < strip.last)
            writer.row(a.output, staged + (s + 1) % 2 * Staging<MAX_SCALE, COLUMNS>::SET, a.flag);
        row++;
        writer.to += (u64)(MAX_SCALE == 2 ? 2 : a.scale) * a.output.pitch;
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        tail.template step<PHASE>(s);
    }
};

// The edge warps: picture, source, sink.
template <class S, class Source, class Sink, int VALUES>
struct Edge {
    PictureLoader<VALUES> picture;
    Source source;
    Sink sink;

    __device__ __forceinline__ void init(const MarchArguments& a, const Strip& strip, int warp, u32 biases, u32 rings,
                                         u32 pictures, u32 staging) {
        // From the last warps on: the first ones write samples.
        const int thread = (warp * 32 + (threadIdx.x & 31) + 64) % 128;
        if constexpr (VALUES > 0)
            picture.init(a.input, pictures, thread, S::STRIP + 3, strip.left - 1, strip.picture);
        source.init(a, strip, warp, rings, pictures);
        sink.init(a, strip, warp, biases, rings + a.layers * S::RING, pictures, staging);
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        source.template step<PHASE>(s);
        sink.template step<PHASE>(s);
    }

    // What does not depend on the phase is there only once: it is the larger part of the program.
    __device__ __forceinline__ void walk(const MarchArguments& a, const Strip& strip, int steps) {
#pragma unroll 1
        for (int s = 0, phase = 0; s < steps; s++) {
            if constexpr (VALUES > 0) picture.step(a.input, s);
            sink.before(a, strip, s);
            if (phase == 0)
                step<0>(s);
            else if (phase == 1)
                step<1>(s);
            else
                step<2>(s);
            phase = phase == 2 ? 0 : phase + 1;
            __syncthreads();
        }
    }
};

// The kernel: COLUMNS output columns a block, from strip column MARGIN on; up to LAYERS layers. VALUES is the number of
// picture rows whose values stay in shared memory; 0: no picture.
template <class S, class Sum, class Source, class Sink, int LAYERS, int VALUES, int MARGIN, int COLUMNS>
__device__ __forceinline__ void march(const MarchArguments& a) {
    constexpr bool MAY_SKIP = VALUES && !Source::HEAD;
    constexpr int BIASES = (LAYERS * S::WIDTH + MAX_OUTPUTS) * 4, PICTURE = (LAYERS + 1) * S::RING;
    constexpr int STAGED = PICTURE + (VALUES ? PictureRing<VALUES>::BYTES : 0), BYTES = STAGED + Sink::STAGING + BIASES;
    static_assert(BYTES <= 48 * 1024, "more than every device gives without being asked");
    __shared__ __align__(128) uint4 memory[BYTES / 16];
    const u32 rings = shared_address(memory), picture = rings + PICTURE, biases = rings + STAGED + Sink::STAGING;
    // Ring columns and first rows that nobody writes are read all the same.
    for (int i = threadIdx.x; i < STAGED / 16; i += blockDim.x) memory[i] = make_uint4(0, 0, 0, 0);
    load_biases<S, Sink::CONVOLUTIONS>(a, biases);
    __syncthreads();

    const int reach = a.layers + Sink::CONVOLUTIONS, warp = threadIdx.x >> 5, edge = warp - a.layers * S::WARPS;
    Strip strip;
    strip.left = blockIdx.x * COLUMNS - MARGIN;
    strip.first = blockIdx.y * a.rows;
    strip.last = min(strip.first + a.rows, a.height);
    strip.top = strip.first - reach;
    // A head works on the row that the step writes, a skip on the one that the first layer finishes.
    strip.picture = strip.top - 1 - (Source::HEAD ? 0 : 2);
    // Whole turns of the three phases.
    const int steps = (strip.last - strip.first + 3 * reach + 3) / 3 * 3;
    if (edge < 0) {
        Layer<S, Sum, MAY_SKIP> layer;
        layer.init(a, strip, warp, biases, rings, picture);
        __syncthreads();
        layer.walk(steps);
    } else {
        Edge<S, Source, Sink, VALUES> role;
        role.init(a, strip, edge, biases, rings, picture, rings + STAGED);
        __syncthreads();
        role.walk(a, strip, steps);
    }
}
