// The first half of a residual module of SDAN in one launch: y = x + SDM(LN1(x)), p = GELU(project_in(LN2(y))), f16
// NHWC.
//
//   r = LN1(x); twice: [d, a, b] = pointwise(r), r = r + ReLU6(a) * depthwise3x3(b); y = x + out([d1, d2, r])
//
// A block makes 28 x 12 pixels from 32 x 16, two pixels more on each side for the two depth-wise convolutions. A warp
// owns 16 columns x 2 rows from LN1 to p and keeps their features in registers as slices (slice.cuh); weights come
// through L1, each fragment for both rows. Warps of the outermost rows leave out what nobody needs. Only b goes through
// shared memory, one slice (16 channels, 32 bytes a pixel, no gaps) at a time in one of two buffers, so that a slice
// costs one barrier: 8 neighbouring pixels are 256 bytes in a row, free of bank conflicts at any shift. Sums are f32,
// those of the depth-wise convolutions f16.
//
// b is 0 outside the picture. Results in the outer columns of the tile are wrong and not used.
// Bound: tensor cores, 10.7 mma of 16x8x16 a pixel of 48 channels (8.25 without the border); DRAM, 6 bytes a channel.
#include "common/gelu.cuh"
#include "common/slice.cuh"

constexpr int WARPS = 16;
constexpr int TILE_W = 32;
constexpr int ROWS = 2;  // of a warp
constexpr int BANDS = WARPS / (TILE_W / 16);
constexpr int TILE_H = ROWS * BANDS;
constexpr int STEPS = 2;
constexpr int HALO = STEPS;
constexpr int PIXEL = 32;  // bytes in a buffer
constexpr int LINE = TILE_W * PIXEL;
constexpr int BUFFER = TILE_H * LINE + PIXEL;  // one pixel more, the neighbour of the last
constexpr int TAPS = 10;  // 9 and the bias

static_assert(HALO == ROWS, "the outermost warps hold the border and nothing else");

// The host's structure of the same name has the same layout.
struct StarArguments {
    const u16* x;
    u16* y;
    u16* p;
    const uint4* weight;   // fragments of the pointwise convolutions of both steps, of out, of project_in
    const u16* depthwise;  // [step][slice][TAPS][16]
    const float* table;    // LN1 weight, bias; pointwise bias of both steps; out bias; LN2 weight, bias; project_in's
    int height;
    int width;
};

// A pixel, the neighbour of the first, and two buffers.
extern __shared__ __align__(128) unsigned char shared_memory[];

// Where the lane's pixels lie: g (half 0) and g + 8 (half 1) of both rows. The special registers are read by
// `volatile`, so that what follows from them is computed anew for the outputs and takes no registers meanwhile.
struct Pixels {
    int band;    // pair of rows of the tile
    int column;  // of the tile, of pixel g
    int top;     // of the picture
    int left;

    __device__ __forceinline__ Pixels() {
        int thread, x, y;
        asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
        asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(x));
        asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(y));
        band = thread >> 6;
        column = (thread >> 5 & 1) * 16 + (thread >> 2 & 7);
        top = y * (TILE_H - 2 * HALO) - HALO + band * ROWS;
        left = x * (TILE_W - 2 * HALO) - HALO + column;
    }

    // Neither of the outermost bands.
    __device__ __forceinline__ bool inner() const { return band != 0 && band != BANDS - 1; }

    __device__ __forceinline__ bool exists(const StarArguments& a, int m, int half) const {
        return (u32)(top + m) < (u32)a.height && (u32)(left + 8 * half) < (u32)a.width;
    }

    // Whether the pixel is this block's output; the warp is an inner one.
    __device__ __forceinline__ bool is_output(const StarArguments& a, int m, int half) const {
        return (half ? column + 8 < TILE_W - HALO : column >= HALO) && exists(a, m, half);
    }

    // Index of the lane's first channel of slice s in a map.
    template <int DIM>
    __device__ __forceinline__ long long place(const StarArguments& a, int m, int half, int s) const {
        return ((long long)(top + m) * a.width + left + 8 * half) * DIM + 16 * s + 4 * (threadIdx.x & 3);
    }
};

// 16 outputs of a 1x1 convolution of both rows.
template <int SLICES>
__device__ __forceinline__ void pointwise(SliceSum (&sum)[ROWS], const Slice (&r)[ROWS][SLICES], const uint4* weight,
                                          const float* bias, int n) {
#pragma unroll
    for (int m = 0; m < ROWS; m++) sum[m].start(bias + 16 * n);
#pragma unroll
    for (int k = 0; k < SLICES; k++) {
        const uint4 w = slice_weight<SLICES>(weight, n, k);
#pragma unroll
        for (int m = 0; m < ROWS; m++) sum[m].add(r[m][k], w);
    }
}

