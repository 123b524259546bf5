// The second half of a residual module of SDAN in one launch: the large-kernel attention and its residual, f16 NHWC.
//
//   per group of 16 channels: a = square(p), e = a + vertical(horizontal(a)), all depth-wise, the strips dilated;
//   out = y + project_out(p * mix(e)); optionally fuse += weights * out, the share of this module in the sum over all.
//
// A block owns a strip COLUMNS wide and `rows` tall and goes down it, ROWS = 2 rows a turn. Groups reach differently
// far, so each runs ahead of the output by its own number of rows, and all finish the same rows together. A turn is
//   1. `a` of all groups from a ring of rows of p, a warp per 8 columns: a thread makes 2 x 2 pixels of two channels;
//      at the same time other warps take the 1x1 convolutions of the rows finished in the turn before, 16 pixels each;
//   2. the strips: a thread owns two channels of each group in one column; it takes horizontal neighbours from `a` in
//      shared memory, and the vertical convolution as partial sums in registers, one for every row still open (a filter
//      in transposed form), so that no rows of it are kept; meanwhile the next rows of p arrive.
// Rings keep even and odd pixels apart, the rows of the even ones before those of the odd ones: neighbouring lanes hold
// neighbouring pairs of pixels. All sums of the depth-wise convolutions are f16, those of the 1x1 ones f32. Zeros
// surround p, a, and what enters the vertical strip.
// Bound: DRAM, 6 bytes a channel (10 with fuse); f16 arithmetic, 125 products a pixel of 3 channels.
#include "common/constants.cuh"
#include "common/gelu.cuh"
#include "common/slice.cuh"

constexpr int ROWS = 2;    // output rows a turn
constexpr int PIXEL = 32;  // bytes of a group

// The host's structure of the same name has the same layout.
struct LargeKernelArguments {
    const u16* p;
    const u16* y;
    u16* out;               // null: only the sum is wanted
    const u16* fuse_input;  // null: the sum begins at the bias
    u16* fuse_output;       // null: no sum; may be the input
    const unsigned char* constants;  // see Pointwise
    const u16* depthwise;   // per group: taps of square, horizontal, vertical, then their biases, [16] each
    int height;
    int width;
    int rows;               // of a strip, a multiple of ROWS
    int gelu;               // whether GELU follows the sum
};

// Group j of a network: square kernel, strips and their dilation.
struct Dim32 {
    static constexpr int GROUPS = 2, COLUMNS = 64;
    static constexpr int square(int j) { return j == 0 ? 3 : 5; }
    static constexpr int strip(int) { return 7; }
    static constexpr int dilation(int j) { return j == 0 ? 1 : 3; }
};

struct Dim48 {
    static constexpr int GROUPS = 3, COLUMNS = 48;
    static constexpr int square(int j) { return 3 + 2 * j; }
    static constexpr int strip(int j) { return 5 + 2 * j; }
    static constexpr int dilation(int j) { return 1 + j; }
};

template <class N>
struct Plan : N {
    using N::COLUMNS, N::GROUPS, N::square, N::strip, N::dilation;
    static constexpr int DIM = 16 * GROUPS, THREADS = 8 * COLUMNS, WARPS = THREADS / 32;
    static constexpr int TILES = ROWS * COLUMNS / 16;  // of the 1x1 convolutions, a turn

    // Rows or columns from an output to the ends of its strips.
    static constexpr int half(int j) { return dilation(j) * (strip(j) - 1) / 2; }
    static constexpr int ring_rows(int j) { return square(j) - 1 + ROWS; }
    static constexpr int ring_columns(int j) { return a_columns(j) + square(j) - 1; }
    static constexpr int a_columns(int j) { return COLUMNS + 2 * half(j); }
    // Bytes of the even, or the odd, pixels of a ring's row; and from an even pixel to the odd one beside it, 16 banks
    // on, so that four neighbours that arrive together meet no bank twice.
    static constexpr int line(int j) { return ring_columns(j) / 2 * PIXEL; }
    static constexpr int odd(int j) { return (ring_rows(j) * line(j) + 63) / 128 * 128 + 64; }
    static constexpr int ring_bytes(int j) { return odd(j) + ring_rows(j) * line(j); }
    static constexpr int units(int j) { return (a_columns(j) + 7) / 8; }
    static constexpr int taps(int j) { return square(j) * square(j) + 2 * strip(j) + 3; }
    // How many rows before its first output a group makes `a`, and how many before that it loads p.
    static constexpr int lead(int j) { return 2 * half(j); }
    static constexpr int preload(int j) { return lead(j) + square(j) - 1; }

