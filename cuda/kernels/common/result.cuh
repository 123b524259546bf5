// What becomes of a convolution's sums: bias, activation, residual, then a feature map or a picture.
//
// The sums of one warp are 2 rows of 16 pixels. A row at a time passes through shared memory, which only this warp
// uses, so that it writes 16 bytes a lane to a map, and neighbouring samples to a picture.
#pragma once
#include "common/chunk.cuh"
#include "common/gelu.cuh"

enum Activation : u32 { ACTIVATION_NONE = 0, ACTIVATION_RELU = 1, ACTIVATION_GELU = 2 };

// The host's structure of the same name has the same layout.
struct ResultArguments {
    Channels map;          // with a base: the result goes to these channels
    Channels residual;     // with a base: scale times these are added after the activation
    const float* bias;     // [outputs], padded to whole tiles
    float* picture;        // without map: the result goes here, f32 [channels][height * shuffle][width * shuffle]
    const float* nearest;  // or null: a picture of the input's size, added to each of its outputs
    int height;            // of the input
    int width;
    u32 chunks;            // of the map that are written; shuffled, of all its shuffle * shuffle parts
    u32 channels;          // of the picture
    u32 shuffle;           // s: output part i * s + j of a map, or channel c * s * s + i * s + j of a picture, goes to
                           // pixel (s * y + i, s * x + j)
    u32 activation;
    float scale;
};

// Keeps NaN.
__device__ __forceinline__ float relu(float v) { return v < 0.0f ? 0.0f : v; }

__device__ __forceinline__ float activate(float v, u32 activation) {
    if (activation == ACTIVATION_GELU) return gelu(v);
    return activation == ACTIVATION_RELU ? relu(v) : v;
}

__device__ __forceinline__ void activate(Chunk& c, u32 activation) {
    if (activation == ACTIVATION_GELU) {
#pragma unroll
        for (int k = 0; k < 8; k++) c.v[k] = gelu(c.v[k]);
    } else if (activation == ACTIVATION_RELU) {
#pragma unroll
        for (int k = 0; k < 8; k++) c.v[k] = relu(c.v[k]);
    }
}

// Sums of PAIRS x 16 outputs from `first` on, for pixels (y, x..x + 15) and (y + 1, ...); `shared` is the warp's own.
template <int PAIRS>
struct Result {
    static constexpr int GROUPS = 2 * PAIRS;
    // Bytes of a pixel, 8 or 24 banks on: the 4 pixels that half a warp writes meet no bank twice. Those 4 apart have
    // the same banks, so each of four such has its pairs of outputs, four to a chunk, in another order.
    static constexpr int PITCH = PAIRS * 64 + 32;
    static constexpr int BYTES = 16 * PITCH;
    float sum[2][GROUPS][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < 8 * GROUPS; i++) sum[i / 4 / GROUPS][i / 4 % GROUPS][i % 4] = 0.0f;
    }

    // What the byte offset of an output is changed by (exclusive or) for pixel p: 4 on, halves of a chunk change places; 8
    // on, pairs of a half.
    __device__ __forceinline__ static u32 turn(int p) { return (p & 4) << 2 | (p & 8); }

    __device__ __forceinline__ void finish(const ResultArguments& a, int first, int y, int x, u32 shared) const {
#pragma unroll
        for (int m = 0; m < 2; m++) {
            const int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
            __syncwarp();
#pragma unroll
            for (int i = 0; i < 2 * GROUPS; i++) {
                const u32 to = shared + (i % 2 * 8 + g) * PITCH + i / 2 * 32 + (t * 8 ^ turn(i % 2 * 8 + g));
                store_shared(to, sum[m][i / 2][i % 2 * 2], sum[m][i / 2][i % 2 * 2 + 1]);
            }
            __syncwarp();
            if (y + m >= a.height) break;
            if (a.map.base)
                row_to_map(a, first, y + m, x, shared);
            else
                row_to_picture(a, first, y + m, x, shared);
        }
    }

    // Eight lanes take the same chunk of eight pixels.
    __device__ __forceinline__ static void row_to_map(const ResultArguments& a, int first, int y, int x, u32 shared) {
#pragma unroll 1
        for (int number = threadIdx.x & 31; number < 16 * GROUPS; number += 32) {
            const int p = number / (8 * GROUPS) * 8 + number % 8, c = number / 8 % GROUPS, column = x + p;
            const u32 chunk = first / 8 + c;
            if (chunk >= a.chunks || column >= a.width) continue;
            const u32 from = shared + p * PITCH + c * 32;
            const u32 half = turn(p) & 16, pair = turn(p) & 8;
            const uint4 low = load_shared_16(from + half), high = load_shared_16(from + 16 - half);
            const u32 bits[8] = {pair ? low.z : low.x, pair ? low.w : low.y, pair ? low.x : low.z, pair ? low.y : low.w,
                                 pair ? high.z : high.x, pair ? high.w : high.y, pair ? high.x : high.z, pair ? high.y : high.w};
            Chunk v = load_chunk(a.bias, chunk);
#pragma unroll
            for (int k = 0; k < 8; k++) v.v[k] += __uint_as_float(bits[k]);
            activate(v, a.activation);
            const u32 pixel = y * a.width + column;
            if (a.residual.base) {
                const Chunk r = load_chunk(a.residual, pixel, chunk);
#pragma unroll
                for (int k = 0; k < 8; k++) v.v[k] = __fmaf_rn(a.scale, r.v[k], v.v[k]);
            }
            if (a.shuffle == 1)
                store_chunk(a.map, pixel, chunk, v);
            else
                store_shuffled(a, y, column, chunk, v);
        }
    }

    __device__ __forceinline__ static void store_shuffled(const ResultArguments& a, int y, int x, u32 chunk,
                                                          const Chunk& v) {
        const u32 s = a.shuffle, part_chunks = a.chunks / (s * s), part = chunk / part_chunks;
        const u64 pixel = (u64)(y * s + part / s) * (a.width * s) + x * s + part % s;
        store_chunk(a.map, pixel, chunk % part_chunks, v);
    }

    // Line i of channel c of the picture has `shuffle` samples of every pixel. Of 3, eight pixels at a time: the ninth would
    // meet the first in its banks.
    __device__ __forceinline__ static void row_to_picture(const ResultArguments& a, int first, int y, int x,
                                                          u32 shared) {
        const int s = a.shuffle, wide = a.width * s, samples = min(16, a.width - x) * s;
        const int lanes = s == 3 ? 24 : 32, lane = threadIdx.x & 31;
#pragma unroll 1
        for (int line = 0; line < (int)a.channels * s; line++) {
            const int c = line / s, i = line % s;
            float* to = a.picture + ((u64)(c * a.height + y) * s + i) * wide + x * s;
            const float* added = a.nearest + (u64)(c * a.height + y) * a.width + x;
#pragma unroll 1
            for (int k = lane < lanes ? lane : samples; k < samples; k += lanes) {
                const int p = k / s, output = c * s * s + i * s + k % s;
                if (output < first || output >= first + PAIRS * 16) continue;
                const float sum = __uint_as_float(load_shared(shared + p * PITCH + ((output - first) * 4 ^ turn(p))));
                const float v = activate(sum + a.bias[output], a.activation);
                to[k] = a.nearest ? v + added[p] : v;
            }
        }
    }
};
