// A whole luma network of width 16 in one launch: head, 1 to 3 layers, tail, from the Y plane to the Y plane.
//
// Row march (common/march.cuh): strips of 64 features, 56 outputs; 4 warps a layer, 16 pixels x 16 outputs each, and 4
// warps for head and tail. Bound: 7632 multiply-adds a pixel at scale 2 against 5 bytes, so the tensor cores.
#include "common/chain.cuh"

using Narrow = Shape<16, 64, 1, 2>;

template <int MAX_SCALE, class Sum>
__device__ __forceinline__ void whole(const MarchArguments& a) {
    march<Narrow, Sum, HeadSource<Narrow, Sum>, TailSink<Narrow, MAX_SCALE, 16, 4, 56>, 3, 16, 4, 56>(a);
}

extern "C" __global__ void __launch_bounds__(512, 1) luma_w16_x2_f32(const MarchArguments a) { whole<2, SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w16_x2_f16(const MarchArguments a) { whole<2, SumF16>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w16_x4_f32(const MarchArguments a) { whole<4, SumF32>(a); }
extern "C" __global__ void __launch_bounds__(512, 1) luma_w16_x4_f16(const MarchArguments a) { whole<4, SumF16>(a); }
