//! The body of a kernel: scopes, registers, labels, instructions.

use std::collections::HashMap;

use super::frame::{Frame, TRUE};
use super::instruction::{Instruction, Opcode};
use super::lex::Lexeme;
use super::operand::{Constant, File, Literal, Operand, Register, Special, literal};
use super::parse::{Declared, Parsed, Reader, skip_pragma};
use super::variable::{self, Place, Variable};
use super::{Kernel, SHARED_BASE};
use crate::warp;

/// A `{ }` of the text.
#[derive(Default)]
struct Scope {
    parent: usize,
    registers: HashMap<String, Register>,
    symbols: HashMap<String, Place>,
    labels: HashMap<String, usize>,
}

/// A branch whose label may come later.
struct Branch {
    at: usize,
    scope: usize,
    label: String,
    line: u32,
}

/// A kernel's body as it is parsed.
pub(super) struct Body {
    frame: Frame,
    code: Vec<Instruction>,
    scopes: Vec<Scope>,
    current: usize,
    branches: Vec<Branch>,
    /// End of static shared memory, and of local memory.
    shared: usize,
    local: usize,
    dynamic_align: usize,
}

impl Body {
    pub(super) fn new(declared: &Declared) -> Self {
        let mut body = Body {
            frame: Frame::new(),
            code: Vec::new(),
            scopes: vec![Scope::default()],
            current: 0,
            branches: Vec::new(),
            shared: SHARED_BASE,
            local: warp::LOCAL_BASE,
            dynamic_align: 1,
        };
        for variable in &declared.shared {
            body.share(variable);
        }
        for (index, global) in declared.globals.iter().enumerate() {
            body.scopes[0].symbols.insert(global.name.clone(), Place::Global(index));
        }
        body
    }

    pub(super) fn place(&mut self, name: String, place: Place) -> Parsed<()> {
        match self.scopes[self.current].symbols.insert(name.clone(), place) {
            Some(_) => Err(format!("{name} is declared twice")),
            None => Ok(()),
        }
    }

    fn share(&mut self, variable: &Variable) {
        let place = if variable.open {
            self.dynamic_align = self.dynamic_align.max(variable.align);
            Place::Dynamic
        } else {
            let at = self.shared.next_multiple_of(variable.align);
            self.shared = at + variable.bytes;
            Place::Shared(at as u64)
        };
        self.scopes[self.current].symbols.insert(variable.name.clone(), place);
    }

    /// Parses up to the brace that closes the body.
    pub(super) fn parse(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        loop {
            if reader.eat('{') {
                self.scopes.push(Scope { parent: self.current, ..Scope::default() });
                self.current = self.scopes.len() - 1;
            } else if reader.eat('}') {
                if self.current == 0 {
                    return Ok(());
                }
                self.current = self.scopes[self.current].parent;
            } else if !reader.eat(';') {
                self.statement(reader)?;
            }
        }
    }

    fn statement(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        let guard = match reader.eat('@') {
            true => Some(self.guard(reader)?),
            false => None,
        };
        let word = reader.word()?;
        let line = reader.line();
        if guard.is_none() && reader.eat(':') {
            return match self.scopes[self.current].labels.insert(word.to_owned(), self.code.len()) {
                Some(_) => Err(format!("label {word} is defined twice")),
                None => Ok(()),
            };
        }
        if guard.is_none() && word.starts_with('.') {
            return self.directive(reader, word);
        }
        let mut operands = Vec::new();
        while !reader.eat(';') {
            if !operands.is_empty() {
                reader.expect(',')?;
            }
            operands.push(self.operand(reader)?);
        }
        let mut instruction = warp::decode(&mut self.frame, &mut Opcode::new(word), &operands)?;
        instruction.line = line;
        (instruction.guard, instruction.invert) = guard.unwrap_or((TRUE, 0));
        if let [Operand::Label(label)] = &operands[..] {
            let label = label.clone();
            self.branches.push(Branch { at: self.code.len(), scope: self.current, label, line });
        }
        self.code.push(instruction);
        Ok(())
    }

    fn guard(&mut self, reader: &mut Reader<'_>) -> Parsed<(u16, u32)> {
        let negated = reader.eat('!');
        let name = reader.word()?;
        match self.register(name) {
            Some(r) if r.file == File::Predicate => Ok((r.slot, if negated { !0 } else { 0 })),
            _ => Err(format!("{name} is no predicate")),
        }
    }

    fn directive(&mut self, reader: &mut Reader<'_>, word: &str) -> Parsed<()> {
        match word {
            ".reg" => self.registers(reader),
            ".shared" => {
                let variable = variable::parse(reader, false)?;
                self.share(&variable);
                Ok(())
            }
            ".extern" if reader.eat_word(".shared") => {
                let variable = variable::parse(reader, true)?;
                self.share(&variable);
                Ok(())
            }
            ".local" => {
                let variable = variable::parse(reader, false)?;
                let at = self.local.next_multiple_of(variable.align);
                self.local = at + variable.bytes;
                self.place(variable.name, Place::Local(at as u64))
            }
            ".loc" | ".file" => {
                reader.skip_line();
                Ok(())
            }
            ".pragma" => skip_pragma(reader),
            other => Err(format!("directive {other} is not supported")),
        }
    }

    fn registers(&mut self, reader: &mut Reader<'_>) -> Parsed<()> {
        let kind = reader.word()?;
        let bits = variable::bits(kind).ok_or_else(|| format!("type {kind} is not supported"))?;
        loop {
            for name in variable::numbered(reader)? {
                let register = self.frame.declare(bits)?;
                if self.scopes[self.current].registers.insert(name.clone(), register).is_some() {
                    return Err(format!("{name} is declared twice"));
                }
            }
            if !reader.eat(',') {
                return reader.expect(';');
            }
        }
    }

