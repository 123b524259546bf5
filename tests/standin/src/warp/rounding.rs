//! Rounding between number formats in the four directions.

use half::f16;

/// A rounding direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    Zero,
    Down,
    Up,
}

impl Rounding {
    /// The integral value in this direction.
    pub(super) fn integral(self, value: f64) -> f64 {
        match self {
            Rounding::Nearest => value.round_ties_even(),
            Rounding::Zero => value.trunc(),
            Rounding::Down => value.floor(),
            Rounding::Up => value.ceil(),
        }
    }

    /// Whether a magnitude that lies between two neighbours goes to the larger.
    fn away(self, negative: bool, odd: bool, half: std::cmp::Ordering) -> bool {
        match self {
            Rounding::Nearest => half.is_gt() || (half.is_eq() && odd),
            Rounding::Zero => false,
            Rounding::Down => negative,
            Rounding::Up => !negative,
        }
    }
}

/// The integer in this direction; NaN gives 0.
pub(super) fn integer_from_float(value: f64, rounding: Rounding) -> i128 {
    rounding.integral(value) as i128
}

/// A float format: significand bits with the hidden one, and the exponent of the smallest subnormal.
struct Format {
    precision: i32,
    smallest: i32,
    /// Exponent of the largest number's leading bit.
    largest: i32,
}

fn format(bits: u8) -> Format {
    match bits {
        16 => Format { precision: 11, smallest: -24, largest: 15 },
        32 => Format { precision: 24, smallest: -149, largest: 127 },
        _ => Format { precision: 53, smallest: -1074, largest: 1023 },
    }
}

/// The bits of an integer as a float of this width.
pub(super) fn float_from_integer(value: i128, bits: u8, rounding: Rounding) -> u64 {
    encode(value.unsigned_abs(), 0, value < 0, bits, rounding)
}

/// The bits of a float in this width. A NaN becomes the canonical one.
pub(super) fn float_from_float(value: f64, bits: u8, rounding: Rounding) -> u64 {
    let negative = value.is_sign_negative();
    if value.is_nan() {
        return match bits {
            16 => 0x7fff,
            32 => 0x7fff_ffff,
            _ => value.to_bits(),
        };
    }
    if value.is_infinite() || bits == 64 {
        return match bits {
            16 => u64::from(f16::from_f64(value).to_bits()),
            32 => u64::from((value as f32).to_bits()),
            _ => value.to_bits(),
        };
    }
    let raw = value.to_bits();
    let exponent = (raw >> 52 & 0x7ff) as i32;
    let fraction = u128::from(raw & ((1 << 52) - 1));
    let (significand, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    encode(significand, exponent, negative, bits, rounding)
}

/// significand * 2^exponent, rounded.
fn encode(significand: u128, exponent: i32, negative: bool, bits: u8, rounding: Rounding) -> u64 {
    let Format { precision, smallest, largest } = format(bits);
    let sign = u64::from(negative) << (bits - 1);
    if significand == 0 {
        return sign;
    }
    let leading = exponent + 127 - significand.leading_zeros() as i32;
    // Exponent of the last bit that the format keeps.
    let unit = (leading - precision + 1).max(smallest);
    let dropped = unit - exponent;
    let mut kept = match dropped {
        ..=0 => significand << -dropped,
        1..=127 => significand >> dropped,
        _ => 0,
    };
    if dropped > 0 {
        let rest = if dropped < 128 { significand & ((1 << dropped) - 1) } else { significand };
        let half = if dropped <= 128 { rest.cmp(&(1 << (dropped - 1))) } else { std::cmp::Ordering::Less };
        if rest != 0 && rounding.away(negative, kept & 1 != 0, half) {
            kept += 1;
        }
    }
    // A carry out of the significand goes up into the exponent field by itself.
    let fraction_bits = precision - 1;
    let biased = (kept as u64) + (((unit - smallest) as u64) << fraction_bits);
    let infinity = ((largest * 2 + 1) as u64) << fraction_bits;
    if biased >= infinity {
        // Overflow: infinity, or the largest number where rounding goes towards zero.
        let stays = match rounding {
            Rounding::Nearest => false,
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
        };
        return sign | if stays { infinity - 1 } else { infinity };
    }
    sign | biased
}
