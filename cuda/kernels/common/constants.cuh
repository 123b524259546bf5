// A kernel's weights and tables, which every warp reads again and again: in shared memory from sm_80 on, where they are
// copied once a block. Turing has not enough of it, so there they are read through the first cache.
#pragma once
#include "common/copy.cuh"

// Begins to copy BYTES, a multiple of 16, to the end of a block's shared memory, and says where they will be. Before
// they are read: copy_async_commit, copy_async_wait, a barrier.
template <int BYTES>
__device__ __forceinline__ const unsigned char* bring_constants(const unsigned char* global, unsigned char* shared) {
#if __CUDA_ARCH__ >= 800
    for (int i = threadIdx.x; i < BYTES / 16; i += blockDim.x)
        copy_async_16(shared_address(shared) + 16 * i, global + 16 * i, true);
    return shared;
#else
    return global;
#endif
}
