// The first half of a residual module of SDAN in one launch: y = x + SDM(LN1(x)), p = GELU(project_in(LN2(y))), f16
// NHWC.
//
//   r = LN1(x); twice: [d, a, b] = pointwise(r), r = r + ReLU6(a) * depthwise3x3(b); y = x + out([d1, d2, r])
//
// A block goes down a strip 28 pixels wide, a tile of 32 x 16 at a time: two pixels more on each side, and two rows more
// below, for the two depth-wise convolutions. Of the rows above, b stays from the tile before ("kept"); where there is
// none, the two uppermost rows of the tile take its place and are no output. A warp owns 16 columns x 2 rows of a tile
// from LN1 to p and keeps their features in registers as slices (slice.cuh); a fragment of weights is read for both
// rows. Warps of rows that are no output leave out what nobody needs. Only b goes through shared memory, one slice (16
// channels, 32 bytes a pixel, no gaps) at a time in one of two buffers, so that a slice costs one barrier: 8 neighbouring
// pixels are 256 bytes in a row, free of bank conflicts at any shift. Sums are f32, those of the depth-wise convolutions
// f16.
//
// b is 0 outside the picture. Results in the outer columns of the tile are wrong and not used.
// Bound: tensor cores, 10.0 mma of 16x8x16 a pixel of 48 channels (8.25 without the border); DRAM, 6 bytes a channel.
#include "common/constants.cuh"
#include "common/gelu.cuh"
#include "common/slice.cuh"

constexpr int WARPS = 16;
constexpr int TILE_W = 32;
constexpr int ROWS = 2;  // of a warp
constexpr int BANDS = WARPS / (TILE_W / 16);
constexpr int TILE_H = ROWS * BANDS;
constexpr int STEPS = 2;
constexpr int HALO = STEPS;
constexpr int NEXT = TILE_H - HALO;  // rows from tile to tile
constexpr int PIXEL = 32;  // bytes in a buffer
constexpr int LINE = TILE_W * PIXEL;
constexpr int BUFFER = TILE_H * LINE + PIXEL;  // one pixel more, the neighbour of the last
constexpr int TAPS = 10;  // 9 and the bias
// Slices of x at the most that a warp holds until it adds them to y; the rest is read again: registers.
#if __CUDA_ARCH__ >= 800
constexpr int MAX_HELD = 2;
#else
constexpr int MAX_HELD = 1;
#endif

static_assert(HALO == ROWS, "the outermost warps hold the border and nothing else");

// Places in shared memory: a pixel, the neighbour of the first; two buffers; two sets of kept rows, that of the tile
// before and that for the next; the constants.
template <int SLICES>
struct Plan {
    static constexpr int DIM = 16 * SLICES;
    static constexpr int OUTPUTS = 1 + 2 * SLICES;                  // slices of a step's pointwise convolution
    static constexpr int INPUTS = STEPS + SLICES;                   // of out
    static constexpr int HELD = SLICES < MAX_HELD ? SLICES : MAX_HELD;
    static constexpr int KEPT = PIXEL + 2 * BUFFER;
    static constexpr int KEPT_SET = STEPS * SLICES * LINE + PIXEL;  // one pixel more, as above
    static constexpr int CONSTANTS = (KEPT + 2 * KEPT_SET + 127) / 128 * 128;
    // Within the constants, in bytes.
    static constexpr int STEP = OUTPUTS * SLICES * 512;             // fragments of a step
    static constexpr int OUT = STEPS * STEP;
    static constexpr int PROJECT_IN = OUT + SLICES * INPUTS * 512;
    static constexpr int DEPTHWISE = PROJECT_IN + SLICES * SLICES * 512;
    static constexpr int TABLE = DEPTHWISE + STEPS * SLICES * TAPS * 32;
    static constexpr int CONSTANT_BYTES = TABLE + (2 * DIM + STEPS * OUTPUTS * 16 + 4 * DIM) * 4;
};

// The host's structure of the same name has the same layout.
struct StarArguments {
    const u16* x;
    u16* y;
    u16* p;
    // Fragments of the pointwise convolutions of both steps, of out, of project_in; depth-wise [step][slice][TAPS][16];
    // f32: LN1 weight, bias; pointwise bias of both steps; out bias; LN2 weight, bias; project_in's.
    const unsigned char* constants;
    int height;
    int width;
    int rows;  // of a block, of all strips one below the other
    int all;   // rows of those
};

extern __shared__ __align__(128) unsigned char shared_memory[];

// Where a tile lies in the picture, and which of its rows are output.
struct Tile {
    int top, left;
    int first, stop;
    bool last;  // of the block

