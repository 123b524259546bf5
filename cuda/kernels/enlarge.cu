// Planes of codes enlarged by a whole factor, 2, 3 or 4, by tables of taps: output (y, x) is the sum over a of down[y][a] times
// the sum over b of along[x][b] * input(y / FACTOR + a - 3, x / FACTOR + b - 3), computed down the columns first, rounded
// and clamped. Weights of inputs outside of the plane are 0.
//
// A warp works by itself on a strip of the plane: a lane holds four neighbouring samples of a row (of a pair of
// interleaved components: two pixels), seven rows of them in registers, and goes down STEPS rows. Each row gives FACTOR
// rows of column sums; their neighbours come from other lanes by shuffles, so that the outer one or two lanes at each
// side of a strip only help. Weights along the rows repeat with the factor, and stay in registers; at the plane's
// left and right edge they do not, and warps there read them from the table. Components that lie in planes of their
// own but have the same size are the layers of the grid.
// Bound: arithmetic, 14 multiply-adds an output; each byte is requested once but for the strips' overlap.
#include "common/quad.cuh"

constexpr u32 REACH = 3, TAPS = 2 * REACH + 1;
constexpr u32 WARPS = 4, STEPS = 8;

// Weights j of a table, whose rows are padded to eight.
__device__ __forceinline__ void load_weights(u64 table, u32 j, float (&w)[TAPS]) {
    const float4* row = (const float4*)table + 2 * j;
    const float4 a = __ldg(row), b = __ldg(row + 1);
    w[0] = a.x, w[1] = a.y, w[2] = a.z, w[3] = a.w, w[4] = b.x, w[5] = b.y, w[6] = b.z;
}

// Four samples from `first` on of row y as they lie in memory. Outside of the plane the nearest are read instead.
__device__ __forceinline__ uint2 fetch(const Plane& p, int y, int first) {
    const u64 row = p.base + (u64)min(max(y, 0), (int)p.height - 1) * p.pitch;
    const int last = p.width * p.group - 1;
    const bool bytes = p.kind == SAMPLE_U8;
    if (first >= 0 && first + 3 <= last && ((u32)row & (bytes ? 3 : 7)) == 0) {
        if (bytes) return make_uint2(__ldg((const u32*)(row + first)), 0);
        return __ldg((const uint2*)(row + 2 * first));
    }
    u64 word = 0;
#pragma unroll 1
    for (int i = 3; i >= 0; --i) {
        const int at = min(max(first + i, 0), last);
        word = bytes ? word << 8 | __ldg((const u8*)row + at) : word << 16 | __ldg((const u16*)row + at);
    }
    return make_uint2((u32)word, (u32)(word >> 32));
}

// The codes of what was fetched.
__device__ __forceinline__ void unfold(const Plane& p, uint2 word, float (&v)[4]) {
    if (p.kind == SAMPLE_U8) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = (float)((word.x >> (8 * i)) & 0xff);
    } else {
        v[0] = (float)((word.x & 0xffff) >> p.shift), v[1] = (float)(word.x >> 16 >> p.shift);
        v[2] = (float)((word.y & 0xffff) >> p.shift), v[3] = (float)(word.y >> 16 >> p.shift);
    }
}

// The lane's four values of a line with those that lie within reach on both sides.
template <u32 GROUP>
struct Line {
    static constexpr u32 HALO = REACH * GROUP;
    float value[2 * HALO + 4];

    __device__ __forceinline__ Line(const float (&own)[4]) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) value[HALO + i] = own[i];
#pragma unroll
        for (u32 i = 0; i < HALO; ++i) {
            // The value i + 1 places left of the first, and right of the last.
            value[HALO - 1 - i] = __shfl_up_sync(~0u, own[3 - i % 4], i / 4 + 1);
            value[HALO + 4 + i] = __shfl_down_sync(~0u, own[i % 4], i / 4 + 1);
        }
    }

    // The sum around own sample k.
    __device__ __forceinline__ float sum(u32 k, const float (&w)[TAPS]) const {
        float sum = 0.0f;
#pragma unroll
        for (u32 t = 0; t < TAPS; ++t) sum = __fmaf_rn(value[k + t * GROUP], w[t], sum);
        return sum;
    }
};

// Writes the first `count` of COUNT neighbouring samples from number `first` of row y on.
template <u32 COUNT>
__device__ __forceinline__ void store_codes(const Plane& p, u32 y, u32 first, u32 count, const u32 (&code)[COUNT]) {
    const u64 at = p.base + (u64)y * p.pitch + (first << p.kind);
    // As words of as many bytes as all of them divide into.
    constexpr u32 BYTES = COUNT % 16 == 0 ? 16 : COUNT % 8 == 0 ? 8 : 4;
    if (p.kind == SAMPLE_U8) {
        if (count < COUNT || ((u32)at & (BYTES - 1)) != 0) {
#pragma unroll
            for (u32 i = 0; i < COUNT; ++i)
                if (i < count) ((u8*)at)[i] = (u8)code[i];
            return;
        }
        u32 word[COUNT / 4];
#pragma unroll
        for (u32 i = 0; i < COUNT / 4; ++i)
            word[i] = code[4 * i] | code[4 * i + 1] << 8 | code[4 * i + 2] << 16 | code[4 * i + 3] << 24;
#pragma unroll
        for (u32 i = 0; i < COUNT / 4; i += BYTES / 4) {
            if (BYTES == 16)
                ((uint4*)at)[i / 4] = make_uint4(word[i], word[i + 1], word[i + 2], word[i + 3]);
            else if (BYTES == 8)
                ((uint2*)at)[i / 2] = make_uint2(word[i], word[i + 1]);
            else
                ((u32*)at)[i] = word[i];
        }
        return;
    }
    if (count < COUNT || ((u32)at & 7) != 0) {
#pragma unroll
        for (u32 i = 0; i < COUNT; ++i)
            if (i < count) ((u16*)at)[i] = (u16)(code[i] << p.shift);
        return;
    }
#pragma unroll
    for (u32 i = 0; i < COUNT; i += 4)
        ((uint2*)at)[i / 4] = make_uint2((code[i] | code[i + 1] << 16) << p.shift, (code[i + 2] | code[i + 3] << 16) << p.shift);
}