// 3x3 over the slice in a buffer, for pixels g and g + 8 of both rows; `line` holds the addresses of pixel g's left
// neighbour in the rows above, here, here, below. The compiler may not load further ahead than one column of taps:
// registers.
__device__ __forceinline__ void depthwise3x3(uint2 (&sum)[ROWS][2], const u32 (&line)[ROWS + 2], const u16* weight) {
    const uint2* w = (const uint2*)weight + (threadIdx.x & 3);
    const uint2 bias = w[9 * 4];
#pragma unroll
    for (int m = 0; m < ROWS; m++) sum[m][0] = sum[m][1] = bias;
#pragma unroll
    for (int dx = 0; dx < 3; dx++) {
        if (dx > 0) __syncwarp();
        uint2 tap[3];
#pragma unroll
        for (int dy = 0; dy < 3; dy++) tap[dy] = w[(3 * dy + dx) * 4];
#pragma unroll
        for (int i = 0; i < ROWS + 2; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const uint2 v = load_shared_8(line[i] + dx * PIXEL + half * 8 * PIXEL);
#pragma unroll
                for (int m = 0; m < ROWS; m++)
                    if (i >= m && i < m + 3) sum[m][half] = fma_half4(tap[i - m], v, sum[m][half]);
            }
    }
}

// The weights of a step.
struct Step {
    const uint4* weight;   // slices of outputs: d, a, b
    const float* bias;
    const u16* depthwise;
};

// Slice s of b to the buffer at `own`, the lane's place there: 0 outside the picture.
template <int SLICES>
__device__ __forceinline__ void store_branch(const Slice (&r)[ROWS][SLICES], const Step& step, int s, u32 own,
                                             const Pixels& pixels, const StarArguments& a) {
    SliceSum b[ROWS];
    pointwise(b, r, step.weight, step.bias, 1 + SLICES + s);
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        const Slice packed = b[m].packed();
#pragma unroll
        for (int half = 0; half < 2; half++)
            store_shared(own + m * LINE + half * 8 * PIXEL,
                         pixels.exists(a, m, half) ? packed.pixel(half) : make_uint2(0, 0));
    }
}

// Slice s of ReLU6(a).
template <int SLICES>
__device__ __forceinline__ void make_gate(Slice (&gate)[ROWS], const Slice (&r)[ROWS][SLICES], const Step& step,
                                          int s) {
    SliceSum sum[ROWS];
    pointwise(sum, r, step.weight, step.bias, 1 + s);
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        sum[m].apply([](float v) { return fminf(fmaxf(v, 0.0f), 6.0f); });
        gate[m] = sum[m].packed();
    }
}

// One step of the star: r becomes r + ReLU6(a) * depthwise(b), d joins `distilled` as its last. If not `needed`, only b
// is made. `own` is the lane's place in the buffer that is next, `swap` the way to the other one.
template <int SLICES>
__device__ __forceinline__ void star_step(Slice (&r)[ROWS][SLICES], Slice (&distilled)[STEPS][ROWS], const Step& step,
                                          u32& own, u32& swap, bool needed, const Pixels& pixels,
                                          const StarArguments& a) {
    const u32 up = pixels.band == 0 ? 0 : LINE, down = pixels.band == BANDS - 1 ? LINE : 2 * LINE;
    Slice next[ROWS][SLICES];
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        store_branch(r, step, s, own, pixels, a);
        __syncwarp();
        Slice gate[ROWS];
        if (needed) make_gate(gate, r, step, s);
        __syncthreads();
        if (needed) {
            uint2 star[ROWS][2];
            const u32 at = own - PIXEL;
            depthwise3x3(star, {at - up, at, at + LINE, at + down}, step.depthwise + s * TAPS * 16);
#pragma unroll
            for (int m = 0; m < ROWS; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    next[m][s].set_pixel(half, fma_half4(gate[m].pixel(half), star[m][half], r[m][s].pixel(half)));
        }
        __syncwarp();
        own += swap;
        swap = 0u - swap;
    }
    if (pixels.inner()) {
        SliceSum d[ROWS];
        pointwise(d, r, step.weight, step.bias, 0);
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            distilled[0][m] = distilled[1][m];
            distilled[1][m] = d[m].packed();
        }
    }
#pragma unroll
    for (int m = 0; m < ROWS; m++)
