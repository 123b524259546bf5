// Planes of f32 to frames: RGB from 0 to 1 (clamped) to YUV, grey or packed RGB; Y from 0 to 1 to codes; for luma networks
// on RGB input, Y at the size of the output with Cb and Cr at the size of the input to packed RGB. Alpha comes from the input
// frame. What is raised or lowered goes by tables (common/separable.cuh).
//
// Input: [channels][height][width], tight. A value that is infinite or not a number sets `flag` to 1; no other value is
// ever written to it. Without resampling a thread makes four pixels of a row and a block 256 x 4 pixels; with it a block
// makes 64 x 16 pixels. Bound: memory, 12 bytes read a pixel (16 x 64 pixels with lowered chroma request up to 1.8 times
// that, the halo from L2), 1 to 4 bytes written.
#include "common/colour.cuh"
#include "common/quad.cuh"
#include "common/separable.cuh"

struct Rgb {
    float r[4], g[4], b[4];
};

// Zero if all four values are numbers, else not a number: so is zero times what is none.
__device__ __forceinline__ float zero_if_finite(const float (&v)[4]) {
    return __fmaf_rn(v[0], 0.0f, __fmaf_rn(v[1], 0.0f, __fmaf_rn(v[2], 0.0f, v[3] * 0.0f)));
}

// Four pixels of a row that begins at `row`, clamped; false if one of them is infinite or not a number.
__device__ __forceinline__ bool load_rgb(const float* row, u64 plane, const Quad& q, Rgb& c) {
    quad_load(row, q, c.r);
    quad_load(row + plane, q, c.g);
    quad_load(row + 2 * plane, q, c.b);
    const bool finite = zero_if_finite(c.r) + zero_if_finite(c.g) + zero_if_finite(c.b) == 0.0f;
#pragma unroll
    for (u32 i = 0; i < 4; ++i) c.r[i] = clamp_unit(c.r[i]), c.g[i] = clamp_unit(c.g[i]), c.b[i] = clamp_unit(c.b[i]);
    return finite;
}

__device__ __forceinline__ void quad_write_sum(const Plane& p, u32 y, const Quad& q, const Affine& matrix, u32 row,
                                               const Rgb& c) {
    u32 code[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) code[i] = sample_code(affine(matrix, row, c.r[i], c.g[i], c.b[i]), 1.0f, p.max_code);
    quad_write(p, y, q, code);
}

