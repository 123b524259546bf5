//! Operands: registers, literals, addresses, and the kinds that instructions ask for.

/// The register files of a warp. Registers of up to 32 bits share one, zero-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum File {
    Word,
    Long,
    Predicate,
}

/// A declared register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) file: File,
    pub(crate) slot: u16,
    /// Declared width: 1 for a predicate.
    pub(crate) bits: u8,
}

/// A number in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Literal {
    /// Integer, modulo 2^64.
    Integer(u64),
    /// `0f` and eight digits.
    Single(u32),
    /// `0d` and sixteen digits, or a decimal number.
    Double(f64),
}

/// A value that is known when a warp starts, by what it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Constant {
    Value(u64),
    /// Address of dynamic shared memory, plus an offset.
    Dynamic(u64),
    /// Address of a module variable, plus an offset.
    Global(usize, u64),
    /// A special register.
    Special(Special),
}

/// Special registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Thread(u8),
    Threads(u8),
    Block(u8),
    Blocks(u8),
    Lane,
    Warp,
    Warps,
    /// Lanes equal to, below or above this one.
    Lanes {
        below: bool,
        equal: bool,
        above: bool,
    },
    DynamicShared,
    TotalShared,
    /// The one multiprocessor, and how many there are.
    Processor,
    Processors,
}

impl Special {
    pub(crate) fn named(name: &str) -> Option<Special> {
        let axis = |axis: &str| ["x", "y", "z"].iter().position(|a| *a == axis).map(|a| a as u8);
        let lanes = |below, equal, above| Some(Special::Lanes { below, equal, above });
        if let Some((base, part)) = name.split_once('.') {
            return match base {
                "%tid" => axis(part).map(Special::Thread),
                "%ntid" => axis(part).map(Special::Threads),
                "%ctaid" => axis(part).map(Special::Block),
                "%nctaid" => axis(part).map(Special::Blocks),
                _ => None,
            };
        }
        match name {
            "%laneid" => Some(Special::Lane),
            "%warpid" => Some(Special::Warp),
            "%nwarpid" => Some(Special::Warps),
            "%lanemask_eq" => lanes(false, true, false),
            "%lanemask_lt" => lanes(true, false, false),
            "%lanemask_le" => lanes(true, true, false),
            "%lanemask_gt" => lanes(false, false, true),
            "%lanemask_ge" => lanes(false, true, true),
            "%dynamic_smem_size" => Some(Special::DynamicShared),
            "%total_smem_size" => Some(Special::TotalShared),
            "%smid" => Some(Special::Processor),
            "%nsmid" => Some(Special::Processors),
            _ => None,
        }
    }
}

/// An operand, its names resolved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Register(Register),
    /// `!%p`.
    Negated(Register),
    Literal(Literal),
    /// A symbol's address or a special register.
    Constant(Constant),
    /// `[base + offset]`.
    Address(Box<Operand>, i64),
    /// `{a, b}`.
    Vector(Vec<Operand>),
    /// `d|p`.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`.
    Sink,
    /// A name that is nothing else: a label.
    Label(String),
}

/// What an instruction expects of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Width; 1 for a predicate.
    pub(crate) bits: u8,
    /// Whether literals are floats.
    pub(crate) float: bool,
}

impl Kind {
    pub(crate) const fn bits(bits: u8) -> Kind {
        Kind { bits, float: false }
    }

    pub(crate) fn file(self) -> File {
        match self.bits {
            1 => File::Predicate,
            64 => File::Long,
            _ => File::Word,
        }
    }
}

/// Parses a number.
pub(super) fn literal(word: &str) -> Option<Literal> {
    let lower = word.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0f") {
        return (digits.len() == 8).then(|| u32::from_str_radix(digits, 16).ok().map(Literal::Single))?;
    }
    if let Some(digits) = lower.strip_prefix("0d") {
        let bits = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())??;
        return Some(Literal::Double(f64::from_bits(bits)));
    }
    let digits = lower.strip_suffix('u').unwrap_or(&lower);
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).map(|d| u64::from_str_radix(d, radix).ok());
    if let Some(value) = radix("0x", 16).or_else(|| radix("0b", 2)) {
        return value.map(Literal::Integer);
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        return u64::from_str_radix(digits, 8).ok().map(Literal::Integer);
    }
    match digits.parse() {
        Ok(value) => Some(Literal::Integer(value)),
        Err(_) => lower.parse().ok().map(Literal::Double),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        assert_eq!(literal("42"), Some(Literal::Integer(42)));
        assert_eq!(literal("0x1F"), Some(Literal::Integer(31)));
        assert_eq!(literal("0b101"), Some(Literal::Integer(5)));
        assert_eq!(literal("017"), Some(Literal::Integer(15)));
        assert_eq!(literal("0U"), Some(Literal::Integer(0)));
        assert_eq!(literal("0f3F800000"), Some(Literal::Single(1f32.to_bits())));
        assert_eq!(literal("0d3FF0000000000000"), Some(Literal::Double(1.0)));
        assert_eq!(literal("1.5e-3"), Some(Literal::Double(1.5e-3)));
        assert_eq!(literal("0f3F8"), None);
        assert_eq!(literal("089"), None);
        assert_eq!(literal("0xg"), None);
    }
}
