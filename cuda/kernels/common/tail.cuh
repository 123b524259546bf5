// The last layer of a luma network: WIDTH channels to scale x scale outputs, shuffled, added to the input sample and
// written as samples.
//
// The tails leave rows of values in shared memory ("staging"); a step later one warp a row turns them into samples,
// four a lane, and writes those in words of four samples where the plane's alignment allows.
//
// Scale 2 has 4 outputs, half the columns of an mma. So two of the three rolling rows share one tile of accumulators:
// rows 0 and 1 of the ring are columns 0..3 and 4..7 of tile 0, row 2 is columns 0..3 of tile 1. Upper and lower
// columns need different kernel rows at the same time; the lane's weights are packed rotated by one for the upper ones.
#pragma once
#include "common/march.cuh"

// Values that a strip's tail has made and nobody has copied yet: two sets of rows, for scales up to MAX_SCALE.
template <int MAX_SCALE, int COLUMNS>
struct Staging {
    // Neighbouring rows start 16 banks apart; of scale 3, which has one row less than there is room for, 24.
    static constexpr int PITCH = (COLUMNS * MAX_SCALE * 4 + 63) / 128 * 128 + 64;
    __device__ __forceinline__ static int pitch(int scale) { return scale == 3 ? PITCH + 32 : PITCH; }
    static constexpr int SET = MAX_SCALE * PITCH;
    static constexpr int BYTES = 2 * SET;
};

// Writes every scale-th row of samples, `count` of them, from shared memory to the plane; one warp.
struct SampleWriter {
    u64 to;     // the row of the next call
    int count;  // 0: the warp has no rows
    bool aligned;

    __device__ __forceinline__ void init(const Plane& p, int y, int x, int count_) {
        to = sample_address(p, 0, x) + (long long)y * p.pitch;
        count = opaque(count_);
        // Words of four samples.
        aligned = p.group == 1 && (to | p.pitch) % (4u << p.kind) == 0;
    }

    __device__ __forceinline__ void row(const Plane& p, u32 from, u32* flag) const {
#pragma unroll 1
        for (int i = (threadIdx.x & 31) * 4; i < count; i += 128) {
            if (aligned && i + 4 <= count) {
                four(p, load_shared_16(from + 4 * i), to + ((u64)i << p.kind), flag);
            } else {
#pragma unroll 1
                for (int k = i; k < min(i + 4, count); k++) {
                    const float v = __uint_as_float(load_shared(from + 4 * k));
                    if (!is_finite(v)) raise(flag);
                    Plane at = p;
                    at.base = to;
                    at.part = 0;
                    sample_store(at, 0, k, v);
                }
            }
        }
    }

    __device__ __forceinline__ void four(const Plane& p, uint4 bits, u64 at, u32* flag) const {
        const float v[4] = {__uint_as_float(bits.x), __uint_as_float(bits.y), __uint_as_float(bits.z),
                            __uint_as_float(bits.w)};
        // The sum is not finite if one of them is not; it overflows far beyond what a picture may be.
        if (!is_finite(fabsf(v[0]) + fabsf(v[1]) + fabsf(v[2]) + fabsf(v[3]))) raise(flag);
        if (p.kind == SAMPLE_F32) {
            *(uint4*)at = bits;
            return;
        }
        u32 c[4];
#pragma unroll
        for (int k = 0; k < 4; k++) c[k] = sample_code(v[k], p.max_code, p.max_code);
        if (p.kind == SAMPLE_U8)
            *(u32*)at = c[0] | c[1] << 8 | c[2] << 16 | c[3] << 24;
        else
            *(uint2*)at = make_uint2((c[0] | c[1] << 16) << p.shift, (c[2] | c[3] << 16) << p.shift);
    }
};

// What the tails of all scales share: where the results of the lane's pixels go, and what is added to them.
template <int MAX_SCALE, int VALUES, int MARGIN, int COLUMNS>
struct Outputs {
    static constexpr int PITCH = Staging<MAX_SCALE, COLUMNS>::PITCH;
    __device__ __forceinline__ static int pitch(int scale) { return Staging<MAX_SCALE, COLUMNS>::pitch(scale); }
    u32 to;      // output (0, 0) of the lane's first pixel in the first set
    u32 from;    // the value of that pixel in row 0 of the picture's ring
    int column;  // strip column of that pixel
    int row;     // ring row of the picture that step 0 adds

    __device__ __forceinline__ void init(int first, u32 staging, u32 picture, int row_, int scale) {
        column = opaque(first + ((threadIdx.x & 31) >> 2));
        to = opaque(staging + (column - MARGIN) * scale * 4);
        // Ring column 0 is one left of the strip.
        from = opaque(value_address<VALUES>(picture, 0, column + 1));
        row = row_;
    }

    // Whether the strip puts out the lane's pixel `i` (8i columns on).
    __device__ __forceinline__ bool wanted(int i) const { return (u32)(column + 8 * i - MARGIN) < (u32)COLUMNS; }

    // The input's value at pixel `i`.
    __device__ __forceinline__ float added(int s, int i) const {
        const u32 line = (u32)(row + s) % VALUES * PictureRing<VALUES>::VALUE_PITCH;
        return __uint_as_float(load_shared(from + line + 32 * i));
    }