// Which of the lane's samples output i of its COUNT lies upon.
template <u32 FACTOR, u32 GROUP>
__device__ constexpr u32 sample_of(u32 i) {
    return i / GROUP / FACTOR * GROUP + i % GROUP;
}

template <u32 FACTOR, u32 GROUP>
__device__ __forceinline__ void enlarge(const Plane& source, const Plane& target, u64 across, u64 down) {
    constexpr u32 SIDE = (REACH * GROUP + 3) / 4, STRIP = 4 * (32 - 2 * SIDE), COUNT = 4 * FACTOR;
    const u32 lane = threadIdx.x % 32;
    const int first = blockIdx.x * STRIP + 4 * ((int)lane - (int)SIDE), samples = source.width * GROUP;
    const int top = (blockIdx.y * WARPS + threadIdx.x / 32) * STEPS;
    if (top >= (int)source.height) return;
    const int pixel = first / (int)GROUP, pixels = 4 / GROUP;
    const bool helps = lane < SIDE || lane >= 32 - SIDE || first >= samples;  // and stores nothing
    const bool inner = pixel >= (int)REACH && pixel + pixels + (int)REACH <= (int)source.width;
    const bool periodic = __all_sync(~0u, inner || helps);
    float phase[FACTOR][TAPS];
#pragma unroll
    for (u32 f = 0; f < FACTOR; ++f) load_weights(across, source.width / 2 * FACTOR + f, phase[f]);

    uint2 fetched[TAPS];
#pragma unroll
    for (u32 t = 0; t < TAPS; ++t) fetched[t] = fetch(source, top + (int)t - (int)REACH, first);
    float rows[TAPS][4];
#pragma unroll
    for (u32 t = 1; t < TAPS; ++t) unfold(source, fetched[t - 1], rows[t]);
    uint2 next = fetched[TAPS - 1];

    const u32 end = min(target.height, (top + STEPS) * FACTOR), room = target.width * GROUP;
    const u32 x = first * FACTOR, count = helps ? 0 : min(room - x, COUNT);
#pragma unroll 1
    for (u32 y = top * FACTOR; y < end; ++y) {
        if (y % FACTOR == 0) {
#pragma unroll
            for (u32 t = 0; t + 1 < TAPS; ++t)
#pragma unroll
                for (u32 i = 0; i < 4; ++i) rows[t][i] = rows[t + 1][i];
            unfold(source, next, rows[TAPS - 1]);
            next = fetch(source, (int)(y / FACTOR + 1 + REACH), first);
        }
        float w[TAPS], own[4] = {}, sums[COUNT];
        load_weights(down, y, w);
#pragma unroll
        for (u32 t = 0; t < TAPS; ++t)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) own[i] = __fmaf_rn(rows[t][i], w[t], own[i]);
        const Line<GROUP> line(own);
        if (periodic) {
#pragma unroll
            for (u32 i = 0; i < COUNT; ++i) sums[i] = line.sum(sample_of<FACTOR, GROUP>(i), phase[i / GROUP % FACTOR]);
        } else {
#pragma unroll
            for (u32 i = 0; i < COUNT; ++i) {
                const int j = pixel * (int)FACTOR + (int)(i / GROUP);
                load_weights(across, min(max(j, 0), (int)target.width - 1), w);
                sums[i] = line.sum(sample_of<FACTOR, GROUP>(i), w);
            }
        }
        u32 code[COUNT];
#pragma unroll
        for (u32 i = 0; i < COUNT; ++i) code[i] = sample_code(sums[i], 1.0f, target.max_code);
        if (count > 0) store_codes(target, y, x, count, code);
    }
}

// The plane of this block's layer, field by field: parameters have no addresses.
__device__ __forceinline__ Plane of_layer(const Plane& a, const Plane& b) {
    const bool first = blockIdx.z == 0;
    return {first ? a.base : b.base,     first ? a.pitch : b.pitch, first ? a.width : b.width,
            first ? a.height : b.height, first ? a.kind : b.kind,   first ? a.shift : b.shift,
            first ? a.group : b.group,   first ? a.part : b.part,   first ? a.max_code : b.max_code};
}

#define ENLARGE(FACTOR, GROUP)                                                                                  \
    extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                    \
        enlarge_##FACTOR##x##GROUP##_f32(const Plane source, const Plane source_1, const Plane target,          \
                                         const Plane target_1, const u64 across, const u64 down) {              \
        enlarge<FACTOR, GROUP>(of_layer(source, source_1), of_layer(target, target_1), across, down);           \
    }

ENLARGE(2, 1)
ENLARGE(2, 2)
ENLARGE(3, 1)
ENLARGE(3, 2)
ENLARGE(4, 1)
ENLARGE(4, 2)
