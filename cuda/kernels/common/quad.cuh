// Four pixels of a row at a time, moved as words where addresses allow.
#pragma once
#include "common/sample.cuh"

// The pixels of one thread: first, first + step, ... Where words cannot be moved they lie apart, so that the accesses of
// a warp still cover whole sectors.
struct Quad {
    u32 first, step;
    u32 count;    // how many of the four are in the picture
    bool vector;  // all four, side by side, at addresses that allow words

    // Pixel i; the last one there is for those outside the picture.
    __device__ __forceinline__ u32 x(u32 i) const { return first + min(i, count - 1) * step; }
};

// Blocks of the kernels that work on quads alone: 256 pixels of 4 rows.
constexpr u32 QUAD_THREADS = 64, QUAD_ROWS = 4;

// The row of this thread.
__device__ __forceinline__ u32 quad_row() { return blockIdx.y * QUAD_ROWS + threadIdx.x / QUAD_THREADS; }

// Its pixels, of a row `width` wide; `aligned` where every whole quad can be moved as words.
__device__ __forceinline__ Quad quad_of_thread(u32 width, bool aligned) {
    const u32 left = blockIdx.x * 4 * QUAD_THREADS, thread = threadIdx.x % QUAD_THREADS;
    const u32 first = left + (aligned ? 4 * thread : thread), step = aligned ? 1 : QUAD_THREADS;
    const u32 count = first < width ? min((width - first + step - 1) / step, 4u) : 0;
    return {first, step, count, aligned && count == 4};
}

// Whether quads of u8 or u16, planar or in groups, can be moved as words in row `y`.
__device__ __forceinline__ bool quad_aligned(const Plane& p, u32 y) {
    const u32 bytes = p.group == 3 ? 4 : 4 * p.group << p.kind;
    return ((u32)(p.base + (u64)y * p.pitch) & (bytes - 1)) == 0;
}

// The quad from x on, a multiple of four.
__device__ __forceinline__ Quad quad_at(const Plane& p, u32 y, u32 x) {
    const u32 count = min(p.width - x, 4u);
    return {x, 1, count, count == 4 && quad_aligned(p, y)};
}

// What is read for pixels outside the picture repeats the last one in it.

__device__ __forceinline__ void quad_load(const float* row, const Quad& q, float (&v)[4]) {
    if (q.vector) {
        const float4 f = __ldg((const float4*)(row + q.first));
        v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
        return;
    }
#pragma unroll
    for (u32 i = 0; i < 4; ++i) v[i] = __ldg(row + q.x(i));
}

__device__ __forceinline__ void quad_store(float* row, const Quad& q, const float (&v)[4]) {
    if (q.vector) {
        *(float4*)(row + q.first) = make_float4(v[0], v[1], v[2], v[3]);
        return;
    }
#pragma unroll
    for (u32 i = 0; i < 4; ++i)
        if (i < q.count) row[q.x(i)] = v[i];
}

// Four codes one by one.
__device__ __forceinline__ void quad_read_singly(const Plane& p, u32 y, const Quad& q, float (&v)[4]) {
    if (p.kind == SAMPLE_U8) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = sample_read<SAMPLE_U8>(p, y, q.x(i));
    } else if (p.kind == SAMPLE_U16) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = sample_read<SAMPLE_U16>(p, y, q.x(i));
    } else {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = sample_read<SAMPLE_F32>(p, y, q.x(i));
    }
}

// Four codes of any plane.
__device__ __forceinline__ void quad_read(const Plane& p, u32 y, const Quad& q, float (&v)[4]) {
    const u64 at = sample_address(p, y, q.first);
    if (!q.vector || p.group > 1) {
        quad_read_singly(p, y, q, v);
    } else if (p.kind == SAMPLE_U8) {
        const u32 w = __ldg((const u32*)at);
#pragma unroll
        for (u32 i = 0; i < 4; ++i) v[i] = (float)((w >> (8 * i)) & 0xff);
    } else if (p.kind == SAMPLE_U16) {
        const uint2 w = __ldg((const uint2*)at);
        v[0] = (float)((w.x & 0xffff) >> p.shift), v[1] = (float)(w.x >> 16 >> p.shift);
        v[2] = (float)((w.y & 0xffff) >> p.shift), v[3] = (float)(w.y >> 16 >> p.shift);
    } else {
        const float4 f = __ldg((const float4*)at);
        v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
    }
}