    // The place of output (0, 0) of pixel `i`.
    __device__ __forceinline__ u32 place(int s, int i, int scale) const {
        return to + s % 2 * Staging<MAX_SCALE, COLUMNS>::SET + 32 * i * scale;
    }
};

// Scales 3 and 4: two tiles of 8 columns, as many of them used as the scale has outputs. Of scale 4 the columns are the
// outputs in their order, and a lane stores two at once. Of scale 3, columns 2t and 2t + 1 of both tiles are the outputs
// of row t, so that three rows of 8 pixels are stored at once, which meet no bank twice.
template <class S, int MAX_SCALE, int VALUES, int MARGIN, int COLUMNS>
struct Tail {
    // Of 48 channels, a warp cannot hold the weights of both tiles.
    static constexpr int TILES = S::WIDTH > 32 ? 2 : 1;
    static constexpr int GROUPS = S::WIDTH > 32 ? 1 : 2;
    static constexpr int ACROSS = S::STRIP / 16 / TILES;
    Rolling<S, SumF32, TILES, GROUPS> conv;
    Outputs<MAX_SCALE, VALUES, MARGIN, COLUMNS> out;
    int scale;
    int offset[GROUPS][2];  // of the lane's outputs from output (0, 0) of its pixel; -1: columns that fill the tile

    __device__ __forceinline__ void init(const MarchArguments& a, int warp, u32 biases, u32 ring, u32 staging,
                                         u32 picture, int row) {
        const int column = warp % ACROSS * TILES * 16, group = warp / ACROSS * GROUPS;
        conv.init(a.tail + group * 32, biases + 32 * group, 2, ring, column);
        out.init(column, staging, picture, row, a.scale);
        scale = a.scale;
#pragma unroll
        for (int i = 0; i < 2 * GROUPS; i++) {
            const int t = threadIdx.x & 3, pair = (group + i / 2) * 2;
            const int row = scale == 3 ? t : pair + t / 2, place = scale == 3 ? pair + i % 2 : t % 2 * 2 + i % 2;
            const bool used = row < scale && place < scale;
            offset[i / 2][i % 2] = opaque(used ? row * out.pitch(scale) + place * 4 : -1);
        }
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
        constexpr int DONE = (PHASE + 2) % 3;
        conv.template multiply<PHASE>();
#pragma unroll
        for (int i = 0; i < 2 * TILES; i++) {
            if (!out.wanted(i)) continue;
            const float added = out.added(s, i);
            const u32 place = out.place(s, i, scale);
#pragma unroll
            for (int n = 0; n < GROUPS; n++) {
                const float* v = conv.sum[DONE][i / 2][n].v + i % 2 * 2;
                if (scale == 4) {
                    store_shared(place + offset[n][0], v[0] + added, v[1] + added);
                    continue;
                }
                if (offset[n][0] >= 0) store_shared(place + offset[n][0], __float_as_uint(v[0] + added));
                if (offset[n][1] >= 0) store_shared(place + offset[n][1], __float_as_uint(v[1] + added));
            }
        }
        conv.template reset<DONE>();
    }
};

// Scale 2: four outputs, three rolling rows in two tiles.
template <class S, int VALUES, int MARGIN, int COLUMNS>
struct Tail<S, 2, VALUES, MARGIN, COLUMNS> {
    uint2 weight[3][3][S::SLICES];  // kernel row (i - upper) % 3 at i
    float2 bias;
    SumF32 sum[2];
    u32 half;  // which columns of a tile the lane has, lower or upper
    Fragments<S> from;
    Outputs<2, VALUES, MARGIN, COLUMNS> out;

    __device__ __forceinline__ void init(const MarchArguments& a, int warp, u32 biases, u32 ring, u32 staging,
                                         u32 picture, int row) {
        const int lane = threadIdx.x & 31;
#pragma unroll
        for (int i = 0; i < 9 * S::SLICES; i++)
            weight[i / S::SLICES / 3][i / S::SLICES % 3][i % S::SLICES] = a.tail[i * 32 + lane];
        bias = load_shared_pair(biases + 8 * (lane & 1));
        sum[0].start(bias.x, bias.y);
        sum[1].start(bias.x, bias.y);
        from.init(ring, warp * 16);
        out.init(warp * 16, staging + (lane & 1) * out.PITCH, picture, row, 2);
        half = opaque(lane >> 1 & 1);
    }

    template <int PHASE>
    __device__ __forceinline__ void step(int s) {
#pragma unroll
        for (int i = 0; i < 3 * S::SLICES; i++) {
            u32 a[4];
            from.load(a, i % 3, i / 3, 0, (PHASE + 2) % 3);
            sum[0].add(a, weight[(PHASE + 1) % 3][i % 3][i / 3]);
            sum[1].add(a, weight[(PHASE + 2) % 3][i % 3][i / 3]);
        }
        constexpr int DONE = (PHASE + 2) % 3;
        SumF32& done = sum[DONE / 2];
        if (half == DONE % 2) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (!out.wanted(i)) continue;
                const float added = out.added(s, i);
                const u32 to = out.place(s, i, 2);
                store_shared(to, done.v[2 * i] + added, done.v[2 * i + 1] + added);
            }
            done.start(bias.x, bias.y);
        }
    }
};
