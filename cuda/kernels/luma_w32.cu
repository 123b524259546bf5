// Luma networks of width 32, in launches of two layers: first (head, 1 or 2 layers), middle (2 layers), last (1 layer,
// the head's features added if the network skips, tail). Maps between launches are f16 NHWC.
//
// Row march (common/march.cuh): first and middle have strips of 48 features, 6 warps a layer, last has 64 and 8; a warp
// makes 16 pixels x 16 outputs, so that its weights (72 registers) and f32 sums fit. Bound: tensor cores; two layers a
// launch read and write 128 bytes a pixel against 18432 multiply-adds.
#include "common/chain.cuh"

using Pair = Shape<32, 48, 1, 2>;
using Single = Shape<32, 64, 1, 2>;

template <class Sum>
__device__ __forceinline__ void first(const MarchArguments& a) {
    march<Pair, Sum, HeadSource<Pair, Sum>, MapSink<Pair, 2, 44>, 2, 1, 2, 44>(a);
}

template <class Sum>
__device__ __forceinline__ void middle(const MarchArguments& a) {
    march<Pair, Sum, MapSource<Pair>, MapSink<Pair, 1, 46>, 2, 0, 1, 46>(a);
}

template <int MAX_SCALE, class Sum>
__device__ __forceinline__ void last(const MarchArguments& a) {
    march<Single, Sum, MapSource<Single>, TailSink<Single, MAX_SCALE, 8, 1, 60>, 1, 8, 1, 60>(a);
}

extern "C" __global__ void __launch_bounds__(512, 1) luma_w32_first_f32(const MarchArguments a) { first<SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w32_first_f16(const MarchArguments a) { first<SumF16>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w32_middle_f32(const MarchArguments a) { middle<SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w32_middle_f16(const MarchArguments a) { middle<SumF16>(a); }
extern "C" __global__ void __launch_bounds__(384, 1) luma_w32_last_x2_f32(const MarchArguments a) {
    last<2, SumF32>(a);
}
extern "C" __global__ void __launch_bounds__(384, 1) luma_w32_last_x2_f16(const MarchArguments a) {
    last<2, SumF16>(a);
}
extern "C" __global__ void __launch_bounds__(384, 1) luma_w32_last_x4_f32(const MarchArguments a) {
    last<4, SumF32>(a);
}
extern "C" __global__ void __launch_bounds__(384, 1) luma_w32_last_x4_f16(const MarchArguments a) {
    last<4, SumF16>(a);
}
