// Copies from global to shared memory that run beside the arithmetic (cp.async; plain loads and stores before sm_80).
#pragma once
#include "common/types.cuh"

// 16 bytes, both sides aligned to 16; zeros if not `valid` (`global` is not read then, and may point outside of its map).
__device__ __forceinline__ void copy_async_16(u32 shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
    const u32 bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
#else
    uint4 v = make_uint4(0, 0, 0, 0);
    if (valid) v = *(const uint4*)global;
    store_shared(shared, v);
#endif
}

// 4 bytes, both sides aligned to 4; zeros if not `valid`.
__device__ __forceinline__ void copy_async_4(u32 shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
    const u32 bytes = valid ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
#else
    u32 v = 0;
    if (valid) v = *(const u32*)global;
    store_shared(shared, v);
#endif
}

// Closes the group of the copies begun since the last call.
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all groups but the newest PENDING have arrived; a barrier must follow before other threads read them.
template <int PENDING>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}
