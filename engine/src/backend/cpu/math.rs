//! Functions of a vector.

use super::simd::Simd;

/// The exact GELU, `x/2 (1 + erf(x / sqrt 2))`.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let half = s.mul(s.splat(0.5), x);
    s.fma(half, erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
}

/// The error function, as `x P(x²) / Q(x²)` on -4..4, beyond which it is ±1 in f32. Coefficients as in Eigen and XLA.
#[inline(always)]
fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    const P: [f32; 7] = [
        -2.726_142_4e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const Q: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827_e-3, -7.373_329_3e-3, -1.426_473_9e-2];
    let x = s.max(s.splat(-4.0), s.min(s.splat(4.0), x));
    let square = s.mul(x, x);
    s.div(s.mul(x, polynomial(s, square, &P)), polynomial(s, square, &Q))
}

/// Coefficients from the highest power down.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: &[f32; N]) -> S::V {
    let mut sum = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `e^x`; 0 below -87, as needed for a softmax, and no more than 3e38.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // ln 2 in two parts, the first with trailing zeros (Cephes).
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const P: [f32; 6] = [1.987_569_2e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    let x = s.max(s.splat(-87.0), s.min(s.splat(88.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2[0]), x);
    let r = s.fma(n, s.splat(-LN2[1]), r);
    let tail = s.fma(polynomial(s, r, &P), s.mul(r, r), r);
    s.mul(s.add(tail, s.splat(1.0)), s.pow2(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::dispatch::{Isa, kernel};
    use crate::backend::reference;

    kernel! {
        fn apply<S>(s, x: &mut [f32], which: u8) {
            for block in x.chunks_exact_mut(S::LANES) {
                // SAFETY: a block is a vector long.
                let v = unsafe { s.load(block.as_ptr()) };
                let v = if which == 0 { gelu(s, v) } else { exp(s, v) };
                // SAFETY: as above.
                unsafe { s.store(block.as_mut_ptr(), v) };
            }
        }
    }

    #[test]
    fn gelu_is_exact_to_a_few_units_in_the_last_place() {
        let inputs: Vec<f32> = (0..80_000).map(|i| (i as f32 - 40_000.0) / 4_000.0).collect();
        for isa in Isa::all() {
            let mut out = inputs.clone();
            apply(isa, &mut out, 0);
            for (&x, &y) in inputs.iter().zip(&out) {
                // The rounding of erf's two polynomials, 5e-7 at the most, times half of x.
                let error = (y - reference::gelu(x)).abs();
                assert!(error < 2.5e-7 * x.abs().max(1.0), "{}: gelu({x}) is off by {error}", isa.name());
            }
        }
    }

    #[test]
    fn exp_is_exact_to_a_few_units_in_the_last_place() {
        let inputs: Vec<f32> = (0..17_500 * 8).map(|i| -87.0 + i as f32 / 800.0).collect();
        for isa in Isa::all() {
            let mut out = inputs.clone();
            apply(isa, &mut out, 1);
            for (&x, &y) in inputs.iter().zip(&out) {
                let error = (f64::from(y) / f64::from(x).exp() - 1.0).abs();
                assert!(error < 3e-7, "{}: exp({x}) is off by {error}", isa.name());
            }
        }
    }
}
