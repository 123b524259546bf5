// Frames to planes of f32: YUV, grey or packed RGB to RGB from 0 to 1 (clamped), packed RGB to Y, Cb, Cr, by a matrix from
// codes to values; or Y alone, over its largest code.
//
// Output: [channels][height][width], tight. Without subsampled chroma a thread makes four pixels of a row and a block 256 x 4
// pixels, nothing is shared; with it a block makes 64 x 16 pixels, chroma raised by tables (common/separable.cuh).
// Bound: memory, 12 bytes written a pixel and the codes read once.
#include "common/colour.cuh"
#include "common/quad.cuh"
#include "common/separable.cuh"

// The bounds of the three sums.
struct Limits {
    float lowest, highest;
};

__device__ __forceinline__ float limited(float v, const Limits& limits) {
    return fminf(fmaxf(v, limits.lowest), limits.highest);
}

// Four pixels: matrix, limits, three stores.
__device__ __forceinline__ void store_three(const float (&a)[4], const float (&b)[4], const float (&c)[4],
                                            const Affine& matrix, const Limits& limits, float* image, u64 at,
                                            u64 plane, const Quad& q) {
#pragma unroll
    for (u32 k = 0; k < 3; ++k) {
        float v[4];
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = limited(affine(matrix, k, a[i], b[i], c[i]), limits);
        quad_store(image + k * plane + at, q, v);
    }
}

// Planar YUV without subsampling, or grey.
template <bool CHROMA>
__device__ __forceinline__ void unpack_planar(const Plane& luma, const Plane& u, const Plane& v, const Affine& matrix,
                                              const Limits& limits, float* image) {
    const u32 y = quad_row();
    if (y >= luma.height) return;
    bool aligned = luma.width % 4 == 0 && quad_aligned(luma, y);
    if (CHROMA) aligned = aligned && quad_aligned(u, y) && quad_aligned(v, y);
    const Quad q = quad_of_thread(luma.width, aligned);
    if (q.count == 0) return;
    float a[4], b[4], c[4];
    quad_read(luma, y, q, a);
    if (CHROMA) {
        quad_read(u, y, q, b);
        quad_read(v, y, q, c);
    }
    const u64 plane = (u64)luma.width * luma.height;
    store_three(a, CHROMA ? b : a, CHROMA ? c : a, matrix, limits, image, (u64)y * luma.width, plane, q);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    unpack_444_f32(const Plane luma, const Plane u, const Plane v, const Affine matrix, const Limits limits, float* image) {
    unpack_planar<true>(luma, u, v, matrix, limits, image);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    unpack_gray_f32(const Plane luma, const Affine matrix, const Limits limits, float* image) {
    unpack_planar<false>(luma, luma, luma, matrix, limits, image);
}

// Y over its largest code.
extern "C" __global__ void __launch_bounds__(BLOCK) unpack_y_f32(const Plane luma, float* image) {
    const u32 y = quad_row();
    if (y >= luma.height) return;
    const Quad q = quad_of_thread(luma.width, luma.width % 4 == 0 && quad_aligned(luma, y));
    if (q.count == 0) return;
    const float gain = 1.0f / luma.max_code;
    float v[4];
    quad_read(luma, y, q, v);
#pragma unroll
    for (u32 i = 0; i < 4; ++i) v[i] *= gain;
    quad_store(image + (u64)y * luma.width, q, v);
}

// Packed pixels of three or four bytes; `reversed` where blue comes first.
extern "C" __global__ void __launch_bounds__(BLOCK)
    unpack_rgb_f32(const Plane source, const u32 reversed, const Affine matrix, const Limits limits, float* image) {
    const u32 y = quad_row();
    if (y >= source.height) return;
    const Quad q = quad_of_thread(source.width, source.width % 4 == 0 && quad_aligned(source, y));
    if (q.count == 0) return;
    u32 pixel[4];
    quad_read_pixels(source, y, q, pixel);
    float r[4], g[4], b[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
        const float first = pixel_code(pixel[i], 0), third = pixel_code(pixel[i], 2);
        r[i] = reversed ? third : first, g[i] = pixel_code(pixel[i], 1), b[i] = reversed ? first : third;
    }
    store_three(r, g, b, matrix, limits, image, (u64)y * source.width, (u64)source.width * source.height, q);
}

// YUV with subsampled chroma, which `across` and `down` bring to the places of luma.
extern "C" __global__ void __launch_bounds__(BLOCK)
    unpack_yuv_f32(const Plane luma, const Plane u, const Plane v, const Axis across, const Axis down, const Affine matrix,
                   const Limits limits, float* image) {
    const Separable<2, TILE_COLUMNS, TILE_ROWS> tile(across, down);
    tile.load_window([&](u32 y, u32 x, float(&c)[2][4]) {
        if (u.group == 2) {
            quad_read_pairs(u, y, quad_at(u, y, x), c[0], c[1]);
        } else {
            quad_read(u, y, quad_at(u, y, x), c[0]);
            quad_read(v, y, quad_at(v, y, x), c[1]);
        }
    });
    __syncthreads();
    tile.run_down();
    __syncthreads();
    const u64 plane = (u64)luma.width * luma.height;
    tile.run_along(tile.columns(), [&](u32 x, u32 y, bool inside, const float(&c)[2]) {
        if (!inside) return;
        const float l = luma.kind == SAMPLE_U8 ? sample_read<SAMPLE_U8>(luma, y, x) : sample_read<SAMPLE_U16>(luma, y, x);
        float* at = image + (u64)y * luma.width + x;
#pragma unroll
        for (u32 k = 0; k < 3; ++k) at[k * plane] = limited(affine(matrix, k, l, c[0], c[1]), limits);
    });
}