// Four codes of each of the two components of a plane whose group is 2, u8 or u16.
__device__ __forceinline__ void quad_read_pairs(const Plane& p, u32 y, const Quad& q, float (&a)[4], float (&b)[4]) {
    const u64 row = p.base + (u64)y * p.pitch;
    if (!q.vector) {
        Plane component = p;
        component.part = 0;
        quad_read_singly(component, y, q, a);
        component.part = 1;
        quad_read_singly(component, y, q, b);
    } else if (p.kind == SAMPLE_U8) {
        const uint2 w = __ldg((const uint2*)(row + 2 * q.first));
        const u32 words[2] = {w.x, w.y};
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            const u32 pair = words[i / 2] >> (16 * (i % 2));
            a[i] = (float)(pair & 0xff), b[i] = (float)((pair >> 8) & 0xff);
        }
    } else {
        const uint4 w = __ldg((const uint4*)(row + 4 * q.first));
        const u32 words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (u32 i = 0; i < 4; ++i)
            a[i] = (float)((words[i] & 0xffff) >> p.shift), b[i] = (float)(words[i] >> 16 >> p.shift);
    }
}

__device__ __forceinline__ void quad_write(const Plane& p, u32 y, const Quad& q, const u32 (&code)[4]) {
    const u64 at = sample_address(p, y, q.first);
    if (!q.vector) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            if (i >= q.count) continue;
            if (p.kind == SAMPLE_U8)
                ((u8*)at)[i * q.step] = (u8)code[i];
            else
                ((u16*)at)[i * q.step] = (u16)(code[i] << p.shift);
        }
    } else if (p.kind == SAMPLE_U8) {
        *(u32*)at = code[0] | code[1] << 8 | code[2] << 16 | code[3] << 24;
    } else {
        *(uint2*)at = make_uint2((code[0] | code[1] << 16) << p.shift, (code[2] | code[3] << 16) << p.shift);
    }
}

// Four packed pixels of three or four bytes, each in the low bytes of a word. The bytes above may be anything.
__device__ __forceinline__ void quad_read_pixels(const Plane& p, u32 y, const Quad& q, u32 (&pixel)[4]) {
    const u64 row = p.base + (u64)y * p.pitch, at = row + q.first * p.group;
    if (!q.vector) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            const u8* bytes = (const u8*)(row + q.x(i) * p.group);
            pixel[i] = __ldg(bytes) | __ldg(bytes + 1) << 8 | __ldg(bytes + 2) << 16 | __ldg(bytes + p.group - 1) << 24;
        }
    } else if (p.group == 4) {
        const uint4 w = __ldg((const uint4*)at);
        pixel[0] = w.x, pixel[1] = w.y, pixel[2] = w.z, pixel[3] = w.w;
    } else {
        const u32 a = __ldg((const u32*)at), b = __ldg((const u32*)at + 1), c = __ldg((const u32*)at + 2);
        pixel[0] = a, pixel[1] = a >> 24 | b << 8, pixel[2] = b >> 16 | c << 16, pixel[3] = c >> 8;
    }
}

// Byte n of a pixel as a code.
__device__ __forceinline__ float pixel_code(u32 pixel, u32 n) { return (float)((pixel >> (8 * n)) & 0xff); }

// The reverse; of a word, bytes beyond the group must be 0.
__device__ __forceinline__ void quad_write_pixels(const Plane& p, u32 y, const Quad& q, const u32 (&pixel)[4]) {
    const u64 at = p.base + (u64)y * p.pitch + q.first * p.group;
    if (!q.vector) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            if (i >= q.count) continue;
            u8* bytes = (u8*)(at + i * q.step * p.group);
            bytes[0] = (u8)pixel[i], bytes[1] = (u8)(pixel[i] >> 8), bytes[2] = (u8)(pixel[i] >> 16);
            if (p.group == 4) bytes[3] = (u8)(pixel[i] >> 24);
        }
    } else if (p.group == 4) {
        *(uint4*)at = make_uint4(pixel[0], pixel[1], pixel[2], pixel[3]);
    } else {
        ((u32*)at)[0] = pixel[0] | pixel[1] << 24;
        ((u32*)at)[1] = pixel[1] >> 8 | pixel[2] << 16;
        ((u32*)at)[2] = pixel[2] >> 16 | pixel[3] << 8;
    }
}