    /// Looks a name up from the current scope outwards.
    fn find<'s, T>(&'s self, mut scope: usize, get: impl Fn(&'s Scope) -> Option<T>) -> Option<T> {
        loop {
            match get(&self.scopes[scope]) {
                None if scope != 0 => scope = self.scopes[scope].parent,
                found => return found,
            }
        }
    }

    fn register(&self, name: &str) -> Option<Register> {
        self.find(self.current, |s| s.registers.get(name).copied())
    }

    fn operand(&mut self, reader: &mut Reader<'_>) -> Parsed<Operand> {
        if reader.eat('{') {
            let mut elements = Vec::new();
            loop {
                elements.push(self.operand(reader)?);
                if !reader.eat(',') {
                    reader.expect('}')?;
                    return Ok(Operand::Vector(elements));
                }
            }
        }
        if reader.eat('[') {
            return self.address(reader);
        }
        if reader.eat('!') {
            let name = reader.word()?;
            let register = self.register(name).ok_or_else(|| format!("{name} is not declared"))?;
            return Ok(Operand::Negated(register));
        }
        let first = self.atom(reader)?;
        if reader.eat('|') {
            return Ok(Operand::Pair(Box::new(first), Box::new(self.atom(reader)?)));
        }
        match &first {
            // A symbol with an offset, as in `mov.u32 %r1, smem+16`.
            Operand::Constant(constant) if matches!(reader.peek(), Some(Lexeme::Mark('+' | '-'))) => {
                let offset = offset(reader)?;
                displaced(constant, offset).map(Operand::Constant)
            }
            _ => Ok(first),
        }
    }

    fn address(&mut self, reader: &mut Reader<'_>) -> Parsed<Operand> {
        let base = self.atom(reader)?;
        let offset = offset(reader)?;
        reader.expect(']')?;
        Ok(Operand::Address(Box::new(base), offset))
    }

    fn atom(&mut self, reader: &mut Reader<'_>) -> Parsed<Operand> {
        if reader.eat('-') {
            let word = reader.word()?;
            return match literal(word) {
                Some(Literal::Integer(value)) => Ok(Operand::Literal(Literal::Integer(value.wrapping_neg()))),
                Some(Literal::Double(value)) => Ok(Operand::Literal(Literal::Double(-value))),
                _ => Err(format!("-{word} is no number")),
            };
        }
        let name = reader.word()?;
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return literal(name).map(Operand::Literal).ok_or_else(|| format!("{name} is no number"));
        }
        if let Some(register) = self.register(name) {
            return Ok(Operand::Register(register));
        }
        if let Some(place) = self.find(self.current, |s| s.symbols.get(name).copied()) {
            return Ok(Operand::Constant(match place {
                Place::Parameter(at) | Place::Shared(at) | Place::Local(at) => Constant::Value(at),
                Place::Dynamic => Constant::Dynamic(0),
                Place::Global(index) => Constant::Global(index, 0),
            }));
        }
        match name {
            "_" => Ok(Operand::Sink),
            "WARP_SZ" => Ok(Operand::Literal(Literal::Integer(32))),
            _ if name.starts_with('%') => match Special::named(name) {
                Some(special) => Ok(Operand::Constant(Constant::Special(special))),
                None => Err(format!("{name} is no register that is supported")),
            },
            _ => Ok(Operand::Label(name.to_owned())),
        }
    }

    /// Resolves the branches and hands everything to the kernel.
    pub(super) fn finish(mut self, kernel: &mut Kernel) -> Parsed<()> {
        for branch in &self.branches {
            let target = self.find(branch.scope, |s| s.labels.get(&branch.label).copied());
            let target = target.ok_or_else(|| format!("label {} of line {} is missing", branch.label, branch.line))?;
            self.code[branch.at].immediate = target as u64;
        }
        let mut end = warp::decode(&mut self.frame, &mut Opcode::new("ret"), &[])?;
        end.line = self.code.last().map_or(1, |i| i.line);
        self.code.push(end);
        kernel.dynamic_base = self.shared.next_multiple_of(self.dynamic_align);
        kernel.static_shared = self.shared - SHARED_BASE;
        kernel.local = self.local - warp::LOCAL_BASE;
        kernel.code = self.code;
        kernel.frame = self.frame;
        Ok(())
    }
}

/// `+8`, `-8`, `+-8` or nothing.
fn offset(reader: &mut Reader<'_>) -> Parsed<i64> {
    let plus = reader.eat('+');
    let minus = reader.eat('-');
    if !plus && !minus {
        return Ok(0);
    }
    let word = reader.word()?;
    match literal(word) {
        Some(Literal::Integer(value)) if minus => Ok((value as i64).wrapping_neg()),
        Some(Literal::Integer(value)) => Ok(value as i64),
        _ => Err(format!("{word} is no offset")),
    }
}

fn displaced(constant: &Constant, offset: i64) -> Parsed<Constant> {
    Ok(match constant {
        Constant::Value(at) => Constant::Value(at.wrapping_add_signed(offset)),
        Constant::Dynamic(at) => Constant::Dynamic(at.wrapping_add_signed(offset)),
        Constant::Global(index, at) => Constant::Global(*index, at.wrapping_add_signed(offset)),
        Constant::Special(_) => return Err("an offset to a special register".to_owned()),
    })
}
