// Dense convolutions, 1x1 and 3x3, of feature maps or a picture: any number of channels in and out.
//
// A block makes 16x16 pixels times PAIRS x 16 outputs, a warp two rows of 16 pixels: an implicit product of pixels
// times (16 channels x taps). A step stages SLICES x 16 channels of the tile, with its halo, and their weights in
// shared memory while the step before is computed. Inputs are one after another along the channels, each from a slice
// of 16 on. Of 3x3, a fragment of a row serves the three kernel rows. Pixels outside the picture are 0, as the
// convolution pads.
//
// Weights are [output tile][slice][tap][PAIRS][lane] x 16 bytes, the B fragments of two groups of 8 outputs.
// Bound: tensor cores from 32 channels on for 3x3, memory for 1x1.
#include "common/copy.cuh"
#include "common/mma.cuh"
#include "common/result.cuh"
#include "common/swizzle.cuh"

constexpr int TILE = 16;
constexpr int THREADS = 256;

// 16 channels of an input.
struct ConvSlice {
    u64 base;   // address of the first of them at pixel (0, 0)
    u64 pitch;  // bytes from pixel to pixel
};

// The host's structure of the same name has the same layout.
struct ConvArguments {
    ConvSlice first;       // slice 0
    const ConvSlice* all;  // or null: each slice begins 16 channels after the one before
    const float* picture;  // or null: the input is this, f32 [channels][height][width]
    const uint4* weights;
    u32 channels;          // of the picture, up to 16
    u32 slices;
    u32 tiles;             // of outputs
    u32 across;            // tiles of pixels side by side
    ResultArguments result;
};

template <int KERNEL, int PAIRS>
struct Conv {
    static constexpr int TAPS = KERNEL * KERNEL;
    static constexpr int SLICES = KERNEL == 1 ? 2 : 1;
    static constexpr int SIDE = TILE + KERNEL - 1;
    static constexpr int PIXELS = SIDE * SIDE;
    static constexpr int PIXEL_BYTES = PIXELS * 32;  // of a slice
    static constexpr int WEIGHTS = TAPS * PAIRS * 32;  // 16-byte words of a slice
    static constexpr int STAGE = SLICES * (PIXEL_BYTES + WEIGHTS * 16);
    static constexpr int ITEMS = (PIXELS * 2 + THREADS - 1) / THREADS;
    static constexpr int RESULTS = Result<PAIRS>::BYTES * (THREADS / 32);
    static constexpr int BYTES = 2 * STAGE > RESULTS ? 2 * STAGE : RESULTS;
    static constexpr int ROWS = KERNEL + 1;  // of fragments that a warp reads

    const ConvArguments& a;
    u32 memory;
    int tile_y, tile_x, output_tile;
    int pixel[ITEMS];            // that the thread copies half a slice of; -1: outside the picture
    u32 fragment[ROWS][KERNEL];  // addresses in the first stage

