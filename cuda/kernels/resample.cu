// Planes to planes of another size, by tables of taps: output(y, x) = sum over i of down[y][i] * sum over j of
// along[x][j] * input(starts_down[y] + i, starts_along[x] + j), computed down the columns first. Codes to codes: rounded
// and clamped unless the target is f32.
//
// A block makes 64 x 16 outputs of all N components of a pixel (semi-planar chroma 2, packed RGB 3 or 4). Components that
// lie in planes of their own but share sizes and taps are the layers of the grid: layer 1 takes the second pair of
// planes. Tiles, threads and shared memory: common/separable.cuh. Each input and output byte is requested once but for
// the windows' overlap.
#include "common/separable.cuh"

// The plane of this block's layer, field by field: parameters have no addresses.
__device__ __forceinline__ Plane of_layer(const Plane& a, const Plane& b) {
    const bool first = blockIdx.z == 0;
    return {first ? a.base : b.base,     first ? a.pitch : b.pitch, first ? a.width : b.width,
            first ? a.height : b.height, first ? a.kind : b.kind,   first ? a.shift : b.shift,
            first ? a.group : b.group,   first ? a.part : b.part,   first ? a.max_code : b.max_code};
}

template <u32 N>
__device__ __forceinline__ void resample(const Plane& source, const Plane& target, const Axis& across, const Axis& down,
                                         const Window& most) {
    Separable<N, TILE_COLUMNS, TILE_ROWS> tile(across, down, most);
    tile.load_tables(across, down);
    Plane parts[N];
#pragma unroll
    for (u32 n = 0; n < N; ++n) {
        parts[n] = source;
        parts[n].part += n;
    }
    if (N > 2 || source.kind == SAMPLE_U8)
        tile.template load_window<0, SAMPLE_U8>(parts);
    else if (N == 2 || source.kind == SAMPLE_U16)
        tile.template load_window<0, SAMPLE_U16>(parts);
    else
        tile.template load_window<0, SAMPLE_F32>(parts);
    __syncthreads();
    tile.run_down();
    __syncthreads();
    tile.run_along([&](u32 x, u32 y, bool inside, const float(&v)[N]) {
        if (N == 1 && target.kind == SAMPLE_F32) {
            if (inside) *(float*)sample_address(target, y, x) = v[0];
            return;
        }
        u32 code[N];
#pragma unroll
        for (u32 n = 0; n < N; ++n) code[n] = sample_code(v[n], 1.0f, target.max_code);
        store_group(target, y, x, inside, code);
    });
}

#define RESAMPLE(N)                                                                                            \
    extern "C" __global__ void __launch_bounds__(BLOCK)                                                        \
        resample_##N##_f32(const Plane source, const Plane source_1, const Plane target, const Plane target_1, \
                           const Axis across, const Axis down, const Window most) {                            \
        resample<N>(of_layer(source, source_1), of_layer(target, target_1), across, down, most);               \
    }

RESAMPLE(1)
RESAMPLE(2)
RESAMPLE(3)
RESAMPLE(4)