    // The tile whose first output is row `at` of all strips, with no tile before it if `fresh`. Of it and of the block's
    // number the compiler knows nothing: registers are dearer than to compute it twice.
    __device__ __forceinline__ Tile(const StarArguments& a, int at_, bool fresh) {
        const int at = opaque(at_), strip = at / a.height;
        int block;
        asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
        first = at - strip * a.height;
        top = fresh ? first - HALO : first;
        left = strip * (TILE_W - 2 * HALO) - HALO;
        const int end = min((block + 1) * a.rows, a.all);
        stop = min(min(first + end - at, a.height), top + NEXT);
        last = at + stop - first == end;
    }
};

// Where the lane's pixels lie: g (half 0) and g + 8 (half 1) of both rows. The special register is read by `volatile`, so
// that what follows from it is computed anew for the outputs and takes no registers meanwhile.
struct Pixels {
    int band;    // pair of rows of the tile
    int column;  // of the tile, of pixel g
    u32 line;    // address of the lane's part of it in shared memory, were a line of the tile there from its beginning on
    int top;     // of the picture
    int left;
    bool wanted;  // whether rows of the band are output
    int stop;

    __device__ __forceinline__ Pixels(const Tile& tile) {
        int thread;
        asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
        band = thread >> 6;
        column = (thread >> 5 & 1) * 16 + (thread >> 2 & 7);
        line = shared_address(shared_memory) + column * PIXEL + 8 * (thread & 3);
        top = tile.top + band * ROWS;
        left = tile.left + column;
        wanted = top >= tile.first && top < tile.stop;
        stop = tile.stop;
    }

    __device__ __forceinline__ bool exists(const StarArguments& a, int m, int half) const {
        return (u32)(top + m) < (u32)a.height && (u32)(left + 8 * half) < (u32)a.width;
    }

    // Whether the pixel is the tile's output; the band is wanted.
    __device__ __forceinline__ bool is_output(const StarArguments& a, int m, int half) const {
        return (half ? column + 8 < TILE_W - HALO : column >= HALO) && top + m < stop && exists(a, m, half);
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
    int number;
    const uint4* weight;   // slices of outputs: d, a, b
    const float* bias;
    const u16* depthwise;
};

// Slice s of b to the buffer at `own`, the lane's place there, and its last row above the next tile to the one at `keep`:
// 0 outside the picture.
template <int SLICES>
__device__ __forceinline__ void store_branch(const Slice (&r)[ROWS][SLICES], const Step& step, int s, u32 own, u32 keep,
                                             const Pixels& pixels, const StarArguments& a) {
    const bool keeps = pixels.band == NEXT / ROWS - 1;
    SliceSum b[ROWS];
    pointwise(b, r, step.weight, step.bias, 1 + SLICES + s);
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        const Slice packed = b[m].packed();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint2 v = pixels.exists(a, m, half) ? packed.pixel(half) : make_uint2(0, 0);
            store_shared(own + m * LINE + half * 8 * PIXEL, v);
            if (m == ROWS - 1 && keeps) store_shared(keep + half * 8 * PIXEL, v);
        }
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

// d joins `distilled` as its last.
template <int SLICES>
__device__ __forceinline__ void distil(Slice (&distilled)[STEPS][ROWS], const Slice (&r)[ROWS][SLICES], const Step& step,
                                       bool wanted) {
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        distilled[0][m] = distilled[1][m];
        distilled[1][m] = {};
    }
    if (wanted) {
        SliceSum d[ROWS];
        pointwise(d, r, step.weight, step.bias, 0);
#pragma unroll
        for (int m = 0; m < ROWS; m++) distilled[1][m] = d[m].packed();
    }
}

// One step of the star: r becomes r + ReLU6(a) * depthwise(b), d joins `distilled` as its last. If not `needed`, only b
// is made. Of the two sets of kept lines, that at offset `set` is of the tile before, the other one for the next.
template <int SLICES>
__device__ __forceinline__ void star_step(Slice (&r)[ROWS][SLICES], Slice (&distilled)[STEPS][ROWS], const Step& step,
                                          u32 set, bool needed, const Pixels& pixels, const StarArguments& a) {
    using P = Plan<SLICES>;
    const u32 down = pixels.band == BANDS - 1 ? LINE : 2 * LINE, lines = P::KEPT + step.number * SLICES * LINE;
    // Given a value, as `gate`, also where none is needed: else it takes registers all around the loop over the tiles.
    Slice next[ROWS][SLICES] = {};
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        const u32 own = pixels.line + pixels.band * ROWS * LINE + PIXEL + (step.number * SLICES + s) % 2 * BUFFER;
        store_branch(r, step, s, own, pixels.line + lines + s * LINE + (P::KEPT_SET - set), pixels, a);
        __syncwarp();
        Slice gate[ROWS] = {};
        if (needed) make_gate(gate, r, step, s);
        if (s == SLICES - 1) distil(distilled, r, step, pixels.wanted);
        __syncthreads();
        if (needed) {
            uint2 star[ROWS][2];
            const u32 at = own - PIXEL;
            const u32 above = pixels.band == 0 ? pixels.line + lines + s * LINE + set - PIXEL : at - LINE;
            depthwise3x3(star, {above, at, at + LINE, at + down}, step.depthwise + s * TAPS * 16);
#pragma unroll
            for (int m = 0; m < ROWS; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    next[m][s].set_pixel(half, fma_half4(gate[m].pixel(half), star[m][half], r[m][s].pixel(half)));
        }
        __syncwarp();
    }
#pragma unroll
    for (int m = 0; m < ROWS; m++)
#pragma unroll
        for (int s = 0; s < SLICES; s++) r[m][s] = next[m][s];
}