    __device__ __forceinline__ Conv(const ConvArguments& arguments, u32 memory_) : a(arguments), memory(memory_) {
        output_tile = blockIdx.x % a.tiles;
        const int tile = blockIdx.x / a.tiles;
        tile_x = tile % a.across * TILE;
        tile_y = tile / a.across * TILE;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) pixel[i] = opaque(pixel_index((threadIdx.x + i * THREADS) / 2));
        const int lane = threadIdx.x & 31, row = threadIdx.x / 32 * 2;
#pragma unroll
        for (int i = 0; i < ROWS * KERNEL; i++) {
            const u32 p = (row + i / KERNEL) * SIDE + i % KERNEL + (lane & 15);
            fragment[i / KERNEL][i % KERNEL] = opaque(memory + p * 32 + (swizzle<2>(p, lane >> 4) << 4));
        }
    }

    // Pixel p of the tile with its halo, in the picture; -1 outside.
    __device__ __forceinline__ int pixel_index(int p) const {
        const int y = tile_y + p / SIDE - KERNEL / 2, x = tile_x + p % SIDE - KERNEL / 2;
        return (u32)y < (u32)a.result.height && (u32)x < (u32)a.result.width ? y * a.result.width + x : -1;
    }

    // Where the thread's chunk of pixel item i lies in a slice.
    __device__ __forceinline__ u32 place(int i) const {
        const u32 number = threadIdx.x + i * THREADS, p = number / 2;
        return p * 32 + (swizzle<2>(p, number % 2) << 4);
    }

    __device__ __forceinline__ void copy_map(u32 slice, u32 to) const {
        ConvSlice input = {a.first.base + slice * 32, a.first.pitch};
        if (a.all) input = a.all[slice];
        const u64 from = input.base + threadIdx.x % 2 * 16;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if ((i + 1) * THREADS > PIXELS * 2 && threadIdx.x + i * THREADS >= PIXELS * 2) break;
            const u64 offset = pixel[i] < 0 ? 0 : (u64)pixel[i] * input.pitch;
            copy_async_16(to + place(i), (const void*)(from + offset), pixel[i] >= 0);
        }
    }

    __device__ __forceinline__ void convert_picture(u32 to) const {
        const u64 plane = (u64)a.result.height * a.result.width;
        const u32 first = threadIdx.x % 2 * 8;
#pragma unroll 1
        for (int number = threadIdx.x; number < PIXELS * 2; number += THREADS) {
            const int p = number / 2, pixel = pixel_index(p);
            u32 word[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const u32 c = first + 2 * k;
                const float* from = a.picture + c * plane + pixel;
                const float v = pixel >= 0 && c < a.channels ? __ldg(from) : 0.0f;
                const float w = pixel >= 0 && c + 1 < a.channels ? __ldg(from + plane) : 0.0f;
                word[k] = pack_half2(v, w);
            }
            const u32 at = to + p * 32 + (swizzle<2>(p, number % 2) << 4);
            store_shared(at, make_uint4(word[0], word[1], word[2], word[3]));
        }
    }

    // Begins to bring step `step` into its half of the memory. A picture is the only step's input.
    template <bool FIRST>
    __device__ __forceinline__ void fetch(u32 step) const {
        const u32 stage = memory + step % 2 * STAGE;
#pragma unroll
        for (int k = 0; k < SLICES; k++) {
            const u32 slice = step * SLICES + k;
            if (slice >= a.slices) break;
            if (FIRST && a.picture)
                convert_picture(stage + k * PIXEL_BYTES);
            else
                copy_map(slice, stage + k * PIXEL_BYTES);
            const uint4* from = a.weights + ((u64)output_tile * a.slices + slice) * WEIGHTS;
            const u32 to = stage + SLICES * PIXEL_BYTES + k * WEIGHTS * 16;
#pragma unroll
            for (int i = 0; i < (WEIGHTS + THREADS - 1) / THREADS; i++) {
                const u32 number = threadIdx.x + i * THREADS;
                if (number < WEIGHTS) copy_async_16(to + number * 16, from + number, true);
            }
        }
        copy_async_commit();
    }

    __device__ __forceinline__ void multiply(Result<PAIRS>& result, u32 step) const {
        const u32 stage = step % 2 * STAGE, lane = threadIdx.x & 31;
#pragma unroll
        for (int k = 0; k < SLICES; k++) {
            if (step * SLICES + k >= a.slices) break;
            const u32 weights = memory + stage + SLICES * PIXEL_BYTES + k * WEIGHTS * 16 + lane * 16;
#pragma unroll
            for (int dx = 0; dx < KERNEL; dx++) {
                u32 rows[ROWS][4];
#pragma unroll
                for (int i = 0; i < ROWS; i++) ldmatrix_x4(rows[i], fragment[i][dx] + stage + k * PIXEL_BYTES);
#pragma unroll
                for (int i = 0; i < KERNEL * PAIRS; i++) {
                    const int dy = i / PAIRS, n = i % PAIRS;
                    const uint4 b = load_shared_16(weights + ((dy * KERNEL + dx) * PAIRS + n) * 512);
#pragma unroll
                    for (int m = 0; m < 2; m++) {
                        mma_m16n8k16(result.sum[m][2 * n], rows[m + dy], b.x, b.y);
                        mma_m16n8k16(result.sum[m][2 * n + 1], rows[m + dy], b.z, b.w);
                    }
                }
            }
        }
    }

    __device__ __forceinline__ void run() const {
        Result<PAIRS> result;
        result.clear();
        const u32 steps = (a.slices + SLICES - 1) / SLICES;
        fetch<true>(0);
#pragma unroll 1
        for (u32 step = 0; step < steps; step++) {
            if (step + 1 < steps) {
                fetch<false>(step + 1);
                copy_async_wait<1>();
            } else {
                copy_async_wait<0>();
            }
            __syncthreads();
            multiply(result, step);
            __syncthreads();
        }
        const int warp = threadIdx.x / 32;
        const u32 own = memory + warp * Result<PAIRS>::BYTES;
        result.finish(a.result, output_tile * PAIRS * 16, tile_y + warp * 2, tile_x, own);
    }
};

template <int KERNEL, int PAIRS>
__device__ __forceinline__ void conv(const ConvArguments& a) {
    using Kernel = Conv<KERNEL, PAIRS>;
    static_assert(Kernel::BYTES <= 48 * 1024, "more than every device gives without being asked");
    __shared__ __align__(128) uint4 memory[Kernel::BYTES / 16];
    Kernel(a, shared_address(memory)).run();
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_1x1_n16_f16(const ConvArguments a) { conv<1, 1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_1x1_n32_f16(const ConvArguments a) { conv<1, 2>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_1x1_n48_f16(const ConvArguments a) { conv<1, 3>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_3x3_n16_f16(const ConvArguments a) { conv<3, 1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_3x3_n32_f16(const ConvArguments a) { conv<3, 2>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 2) conv_3x3_n48_f16(const ConvArguments a) { conv<3, 3>(a); }