// RGB to planar YUV without subsampling, or to grey.
template <bool CHROMA>
__device__ __forceinline__ void pack_planar(const float* image, const Plane& luma, const Plane& u, const Plane& v,
                                            const Affine& matrix, u32* flag) {
    const u32 y = quad_row();
    if (y >= luma.height) return;
    bool aligned = luma.width % 4 == 0 && quad_aligned(luma, y);
    if (CHROMA) aligned = aligned && quad_aligned(u, y) && quad_aligned(v, y);
    const Quad q = quad_of_thread(luma.width, aligned);
    if (q.count == 0) return;
    Rgb c;
    if (!load_rgb(image + (u64)y * luma.width, (u64)luma.width * luma.height, q, c)) raise(flag);
    quad_write_sum(luma, y, q, matrix, 0, c);
    if (CHROMA) {
        quad_write_sum(u, y, q, matrix, 1, c);
        quad_write_sum(v, y, q, matrix, 2, c);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_444_f32(const float* image, const Plane luma, const Plane u, const Plane v, const Affine matrix, u32* flag) {
    pack_planar<true>(image, luma, u, v, matrix, flag);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_gray_f32(const float* image, const Plane luma, const Affine matrix, u32* flag) {
    pack_planar<false>(image, luma, luma, luma, matrix, flag);
}

// Y from 0 to 1 to its codes.
extern "C" __global__ void __launch_bounds__(BLOCK) pack_y_f32(const float* image, const Plane luma, u32* flag) {
    const u32 y = quad_row();
    if (y >= luma.height) return;
    const Quad q = quad_of_thread(luma.width, luma.width % 4 == 0 && quad_aligned(luma, y));
    if (q.count == 0) return;
    float v[4];
    quad_load(image + (u64)y * luma.width, q, v);
    if (zero_if_finite(v) != 0.0f) raise(flag);
    u32 code[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) code[i] = sample_code(v[i], luma.max_code, luma.max_code);
    quad_write(luma, y, q, code);
}

// A packed pixel; `last` is its fourth byte, in place.
__device__ __forceinline__ u32 pixel_of(float r, float g, float b, u32 reversed, u32 last) {
    const u32 first = sample_code(reversed ? b : r, 255.0f, 255.0f), third = sample_code(reversed ? r : b, 255.0f, 255.0f);
    return first | sample_code(g, 255.0f, 255.0f) << 8 | third << 16 | last;
}

// RGB to packed pixels of three bytes, or of four of which the last is unused (255); `reversed` where blue comes first.
extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_rgb_f32(const float* image, const Plane target, const u32 reversed, u32* flag) {
    const u32 y = quad_row();
    if (y >= target.height) return;
    const Quad q = quad_of_thread(target.width, target.width % 4 == 0 && quad_aligned(target, y));
    if (q.count == 0) return;
    Rgb c;
    if (!load_rgb(image + (u64)y * target.width, (u64)target.width * target.height, q, c)) raise(flag);
    u32 pixel[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) pixel[i] = pixel_of(c.r[i], c.g[i], c.b[i], reversed, target.group == 4 ? 0xff000000u : 0);
    quad_write_pixels(target, y, q, pixel);
}

// Four codes of alpha, the last byte of a packed pixel.
__device__ __forceinline__ void read_alpha(const Plane& p, u32 y, u32 x, float (&v)[4]) {
    u32 pixel[4];
    quad_read_pixels(p, y, quad_at(p, y, x), pixel);
#pragma unroll
    for (u32 i = 0; i < 4; ++i) v[i] = pixel_code(pixel[i], 3);
}

// RGB to packed pixels with alpha, which is resampled.
extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_rgba_f32(const float* image, const Plane alpha, const Plane target, const u32 reversed, const Axis across,
                  const Axis down, u32* flag) {
    Separable<1, TILE_COLUMNS, TILE_ROWS> tile(across, down);
    tile.load_window([&](u32 y, u32 x, float(&a)[1][4]) { read_alpha(alpha, y, x, a[0]); });
    __syncthreads();
    tile.run_down();
    __syncthreads();
    const u64 plane = (u64)target.width * target.height;
    tile.run_along(tile.columns(), [&](u32 x, u32 y, bool inside, const float(&a)[1]) {
        if (!inside) return;
        const float* at = image + (u64)y * target.width + x;
        const float r = __ldg(at), g = __ldg(at + plane), b = __ldg(at + 2 * plane);
        if (!(is_finite(r) && is_finite(g) && is_finite(b))) raise(flag);
        store_pixel(target, y, x, pixel_of(r, g, b, reversed, sample_code(a[0], 1.0f, 255.0f) << 24));
    });
}

// Y, and Cb and Cr that are resampled, to packed pixels by a matrix from (Y over its largest code, Cb, Cr).
template <bool ALPHA>
__device__ __forceinline__ void pack_luma(const float* image, const Plane& cb, const Plane& cr, const Plane& alpha,
                                          const Plane& target, u32 reversed, const Affine& matrix, const Axis& across,
                                          const Axis& down, u32* flag) {
    constexpr u32 N = ALPHA ? 3 : 2;
    Separable<N, TILE_COLUMNS, TILE_ROWS> tile(across, down);
    tile.load_window([&](u32 y, u32 x, float(&c)[N][4]) {
        quad_read(cb, y, quad_at(cb, y, x), c[0]);
        quad_read(cr, y, quad_at(cr, y, x), c[1]);
        if (ALPHA) read_alpha(alpha, y, x, c[N - 1]);
    });
    __syncthreads();
    tile.run_down();
    __syncthreads();
    tile.run_along(tile.columns(), [&](u32 x, u32 y, bool inside, const float(&c)[N]) {
        const float luma = inside ? __ldg(image + (u64)y * target.width + x) : 0.0f;
        if (!is_finite(luma)) raise(flag);
        const float r = affine(matrix, 0, luma, c[0], c[1]), g = affine(matrix, 1, luma, c[0], c[1]);
        const float b = affine(matrix, 2, luma, c[0], c[1]);
        const u32 last = ALPHA ? sample_code(c[N - 1], 1.0f, 255.0f) << 24 : 0xff000000u;
        const u32 pixel = pixel_of(r, g, b, reversed, last);
        if (!ALPHA && target.group == 3)
            store_triple(target, y, x, inside, pixel & 0xffffff);
        else if (inside)
            store_pixel(target, y, x, pixel);
    });
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_luma_rgb_f32(const float* image, const Plane cb, const Plane cr, const Plane target, const u32 reversed,
                      const Affine matrix, const Axis across, const Axis down, u32* flag) {
    pack_luma<false>(image, cb, cr, cr, target, reversed, matrix, across, down, flag);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_luma_rgba_f32(const float* image, const Plane cb, const Plane cr, const Plane alpha, const Plane target,
                       const u32 reversed, const Affine matrix, const Axis across, const Axis down,
                       u32* flag) {
    pack_luma<true>(image, cb, cr, alpha, target, reversed, matrix, across, down, flag);
}

// RGB to YUV with chroma at half the width and, if VERTICAL, half the height.
template <u32 VERTICAL>
__device__ __forceinline__ void pack_subsampled(const float* image, const Plane& luma, const Plane& u, const Plane& v,
                                                const Affine& matrix, const Axis& across, const Axis& down, u32* flag) {
    Separable<2, TILE_COLUMNS / 2, (TILE_ROWS >> VERTICAL)> tile(across, down);
    const u32 left = blockIdx.x * TILE_COLUMNS, right = min(left + TILE_COLUMNS, luma.width);
    const u32 top = blockIdx.y * TILE_ROWS, bottom = min(top + TILE_ROWS, luma.height);
    tile.across.cover(left, right);
    tile.across.align();
    tile.down.cover(top, bottom);
    // Without a first pass the window itself must have all rows; those below the picture repeat the last.
    if (!VERTICAL) tile.down.in_count = TILE_ROWS;

    const u64 plane = (u64)luma.width * luma.height;
    bool finite = true;
    tile.load_window([&](u32 y, u32 x, float(&chroma)[2][4]) {
        const u32 count = min(luma.width - x, 4u), row = min(y, luma.height - 1);
        Rgb c;
        finite = load_rgb(image + (u64)row * luma.width, plane, {x, 1, count, luma.width % 4 == 0}, c) && finite;
#pragma unroll
        for (u32 k = 0; k < 2; ++k)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) chroma[k][i] = affine(matrix, k + 1, c.r[i], c.g[i], c.b[i]);
        if (x >= left && x < right && y >= top && y < bottom) quad_write_sum(luma, y, quad_at(luma, y, x), matrix, 0, c);
    });
    if (!finite) raise(flag);
    __syncthreads();
    if (VERTICAL) {
        tile.run_down();
        __syncthreads();
    }
    const auto emit = [&](u32 x, u32 y, bool inside, const float(&c)[2]) {
        if (inside) store_pair(u, v, y, x, sample_code(c[0], 1.0f, u.max_code), sample_code(c[1], 1.0f, u.max_code));
    };
    tile.run_along(VERTICAL ? tile.columns() : tile.window(), emit);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_420_f32(const float* image, const Plane luma, const Plane u, const Plane v, const Affine matrix, const Axis across,
                 const Axis down, u32* flag) {
    pack_subsampled<1>(image, luma, u, v, matrix, across, down, flag);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    pack_422_f32(const float* image, const Plane luma, const Plane u, const Plane v, const Affine matrix, const Axis across,
                 const Axis down, u32* flag) {
    pack_subsampled<0>(image, luma, u, v, matrix, across, down, flag);
}