// y = x + out([d1, d2, r]), which is written.
template <int SLICES>
__device__ __forceinline__ void write_y(Slice (&y)[ROWS][SLICES], const Slice (&x)[ROWS][Plan<SLICES>::HELD],
                                        const Slice (&r)[ROWS][SLICES], const Slice (&distilled)[STEPS][ROWS],
                                        const uint4* weight, const float* bias, const Pixels& pixels,
                                        const StarArguments& a) {
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
            for (int half = 0; half < 2; half++) {
                constexpr int HELD = Plan<SLICES>::HELD;
                if (s < HELD)
                    sum[m].add_pixel(half, x[m][s % HELD].pixel(half));
                else if (pixels.is_output(a, m, half))
                    sum[m].add_pixel(half, *(const uint2*)(a.x + pixels.place<DIM>(a, m, half, s)));
            }
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

// x of the lane's pixels, 0 outside the picture, as far as it is held, and r, all of it after LN1.
template <int SLICES>
__device__ __forceinline__ void load_x(Slice (&x)[ROWS][Plan<SLICES>::HELD], Slice (&r)[ROWS][SLICES],
                                       const float* table, const Pixels& pixels, const StarArguments& a) {
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
#pragma unroll
        for (int i = 0; i < 2 * SLICES; i++) {
            const int s = i / 2, half = i % 2;
            uint2 v = make_uint2(0, 0);
            if (pixels.exists(a, m, half)) v = *(const uint2*)(a.x + pixels.place<16 * SLICES>(a, m, half, s));
            r[m][s].set_pixel(half, v);
        }
#pragma unroll
        for (int s = 0; s < Plan<SLICES>::HELD; s++) x[m][s] = r[m][s];
        layer_norm(r[m], table);
    }
}

template <int SLICES>
__device__ __forceinline__ void star_tile(int at, bool fresh, u32 set, const unsigned char* constants,
                                          const StarArguments& a) {
    using P = Plan<SLICES>;
    const float* table = (const float*)(constants + P::TABLE);
    const Pixels pixels(Tile(a, at, fresh));
    Slice x[ROWS][P::HELD], r[ROWS][SLICES], distilled[STEPS][ROWS] = {};
    load_x(x, r, table, pixels, a);
#pragma unroll 1
    for (int step = 0; step < STEPS; step++) {
        const Step weights = {step, (const uint4*)(constants + step * P::STEP),
                              table + 2 * P::DIM + step * P::OUTPUTS * 16,
                              (const u16*)(constants + P::DEPTHWISE) + step * SLICES * TAPS * 16};
        star_step(r, distilled, weights, set, step == 0 || pixels.wanted, pixels, a);
    }
    if (!pixels.wanted) return;

    const Pixels outputs(Tile(a, at, fresh));
    const float* last = table + 2 * P::DIM + STEPS * P::OUTPUTS * 16;
    Slice y[ROWS][SLICES];
    write_y(y, x, r, distilled, (const uint4*)(constants + P::OUT), last, outputs, a);
#pragma unroll
    for (int m = 0; m < ROWS; m++) layer_norm(y[m], last + P::DIM);
    write_p(y, (const uint4*)(constants + P::PROJECT_IN), last + 3 * P::DIM, outputs, a);
}

template <int DIM>
__device__ __forceinline__ void star(const StarArguments& a) {
    using P = Plan<DIM / 16>;
    const u32 shared = shared_address(shared_memory);
    // What stays so are the pixels beside the buffers; of the rest, a tile without one before it reads what it need not.
    for (int i = threadIdx.x; i < P::CONSTANTS / 16; i += 32 * WARPS) store_shared(shared + 16 * i, make_uint4(0, 0, 0, 0));
    const unsigned char* constants = bring_constants<P::CONSTANT_BYTES>(a.constants, shared_memory + P::CONSTANTS);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();

    bool fresh = true;
    u32 set = 0;
    int at = blockIdx.x * a.rows;
#pragma unroll 1
    for (;;) {
        star_tile<DIM / 16>(at, fresh, set, constants, a);
        const Tile tile(a, at, fresh);
        if (tile.last) return;
        set = P::KEPT_SET - set;
        fresh = tile.stop == a.height;
        at += tile.stop - tile.first;
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) star_c32_f16(const StarArguments a) { star<32>(a); }

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) star_c48_f16(const StarArguments a) { star<48>(a); }
