//! `mma` and `ldmatrix`: which lane and register holds which element, as the manual's tables say.

use half::f16;

use crate::common::Bench;

/// A matrix of 16-bit floats that are exact: whole numbers.
type Matrix = Vec<Vec<f32>>;

/// Row and column of a lane's element.
type Place = fn(usize, usize) -> (usize, usize);

fn matrix(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Matrix {
    (0..rows).map(|row| (0..columns).map(|column| value(row, column)).collect()).collect()
}

fn pack(low: f32, high: f32) -> u32 {
    u32::from(f16::from_f32(high).to_bits()) << 16 | u32::from(f16::from_f32(low).to_bits())
}

fn halves(word: u32) -> [f32; 2] {
    [f16::from_bits(word as u16).to_f32(), f16::from_bits((word >> 16) as u16).to_f32()]
}

/// PTX ISA, fragments of mma.m16n8k16, A: `row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, groupID + 8
/// otherwise; col = (threadID_in_group * 2) + (i & 1) for ai where i < 4, ... + 8 for i >= 4`.
fn place_a16(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 || (4..6).contains(&i) { group } else { group + 8 };
    let column = thread * 2 + (i & 1) + if i < 4 { 0 } else { 8 };
    (row, column)
}

/// B: `row = (threadID_in_group * 2) + (i & 1) for bi where i < 2, ... + 8 for i >= 2; col = groupID`.
fn place_b16(lane: usize, i: usize) -> (usize, usize) {
    (lane % 4 * 2 + (i & 1) + if i < 2 { 0 } else { 8 }, lane >> 2)
}

/// C and D: `row = groupID for ci where i < 2, groupID + 8 for i >= 2; col = (threadID_in_group * 2) + (i & 0x1)`.
fn place_c(lane: usize, i: usize) -> (usize, usize) {
    ((lane >> 2) + if i < 2 { 0 } else { 8 }, lane % 4 * 2 + (i & 1))
}

/// PTX ISA, fragments of mma.m16n8k8 (.f16), A: `row = groupID for ai where i < 2, groupID + 8 for i >= 2;
/// col = threadID_in_group * 2 + (i & 0x1)`.
fn place_a8(lane: usize, i: usize) -> (usize, usize) {
    ((lane >> 2) + if i < 2 { 0 } else { 8 }, lane % 4 * 2 + (i & 1))
}

/// B: `row = (threadID_in_group * 2) + i; col = groupID`.
fn place_b8(lane: usize, i: usize) -> (usize, usize) {
    (lane % 4 * 2 + i, lane >> 2)
}

/// The registers of all lanes, two elements each.
fn fragment(m: &Matrix, elements: usize, place: impl Fn(usize, usize) -> (usize, usize)) -> Vec<Vec<u32>> {
    let element = |lane, i| {
        let (row, column) = place(lane, i);
        m[row][column]
    };
    (0..32)
        .map(|lane| (0..elements / 2).map(|r| pack(element(lane, r * 2), element(lane, r * 2 + 1))).collect())
        .collect()
}

fn product(a: &Matrix, b: &Matrix, c: &Matrix) -> Matrix {
    let term = |row: usize, column: usize| (0..b.len()).map(|k| a[row][k] * b[k][column]).sum::<f32>();
    matrix(16, 8, |row, column| c[row][column] + term(row, column))
}

/// Runs one mma: the lanes' registers of A, B and C in, those of D out.
fn run(depth: usize, accumulator: &str, a: &Matrix, b: &Matrix, c: &Matrix) -> Matrix {
    let (places_a, places_b): (Place, Place) = if depth == 16 { (place_a16, place_b16) } else { (place_a8, place_b8) };
    let fa = fragment(a, depth / 2, places_a);
    let fb = fragment(b, depth / 4, places_b);
    let fc: Vec<Vec<u32>> = match accumulator {
        "f16" => fragment(c, 4, place_c),
        _ => {
            (0..32).map(|lane| (0..4).map(|i| c[place_c(lane, i).0][place_c(lane, i).1].to_bits()).collect()).collect()
        }
    };
    let input: Vec<u32> = (0..32).flat_map(|lane| [&fa[lane][..], &fb[lane], &fc[lane]].concat()).collect();
    let (na, nb, nc) = (fa[0].len(), fb[0].len(), fc[0].len());
    let registers =
        |from: usize, count: usize| (from..from + count).map(|n| format!("%r{n}")).collect::<Vec<_>>().join(", ");
    let loads: String = (0..na + nb + nc).map(|n| format!("ld.global.b32 %r{n}, [%d99+{}];\n", n * 4)).collect();
    let stores: String = (0..nc).map(|n| format!("st.global.b32 [%d98+{}], %r{};\n", n * 4, 20 + n)).collect();
    let body = format!(
        "mad.wide.u32 %d99, %r99, {}, %d99;\nmad.wide.u32 %d98, %r99, {}, %d98;\n{loads}\
         mma.sync.aligned.m16n8k{depth}.row.col.{accumulator}.f16.f16.{accumulator} {{{}}}, {{{}}}, {{{}}}, {{{}}};\n{stores}",
        (na + nb + nc) * 4,
        nc * 4,
        registers(20, nc),
        registers(0, na),
        registers(na, nb),
        registers(na + nb, nc),
    );
    let words = Bench::new(&body).run(&input, 32 * nc).unwrap_or_else(|fault| panic!("{fault}")).words;
    let mut d = matrix(16, 8, |_, _| f32::NAN);
    for lane in 0..32 {
        for i in 0..4 {
            let (row, column) = place_c(lane, i);
            d[row][column] = match accumulator {
                "f16" => halves(words[lane * 2 + i / 2])[i % 2],
                _ => f32::from_bits(words[lane * 4 + i]),
            };
        }
    }
    d
}

/// Elements that are all distinct in A, and in C; B picks a row of it.
#[test]
fn every_element_has_its_place() {
    for depth in [8, 16] {
        let a = matrix(16, depth, |row, column| (row * depth + column + 1) as f32);
        let c = matrix(16, 8, |row, column| (row * 8 + column) as f32 - 64.0);
        for k in 0..depth {
            // Column n of A * B is column (k + n) of A, times n + 1.
            let b = matrix(depth, 8, |row, n| if row == (k + n) % depth { (n + 1) as f32 } else { 0.0 });
            let expected = product(&a, &b, &c);
            assert_eq!(run(depth, "f32", &a, &b, &c), expected, "depth {depth}, k {k}");
        }
    }
}

/// The same with 16-bit accumulators, in numbers that they hold exactly.
#[test]
fn every_element_has_its_place_with_small_accumulators() {
    for depth in [8, 16] {
        let a = matrix(16, depth, |row, column| (row * depth + column + 1) as f32);
        let c = matrix(16, 8, |row, column| (row * 8 + column) as f32 - 64.0);
        for k in 0..depth {
            let b = matrix(depth, 8, |row, n| if row == (k + n) % depth { 1.0 } else { 0.0 });
            let expected = product(&a, &b, &c);
            assert_eq!(run(depth, "f16", &a, &b, &c), expected, "depth {depth}, k {k}");
        }
    }
}

#[test]
fn sums_have_32_bits_and_round_once_to_16() {
    // 2048 + 1 + 1: each step alone would be lost in 16 bits.
    let a = matrix(16, 16, |_, column| if column < 2 { 1.0 } else { 0.0 });
    let b = matrix(16, 8, |_, _| 1.0);
    let c = matrix(16, 8, |_, _| 2048.0);
    assert_eq!(run(16, "f16", &a, &b, &c), matrix(16, 8, |_, _| 2050.0));
    // Products beyond the 16-bit range are fine in 32 bits, and infinite in 16.
    let a = matrix(16, 16, |_, column| if column == 0 { 1024.0 } else { 0.0 });
    let b = matrix(16, 8, |_, _| 1024.0);
    let c = matrix(16, 8, |_, _| 0.5);
    assert_eq!(run(16, "f32", &a, &b, &c), matrix(16, 8, |_, _| 1_048_576.5));
    assert_eq!(run(16, "f16", &a, &b, &c), matrix(16, 8, |_, _| f32::INFINITY));
}

/// Shared memory is filled with element numbers, rows of 16 bytes; lane n gives the address of row n.
fn load(count: usize, transposed: bool) -> Vec<u32> {
    let trans = if transposed { ".trans" } else { "" };
    let registers: Vec<_> = (0..count).map(|n| format!("%r{}", 10 + n)).collect();
    let stores: String = (0..count).map(|n| format!("st.global.b32 [%d98+{}], %r{};\n", n * 4, 10 + n)).collect();
    let body = format!(
        ".shared .align 16 .b8 tile[512];\nmov.u32 %r0, tile;\nmad.lo.u32 %r1, %r99, 16, %r0;\n\
         mad.wide.u32 %d99, %r99, 16, %d99;\nld.global.v4.u32 {{%r2, %r3, %r4, %r5}}, [%d99];\n\
         st.shared.v4.u32 [%r1], {{%r2, %r3, %r4, %r5}};\nbar.sync 0;\n\
         ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{}}}, [%r1];\n\
         mad.wide.u32 %d98, %r99, {}, %d98;\n{stores}",
        registers.join(", "),
        count * 4
    );
    let input: Vec<u32> = (0..128).map(|n| ((n * 2 + 1) << 16) | (n * 2)).collect();
    let outcome = Bench::new(&body).run(&input, 32 * count).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(outcome.counters.ldmatrix[&format!("x{count}")], 1);
    outcome.words
}

/// PTX ISA, `ldmatrix`: thread T holds row T / 4, elements 2 (T % 4) and the next; matrix n has the rows whose
/// addresses are in threads 8 n to 8 n + 7. With .trans the matrix is loaded in column-major format.
#[test]
fn rows_of_matrices_go_to_lanes() {
    for count in [1, 2, 4] {
        for transposed in [false, true] {
            for (n, word) in load(count, transposed).into_iter().enumerate() {
                let (lane, matrix) = (n / count, n % count);
                let element = |i: usize| {
                    let (row, column) = (lane / 4, lane % 4 * 2 + i);
                    let (row, column) = if transposed { (column, row) } else { (row, column) };
                    (matrix * 64 + row * 8 + column) as u32
                };
                assert_eq!(word, element(1) << 16 | element(0), "x{count} {transposed} lane {lane} matrix {matrix}");
            }
        }
    }
}