    // Sums over the groups before j.
    static constexpr int open_rows(int j) { return j == 0 ? 0 : open_rows(j - 1) + lead(j - 1); }
    static constexpr int units_after(int j) { return j == GROUPS - 1 ? 0 : units_after(j + 1) + units(j + 1); }
    static constexpr int warmup(int j = GROUPS - 1) { return j == 0 ? preload(0) : max_of(preload(j), warmup(j - 1)); }
    static constexpr int max_of(int a, int b) { return a > b ? a : b; }

    // Places in shared memory: weights, rings, a, e, constants.
    static constexpr int weights(int j) { return j == 0 ? 0 : weights(j - 1) + taps(j - 1) * PIXEL; }
    static constexpr int ring(int j) { return j == 0 ? weights(GROUPS) : ring(j - 1) + ring_bytes(j - 1); }
    static constexpr int a(int j) { return j == 0 ? ring(GROUPS) : a(j - 1) + ROWS * a_columns(j - 1) * PIXEL; }
    static constexpr int e(int row, int j) { return a(GROUPS) + (row * GROUPS + j) * COLUMNS * PIXEL; }
    static constexpr int constants() { return e(ROWS, 0); }
};

// The 1x1 convolutions mix, project_out and fuse: the fragments of all, then their biases, f32.
template <int SLICES>
struct Pointwise {
    static constexpr int FRAGMENTS = SLICES * SLICES * 32, BYTES = 3 * (FRAGMENTS * 16 + SLICES * 64);
    const unsigned char* constants;

    __device__ __forceinline__ const float* bias(int number) const {
        return (const float*)(constants + 3 * FRAGMENTS * 16) + number * 16 * SLICES;
    }

    // Adds 16 outputs of convolution `number`.
    __device__ __forceinline__ void add(SliceSum& sum, const Slice (&x)[SLICES], int number, int n) const {
#pragma unroll
        for (int k = 0; k < SLICES; k++)
            sum.add(x[k], slice_weight<SLICES>((const uint4*)constants + number * FRAGMENTS, n, k));
    }
};

template <int J>
struct Index {
    static constexpr int value = J;
};

// f(Index<0>()), f(Index<1>()), ...
template <int COUNT, int J = 0, class F>
__device__ __forceinline__ void for_each(const F& f) {
    if constexpr (J < COUNT) {
        f(Index<J>());
        for_each<COUNT, J + 1>(f);
    }
}

extern __shared__ __align__(128) unsigned char shared_memory[];

// Begins to copy the ROWS newest rows of p of group J, `row` first, to slots `slot` and on of its ring.
template <class P, int J>
__device__ __forceinline__ void load_rows(const LargeKernelArguments& a, u32 shared, int row, int slot) {
    constexpr int WIDTH = P::ring_columns(J), LEFT = P::half(J) + P::square(J) / 2;
    for (int i = threadIdx.x; i < 2 * ROWS * WIDTH; i += P::THREADS) {
        const int part = i & 1, r = (i >> 1) / WIDTH, c = (i >> 1) - r * WIDTH;
        const int x = (int)blockIdx.x * P::COLUMNS - LEFT + c, y = row + r;
        const bool exists = (u32)x < (u32)a.width && (u32)y < (u32)a.height;
        const u16* from = exists ? a.p + ((long long)y * a.width + x) * P::DIM + 16 * J + 8 * part : a.p;
        const u32 to = P::ring(J) + (slot + r) * P::line(J) + (c & 1) * P::odd(J) + (c >> 1) * PIXEL + 16 * part;
        copy_async_16(shared + to, from, exists);
    }
}

// `a` of columns 8 * unit to 8 * unit + 7 of group J in rows `row` and `row` + 1; `oldest` is the ring's slot of the
// first row that they take.
template <class P, int J>
__device__ __forceinline__ void square_unit(const LargeKernelArguments& arguments, u32 shared, int unit, int row,
                                            int oldest) {
    constexpr int Q = P::square(J), LINE = P::line(J);
    const int lane = threadIdx.x & 31, pair = 4 * unit + (lane >> 3), h = lane & 7;
    if (pair >= P::a_columns(J) / 2) return;
    const u32 weight = shared + P::weights(J) + 4 * h, ring = shared + P::ring(J) + pair * PIXEL + 4 * h;
    u32 sum[ROWS][2], w[ROWS][Q];
    sum[0][0] = sum[0][1] = sum[1][0] = sum[1][1] = load_shared(weight + (P::taps(J) - 3) * PIXEL);
#pragma unroll
    for (int i = 0; i < P::ring_rows(J); i++) {
        const int slot = oldest + i < P::ring_rows(J) ? oldest + i : oldest + i - P::ring_rows(J);
        u32 v[Q + 1];
#pragma unroll
        for (int c = 0; c <= Q; c++) v[c] = load_shared(ring + slot * LINE + (c & 1) * P::odd(J) + (c >> 1) * PIXEL);
#pragma unroll
        for (int k = 0; k < Q; k++) {
            w[1][k] = w[0][k];
            if (i < Q) w[0][k] = load_shared(weight + (i * Q + k) * PIXEL);
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int k = 0; k < Q; k++)
#pragma unroll
                for (int c = 0; c < 2; c++)
                    if (i >= r && i < r + Q) sum[r][c] = fma_half2(w[r][k], v[k + c], sum[r][c]);
    }
    // The upper half of the warp writes the second column first, so that no two lanes meet in a bank.
    const int swap = lane >> 4, left = (int)blockIdx.x * P::COLUMNS - P::half(J) + 2 * pair;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int c = i ^ swap;
            const bool exists = (u32)(left + c) < (u32)arguments.width && (u32)(row + r) < (u32)arguments.height;
            const u32 to = shared + P::a(J) + (r * P::a_columns(J) + 2 * pair + c) * PIXEL + 4 * h;
            store_shared(to, exists ? (c == 0 ? sum[r][0] : sum[r][1]) : 0u);
        }
}