#pragma unroll
        for (int s = 0; s < SLICES; s++) r[m][s] = next[m][s];
}

// y = x + out([d1, d2, r]), which is written.
template <int SLICES>
__device__ __forceinline__ void write_y(Slice (&y)[ROWS][SLICES], const Slice (&r)[ROWS][SLICES],
                                        const Slice (&distilled)[STEPS][ROWS], const uint4* weight, const float* bias,
                                        const Pixels& pixels, const StarArguments& a) {
    constexpr int DIM = 16 * SLICES, INPUTS = STEPS + SLICES;
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        SliceSum sum[ROWS];
#pragma unroll
        for (int m = 0; m < ROWS; m++) sum[m].start(bias + 16 * s);
#pragma unroll
        for (int k = 0; k < INPUTS; k++) {
            const uint4 w = slice_weight<INPUTS>(weight, s, k);
#pragma unroll
            for (int m = 0; m < ROWS; m++)
                sum[m].add(k < STEPS ? distilled[k % STEPS][m] : r[m][k < STEPS ? 0 : k - STEPS], w);
        }
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++)
                if (pixels.is_output(a, m, half))
                    sum[m].add_pixel(half, *(const uint2*)(a.x + pixels.place<DIM>(a, m, half, s)));
            y[m][s] = sum[m].packed();
#pragma unroll
            for (int half = 0; half < 2; half++)
                if (pixels.is_output(a, m, half))
                    *(uint2*)(a.y + pixels.place<DIM>(a, m, half, s)) = y[m][s].pixel(half);
        }
    }
}

// p = GELU(project_in(v)), which is written.
template <int SLICES>
__device__ __forceinline__ void write_p(const Slice (&v)[ROWS][SLICES], const uint4* weight, const float* bias,
                                        const Pixels& pixels, const StarArguments& a) {
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        SliceSum sum[ROWS];
        pointwise(sum, v, weight, bias, s);
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            sum[m].apply(gelu);
            const Slice packed = sum[m].packed();
#pragma unroll
            for (int half = 0; half < 2; half++)
                if (pixels.is_output(a, m, half))
                    *(uint2*)(a.p + pixels.place<16 * SLICES>(a, m, half, s)) = packed.pixel(half);
        }
    }
}

template <int DIM>
__device__ __forceinline__ void star(const StarArguments& a) {
    constexpr int SLICES = DIM / 16, OUTPUTS = 1 + 2 * SLICES;
    const Pixels pixels;
    const u32 buffer = shared_address(shared_memory) + PIXEL;
    if (threadIdx.x < PIXEL / 4)
        for (int i = 0; i < 3; i++) store_shared(buffer - PIXEL + i * BUFFER + 4 * threadIdx.x, 0u);
    u32 own = buffer + pixels.band * ROWS * LINE + pixels.column * PIXEL + 8 * (threadIdx.x & 3), swap = BUFFER;

    Slice r[ROWS][SLICES];
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
#pragma unroll
        for (int i = 0; i < 2 * SLICES; i++) {
            const int s = i / 2, half = i % 2;
            uint2 v = make_uint2(0, 0);
            if (pixels.exists(a, m, half)) v = *(const uint2*)(a.x + pixels.place<DIM>(a, m, half, s));
            r[m][s].set_pixel(half, v);
        }
        layer_norm(r[m], a.table);
    }
    Slice distilled[STEPS][ROWS] = {};
#pragma unroll 1
    for (int step = 0; step < STEPS; step++) {
        const Step weights = {a.weight + step * OUTPUTS * SLICES * 32, a.table + 2 * DIM + step * OUTPUTS * 16,
                              a.depthwise + step * SLICES * TAPS * 16};
        star_step(r, distilled, weights, own, swap, step == 0 || pixels.inner(), pixels, a);
    }
    if (!pixels.inner()) return;

    const Pixels outputs;
    const uint4* weight = a.weight + STEPS * OUTPUTS * SLICES * 32;
    const float* table = a.table + 2 * DIM + STEPS * OUTPUTS * 16;
    Slice y[ROWS][SLICES];
    write_y(y, r, distilled, weight, table, outputs, a);
#pragma unroll
    for (int m = 0; m < ROWS; m++) layer_norm(y[m], table + DIM);
    write_p(y, weight + SLICES * (STEPS + SLICES) * 32, table + 3 * DIM, outputs, a);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) star_c32_f16(const StarArguments a) { star<32>(a); }

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) star_c48_f16(const StarArguments a) { star<48>(a); }
