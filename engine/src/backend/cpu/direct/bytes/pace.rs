//! How many products a processor starts in the time of a sum: that decides between bytes and Winograd's fewer products.

use std::arch::asm;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::backend::cpu::simd::Avx512;

/// Times around the loops: some microseconds.
const TURNS: usize = 1000;

/// The time of an instruction on twelve registers, independent of each other, many times.
macro_rules! time {
    ($instruction:literal) => {{
        let start = Instant::now();
        // SAFETY: the instruction is there by the proof that `measure` takes; it works on registers alone.
        unsafe {
            asm!(
                "2:",
                concat!($instruction, " zmm0, zmm12, zmm12"), concat!($instruction, " zmm1, zmm12, zmm12"),
                concat!($instruction, " zmm2, zmm12, zmm12"), concat!($instruction, " zmm3, zmm12, zmm12"),
                concat!($instruction, " zmm4, zmm12, zmm12"), concat!($instruction, " zmm5, zmm12, zmm12"),
                concat!($instruction, " zmm6, zmm12, zmm12"), concat!($instruction, " zmm7, zmm12, zmm12"),
                concat!($instruction, " zmm8, zmm12, zmm12"), concat!($instruction, " zmm9, zmm12, zmm12"),
                concat!($instruction, " zmm10, zmm12, zmm12"), concat!($instruction, " zmm11, zmm12, zmm12"),
                "dec {turns}",
                "jnz 2b",
                turns = inout(reg) TURNS => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                options(nomem, nostack),
            );
        }
        start.elapsed()
    }};
}

/// Whether as many products of bytes are started in a time as sums: so it is where both of two units multiply (Xeon). Zen 4
/// and processors with one such unit start half as many.
pub fn multiplies_as_it_adds(proof: Avx512) -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let (products, sums) = measure(proof);
        products < sums * 3 / 2
    })
}

/// The times of as many products and sums, the least of some trials.
fn measure(proof: Avx512) -> (Duration, Duration) {
    assert!(proof.vnni(), "there are such products");
    let least = |time: fn() -> Duration| (0..8).map(|_| time()).min().unwrap_or_default();
    (least(|| time!("vpdpbusd")), least(|| time!("vpaddd")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_takes_as_long_as_a_sum_or_twice() {
        let Some(proof) = Avx512::detect_vnni() else {
            println!("skipped: this processor has no VNNI");
            return;
        };
        let (products, sums) = measure(proof);
        let ratio = products.as_secs_f64() / sums.as_secs_f64();
        assert!((0.4..5.0).contains(&ratio), "{ratio}");
    }
}