// Strips of group J for the thread's column and two channels: takes `a` of rows `row` and `row` + 1, writes e of the
// rows half(J) above them. open[i] is the sum so far of the row i below the next to be finished.
template <class P, int J>
__device__ __forceinline__ void strips(u32 (&open)[P::lead(J)], u32 shared, int row, int height) {
    constexpr int K = P::strip(J), D = P::dilation(J), OPEN = P::lead(J), SQUARES = P::square(J) * P::square(J);
    const u32 weight = shared + P::weights(J) + SQUARES * PIXEL + 4 * (threadIdx.x & 7);
    u32 across[K], down[K];
#pragma unroll
    for (int k = 0; k < K; k++) {
        across[k] = load_shared(weight + k * PIXEL);
        down[k] = load_shared(weight + (K + k) * PIXEL);
    }
    const u32 across_bias = load_shared(weight + (2 * K + 1) * PIXEL);
    const u32 down_bias = load_shared(weight + (2 * K + 2) * PIXEL);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const u32 at = shared + P::a(J) + r * P::a_columns(J) * PIXEL + 4 * threadIdx.x;
        u32 sum = across_bias, centre = 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const u32 v = load_shared(at + k * D * PIXEL);
            sum = fma_half2(across[k], v, sum);
            if (k == K / 2) centre = v;
        }
        if ((u32)(row + r) >= (u32)height) sum = 0;
        store_shared(shared + P::e(r, J) + 4 * threadIdx.x, fma_half2(down[K - 1], sum, open[0]));
#pragma unroll
        for (int i = 0; i < OPEN; i++) {
            const u32 before = i + 1 < OPEN ? open[i + 1] : down_bias;
            open[i] = (i + 1) % D == 0 ? fma_half2(down[K - 1 - (i + 1) / D], sum, before) : before;
            if (i == OPEN / 2 - 1) open[i] = add_half2(open[i], centre);
        }
    }
}

// Adds what 16 pixels of the output give to the sum over all modules; `first` is the lane's place in maps, of pixel g.
template <int SLICES>
__device__ __forceinline__ void add_share(const LargeKernelArguments& a, const Pointwise<SLICES>& pointwise,
                                          const Slice (&out)[SLICES], const bool (&exists)[2], long long first) {
    constexpr int DIM = 16 * SLICES;
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        SliceSum sum;
        sum.start(pointwise.bias(2) + 16 * s);
        if (a.fuse_input) {
            sum.clear();
#pragma unroll
            for (int half = 0; half < 2; half++)
                if (exists[half]) sum.add_pixel(half, *(const uint2*)(a.fuse_input + first + half * 8 * DIM + 16 * s));
        }
        pointwise.add(sum, out, 2, s);
        if (a.gelu) sum.apply(gelu);
        const Slice packed = sum.packed();
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (exists[half]) *(uint2*)(a.fuse_output + first + half * 8 * DIM + 16 * s) = packed.pixel(half);
    }
}

