// Luma networks of width 48, one layer a launch: first (head and a layer), middle (a layer), last (a layer, the head's
// features added if the network skips, tail). Maps between launches are f16 NHWC.
//
// Row march (common/march.cuh): strips of 64 features, 12 warps for the layer, 32 pixels x 8 outputs each, and 4 for
// the edges. Bound: tensor cores; a layer has 20736 multiply-adds a pixel against 192 bytes.
#include "common/chain.cuh"

using Wide = Shape<48, 64, 2, 1>;

template <class Sum>
__device__ __forceinline__ void first(const MarchArguments& a) {
    march<Wide, Sum, HeadSource<Wide, Sum>, MapSink<Wide, 1, 62>, 1, 1, 1, 62>(a);
}

template <class Sum>
__device__ __forceinline__ void middle(const MarchArguments& a) {
    march<Wide, Sum, MapSource<Wide>, MapSink<Wide, 0, 64>, 1, 0, 0, 64>(a);
}

template <int MAX_SCALE, class Sum>
__device__ __forceinline__ void last(const MarchArguments& a) {
    march<Wide, Sum, MapSource<Wide>, TailSink<Wide, MAX_SCALE, 5, 1, 60>, 1, 5, 1, 60>(a);
}

extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_first_f32(const MarchArguments a) { first<SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_first_f16(const MarchArguments a) { first<SumF16>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_middle_f32(const MarchArguments a) { middle<SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_middle_f16(const MarchArguments a) { middle<SumF16>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_last_x2_f32(const MarchArguments a) {
    last<2, SumF32>(a);
}
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_last_x2_f16(const MarchArguments a) {
    last<2, SumF16>(a);
}
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_last_x4_f32(const MarchArguments a) {
    last<4, SumF32>(a);
}
extern "C" __global__ void __launch_bounds__(512, 1) luma_w48_last_x4_f16(const MarchArguments a) {
    last<4, SumF16>(a);
}
