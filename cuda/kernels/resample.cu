// Planes to planes of another size, by tables of taps: output(y, x) = sum over i of down[y][i] * sum over j of
// along[x][j] * input(starts_down[y] + i, starts_along[x] + j), computed down the columns first. Codes to codes: rounded
// and clamped unless the target is f32.
//
// A block makes 64 x 16 outputs of all N components of a pixel (semi-planar chroma 2, packed RGB 3 or 4). Two single
// components that share sizes and taps (planar chroma) are the layers of the grid. Tiles, threads and shared memory: common/separable.cuh. Each input and output byte is requested once but for
// the windows' overlap.
#include "common/separable.cuh"

// The plane of this block's layer, field by field: parameters have no addresses.
__device__ __forceinline__ Plane of_layer(const Plane& a, const Plane& b) {
    const bool first = blockIdx.z == 0;
    return {first ? a.base : b.base,     first ? a.pitch : b.pitch, first ? a.width : b.width,
            first ? a.height : b.height, first ? a.kind : b.kind,   first ? a.shift : b.shift,
            first ? a.group : b.group,   first ? a.part : b.part,   first ? a.max_code : b.max_code};
}

// Four columns of N components.
template <u32 N>
__device__ __forceinline__ void read_group(const Plane& p, u32 y, u32 x, float (&v)[N][4]) {
    const Quad q = quad_at(p, y, x);
    if (N == 1) {
        quad_read(p, y, q, v[0]);
    } else if (N == 2) {
        quad_read_pairs(p, y, q, v[0], v[N - 1]);
    } else {
        u32 pixel[4];
        quad_read_pixels(p, y, q, pixel);
#pragma unroll
        for (u32 n = 0; n < N; ++n)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) v[n][i] = pixel_code(pixel[i], n);
    }
}

// One pixel of N components; all lanes of a warp call it.
template <u32 N>
__device__ __forceinline__ void write_group(const Plane& p, u32 y, u32 x, bool inside, const float (&v)[N]) {
    if (N == 1 && p.kind == SAMPLE_F32) {
        if (inside) *(float*)sample_address(p, y, x) = v[0];
        return;
    }
    u32 code[N], pixel = N == 3 ? 0xff000000u : 0;
#pragma unroll
    for (u32 n = 0; n < N; ++n) {
        code[n] = sample_code(v[n], 1.0f, p.max_code);
        pixel |= code[n] << (8 * n);
    }
    if (N == 3 && p.group == 3) {
        store_triple(p, y, x, inside, pixel & 0xffffff);
    } else if (inside && N > 2) {
        store_pixel(p, y, x, pixel);
    } else if (inside && N == 2) {
        Plane second = p;
        second.part = 1;
        store_pair(p, second, y, x, code[0], code[N - 1]);
    } else if (inside && p.kind == SAMPLE_U8) {
        *(u8*)sample_address(p, y, x) = (u8)code[0];
    } else if (inside) {
        *(u16*)sample_address(p, y, x) = (u16)(code[0] << p.shift);
    }
}

template <u32 N>
__device__ __forceinline__ void resample(const Plane& source, const Plane& target, const Axis& across, const Axis& down) {
    const Separable<N, TILE_COLUMNS, TILE_ROWS> tile(across, down);
    tile.load_window([&](u32 y, u32 x, float(&v)[N][4]) { read_group<N>(source, y, x, v); });
    __syncthreads();
    tile.run_down();
    __syncthreads();
    tile.run_along(tile.columns(), [&](u32 x, u32 y, bool inside, const float(&v)[N]) {
        write_group<N>(target, y, x, inside, v);
    });
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    resample_1_f32(const Plane source, const Plane source_1, const Plane target, const Plane target_1, const Axis across,
                   const Axis down) {
    resample<1>(of_layer(source, source_1), of_layer(target, target_1), across, down);
}

#define RESAMPLE(N)                                                                              \
    extern "C" __global__ void __launch_bounds__(BLOCK) resample_##N##_f32(                      \
        const Plane source, const Plane target, const Axis across, const Axis down) {            \
        resample<N>(source, target, across, down);                                               \
    }

RESAMPLE(2)
RESAMPLE(3)
RESAMPLE(4)