// The 1x1 convolutions of 16 finished pixels: those of tile `tile` of the turn whose first row is `row`.
template <class P>
__device__ __forceinline__ void finish_tile(const LargeKernelArguments& a, const Pointwise<P::GROUPS>& pointwise,
                                            u32 shared, int tile, int row) {
    constexpr int SLICES = P::GROUPS, DIM = P::DIM;
    const int lane = threadIdx.x & 31, r = tile / (P::COLUMNS / 16), t = lane & 3;
    const int column = tile % (P::COLUMNS / 16) * 16 + (lane >> 2), x = (int)blockIdx.x * P::COLUMNS + column;
    if (row + r >= a.height) return;
    const bool exists[2] = {x < a.width, x + 8 < a.width};
    const long long first = ((long long)(row + r) * a.width + x) * DIM + 4 * t;
    const auto place = [&](int s, int half) { return first + half * 8 * DIM + 16 * s; };

    const u32 e = shared + r * (P::e(1, 0) - P::e(0, 0)) + column * PIXEL + 8 * t;
    Slice gated[SLICES], out[SLICES];
#pragma unroll
    for (int s = 0; s < SLICES; s++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            out[s].set_pixel(half, load_shared_8(e + P::e(0, s) + 8 * half * PIXEL));
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        SliceSum sum;
        sum.start(pointwise.bias(0) + 16 * s);
        pointwise.add(sum, out, 0, s);
#pragma unroll
        for (int half = 0; half < 2; half++)
            sum.multiply_pixel(half, exists[half] ? *(const uint2*)(a.p + place(s, half)) : make_uint2(0, 0));
        gated[s] = sum.packed();
    }
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        SliceSum sum;
        sum.start(pointwise.bias(1) + 16 * s);
        pointwise.add(sum, gated, 1, s);
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (exists[half]) sum.add_pixel(half, *(const uint2*)(a.y + place(s, half)));
        out[s] = sum.packed();
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (a.out && exists[half]) *(uint2*)(a.out + place(s, half)) = out[s].pixel(half);
    }
    if (a.fuse_output) add_share(a, pointwise, out, exists, first);
}

// Step 1 of the turn that finishes `row`: tiles of the rows before, and units of `a` for later ones. The first warps
// take a tile each and share the last, lightest units; the others take the heaviest, two each.
template <class P>
__device__ __forceinline__ void square_step(const LargeKernelArguments& a, const Pointwise<P::GROUPS>& pointwise,
                                            u32 shared, int row, int first, int last, int turn) {
    constexpr int OTHERS = P::WARPS - P::TILES, UNITS = P::units(0) + P::units_after(0);
    const int warp = threadIdx.x >> 5;
    const bool tiles = warp < P::TILES;
    if (tiles && row - ROWS >= first) finish_tile<P>(a, pointwise, shared, warp, row - ROWS);
    if (row >= last) return;
    const int stop = tiles ? UNITS : 2 * OTHERS < UNITS ? 2 * OTHERS : UNITS;
#pragma unroll 1
    for (int unit = tiles ? 2 * OTHERS + warp : warp - P::TILES; unit < stop; unit += tiles ? P::TILES : OTHERS)
        for_each<P::GROUPS>([&](auto j) {
            constexpr int J = decltype(j)::value, FIRST = P::units_after(J);
            if (unit >= FIRST && unit < FIRST + P::units(J) && row + P::lead(J) >= first)
                square_unit<P, J>(a, shared, unit - FIRST, row + P::half(J), (turn + 1) * ROWS % P::ring_rows(J));
        });
}

template <class P>
__device__ __forceinline__ void large_kernel(const LargeKernelArguments& a) {
    const u32 shared = shared_address(shared_memory);
    const int first = blockIdx.y * a.rows, last = min(first + a.rows, a.height);
    // Rows that arrive for the turn that finishes `row`.
    const auto load = [&](int row, int turn) {
        for_each<P::GROUPS>([&](auto j) {
            constexpr int J = decltype(j)::value;
            if (row + P::preload(J) >= first)
                load_rows<P, J>(a, shared, row + P::half(J) + P::square(J) / 2, turn * ROWS % P::ring_rows(J));
        });
        copy_async_commit();
    };
    for (int i = threadIdx.x; i < P::weights(P::GROUPS) / 16; i += P::THREADS)
        store_shared(shared + 16 * i, ((const uint4*)a.depthwise)[i]);
    const Pointwise<P::GROUPS> pointwise = {
        bring_constants<Pointwise<P::GROUPS>::BYTES>(a.constants, shared_memory + P::constants())};
    u32 open[P::open_rows(P::GROUPS)] = {};
    int row = first - P::warmup(), turn = 0;
    load(row, turn);
    copy_async_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (;; row += ROWS, turn++) {
        square_step<P>(a, pointwise, shared, row, first, last, turn);
        if (row >= last) return;
        __syncthreads();
        if (row + ROWS < last) load(row + ROWS, turn + 1);
        for_each<P::GROUPS>([&](auto j) {
            constexpr int J = decltype(j)::value;
            if (row + P::lead(J) >= first)
                strips<P, J>(*(u32(*)[P::lead(J)])(open + P::open_rows(J)), shared, row + P::half(J), a.height);
        });
        copy_async_wait<0>();
        __syncthreads();
    }
}

extern "C" __global__ void __launch_bounds__(Plan<Dim32>::THREADS, 1)
    large_kernel_c32_f16(const LargeKernelArguments a) {
    large_kernel<Plan<Dim32>>(a);
}

extern "C" __global__ void __launch_bounds__(Plan<Dim48>::THREADS, 1)
    large_kernel_c48_f16(const LargeKernelArguments a) {
    large_kernel<Plan<Dim48>>(a);
}
