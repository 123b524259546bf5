//! Variable declarations: `.align 16 .b8 name[64] = {1, 2}`.

use super::lex::Lexeme;
use super::operand::{Literal, literal};
use super::parse::{Parsed, Reader};

/// A declared variable.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) align: usize,
    pub(super) initial: Vec<u8>,
    /// Without a size: dynamic shared memory.
    pub(super) open: bool,
}

/// Where a symbol lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Parameter(u64),
    /// Address within shared memory.
    Shared(u64),
    /// After all static shared memory.
    Dynamic,
    Local(u64),
    /// Number among the module's variables.
    Global(usize),
}

/// Bits of a fundamental type such as `.u32`.
pub(super) fn bits(name: &str) -> Option<u8> {
    Some(match name {
        ".pred" => 1,
        ".b8" | ".u8" | ".s8" => 8,
        ".b16" | ".u16" | ".s16" | ".f16" => 16,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" => 32,
        ".b64" | ".u64" | ".s64" | ".f64" => 64,
        _ => return None,
    })
}

/// A declaration up to its semicolon.
pub(super) fn parse(reader: &mut Reader<'_>, external: bool) -> Parsed<Variable> {
    let variable = declarator(reader, external)?;
    reader.expect(';')?;
    Ok(variable)
}

/// A declaration without its semicolon, after the state space.
pub(super) fn declarator(reader: &mut Reader<'_>, external: bool) -> Parsed<Variable> {
    let (mut align, mut vector) = (None, 1);
    let element = loop {
        match reader.word()? {
            ".align" => align = Some(reader.number()?),
            ".v2" => vector = 2,
            ".v4" => vector = 4,
            word => break bits(word).filter(|b| *b > 1).ok_or_else(|| format!("type {word} is not supported"))? / 8,
        }
    };
    // `.param .u64 .ptr .global .align 16 name`: what the pointer points to.
    if reader.eat_word(".ptr") {
        pointer(reader);
        if reader.eat_word(".align") {
            reader.number()?;
        }
    }
    let element = usize::from(element) * vector;
    let align = align.unwrap_or(element);
    if !align.is_power_of_two() {
        return Err(format!("alignment {align} is no power of two"));
    }
    let name = reader.word()?.to_owned();
    let (mut bytes, mut open) = (element, false);
    while reader.eat('[') {
        if reader.eat(']') {
            open = true;
            bytes = 0;
        } else {
            bytes *= reader.number()?;
            reader.expect(']')?;
        }
    }
    if open && !external {
        return Err(format!("{name} has no size"));
    }
    let mut initial = Vec::new();
    if reader.eat('=') {
        initializer(reader, element, &mut initial)?;
    }
    if initial.len() > bytes {
        return Err(format!("{name} has {bytes} bytes and an initial value of {}", initial.len()));
    }
    Ok(Variable { name, bytes, align, initial, open })
}

/// The space that a pointer parameter points to: a hint.
fn pointer(reader: &mut Reader<'_>) {
    for space in [".global", ".const", ".shared", ".local"] {
        reader.eat_word(space);
    }
}

fn initializer(reader: &mut Reader<'_>, element: usize, into: &mut Vec<u8>) -> Parsed<()> {
    if reader.eat('{') {
        if reader.eat('}') {
            return Ok(());
        }
        loop {
            initializer(reader, element, into)?;
            if !reader.eat(',') {
                return reader.expect('}');
            }
        }
    }
    let negative = reader.eat('-');
    let word = reader.word()?;
    let value = match word.starts_with(|c: char| c.is_ascii_digit()).then(|| literal(word)).flatten() {
        Some(Literal::Integer(value)) if negative => value.wrapping_neg(),
        Some(Literal::Integer(value)) => value,
        Some(Literal::Single(bits)) if element == 4 && !negative => u64::from(bits),
        Some(Literal::Double(value)) if element == 8 => if negative { -value } else { value }.to_bits(),
        Some(Literal::Double(value)) if element == 4 => {
            u64::from(if negative { -value as f32 } else { value as f32 }.to_bits())
        }
        _ => return Err(format!("{word} as an initial value is not supported")),
    };
    into.extend(&value.to_le_bytes()[..element.min(8)]);
    Ok(())
}

/// Names of a parameterised declaration: `%r<10>` stands for `%r0` to `%r9`.
pub(super) fn numbered(reader: &mut Reader<'_>) -> Parsed<Vec<String>> {
    let name = reader.word()?;
    if reader.peek() != Some(Lexeme::Mark('<')) {
        return Ok(vec![name.to_owned()]);
    }
    reader.expect('<')?;
    let count = reader.number()?;
    reader.expect('>')?;
    if count > 1 << 16 {
        return Err(format!("{count} registers of one name"));
    }
    Ok((0..count).map(|n| format!("{name}{n}")).collect())
}
