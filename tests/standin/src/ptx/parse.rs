//! Tokens to a module.

use std::sync::Arc;

use super::body::Body;
use super::lex::{Lexeme, Token, tokens};
use super::variable::{self, Place, Variable};
use super::{Global, Kernel, Module, Parameter, ParseError};

/// Reads tokens; an error carries the line of the last one read.
pub(super) struct Reader<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
}

/// A reason; the line is added at the top.
pub(super) type Parsed<T> = Result<T, String>;

impl<'t> Reader<'t> {
    pub(super) fn peek(&self) -> Option<Lexeme<'t>> {
        self.tokens.get(self.at).map(|t| t.kind)
    }

    pub(super) fn next(&mut self) -> Parsed<Lexeme<'t>> {
        let token = self.peek().ok_or("the text ends here")?;
        self.at += 1;
        Ok(token)
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at.saturating_sub(1)).map_or(1, |t| t.line)
    }

    pub(super) fn word(&mut self) -> Parsed<&'t str> {
        match self.next()? {
            Lexeme::Word(word) => Ok(word),
            other => Err(format!("{other:?} where a name is needed")),
        }
    }

    pub(super) fn number(&mut self) -> Parsed<usize> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("{word} where a number is needed"))
    }

    pub(super) fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(Lexeme::Mark(mark));
        self.at += usize::from(found);
        found
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(Lexeme::Word(word));
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: char) -> Parsed<()> {
        match self.next()? {
            Lexeme::Mark(m) if m == mark => Ok(()),
            other => Err(format!("{other:?} where '{mark}' is needed")),
        }
    }

    /// Skips what is left of this line: debug directives end there, not at a semicolon.
    pub(super) fn skip_line(&mut self) {
        let line = self.line();
        while self.tokens.get(self.at).is_some_and(|t| t.line == line) {
            self.at += 1;
        }
    }

    /// Skips a block in braces.
    pub(super) fn skip_braces(&mut self) -> Parsed<()> {
        while self.next()? != Lexeme::Mark('{') {}
        let mut depth = 1;
        while depth > 0 {
            match self.next()? {
                Lexeme::Mark('{') => depth += 1,
                Lexeme::Mark('}') => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn error(&self, reason: String) -> ParseError {
        let line = self.line();
        ParseError { line, text: super::line_of(self.text, line), reason }
    }
}

/// What has been declared outside of kernels.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) globals: Vec<Global>,
    /// Shared variables; each kernel that is parsed later has them.
    pub(super) shared: Vec<Variable>,
}

/// Parses a module.
pub(super) fn module(text: &str) -> Result<Module, ParseError> {
    let mut reader = Reader { text, tokens: tokens(text), at: 0 };
    directives(&mut reader).map_err(|reason| reader.error(reason))
}

fn directives(reader: &mut Reader<'_>) -> Parsed<Module> {
    let mut module = Module { version: (0, 0), target: 0, kernels: Vec::new(), globals: Vec::new() };
    let mut declared = Declared::default();
    while reader.peek().is_some() {
        match reader.word()? {
            ".version" => module.version = version(reader.word()?)?,
            ".target" => module.target = target(reader)?,
            ".address_size" => match reader.number()? {
                64 => {}
                other => return Err(format!("addresses of {other} bits")),
            },
            ".visible" | ".weak" => {}
            ".entry" => module.kernels.push(Arc::new(kernel(reader, &declared)?)),
            ".file" | ".loc" => reader.skip_line(),
            ".section" => reader.skip_braces()?,
            ".pragma" => skip_pragma(reader)?,
            word @ (".global" | ".const" | ".shared" | ".extern") => module_variable(reader, word, &mut declared)?,
            other => return Err(format!("directive {other} is not supported")),
        }
        if module.version == (0, 0) {
            return Err("a module starts with .version".to_owned());
        }
    }
    if module.target == 0 {
        return Err("a module needs .version and .target".to_owned());
    }
    module.globals = declared.globals;
    Ok(module)
}

pub(super) fn skip_pragma(reader: &mut Reader<'_>) -> Parsed<()> {
    while !reader.eat(';') {
        reader.next()?;
    }
    Ok(())
}

fn version(word: &str) -> Parsed<(u32, u32)> {
    let parts = word.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parts.ok_or_else(|| format!("{word} is no version"))
}

fn target(reader: &mut Reader<'_>) -> Parsed<u32> {
    let word = reader.word()?;
    while reader.eat(',') {
        let option = reader.word()?;
        if option != "debug" {
            return Err(format!("target option {option} is not supported"));
        }
    }
    // Architecture-specific targets (sm_90a) have instructions that nothing here runs.
    let number = word.strip_prefix("sm_").and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("target {word} is not supported"))
}

fn module_variable(reader: &mut Reader<'_>, first: &str, declared: &mut Declared) -> Parsed<()> {
    let external = first == ".extern";
    let space = if external { reader.word()? } else { first };
    match space {
        ".shared" => declared.shared.push(variable::parse(reader, external)?),
        ".global" | ".const" if !external => {
            let v = variable::parse(reader, false)?;
            let constant = space == ".const";
            declared.globals.push(Global {
                name: v.name,
                bytes: v.bytes,
                align: v.align,
                initial: v.initial,
                constant,
            });
        }
        other => return Err(format!("external {other} is not supported")),
    }
    Ok(())
}

fn kernel(reader: &mut Reader<'_>, declared: &Declared) -> Parsed<Kernel> {
    let name = reader.word()?.to_owned();
    let mut parameters = Vec::new();
    let mut names = Vec::new();
    if reader.eat('(') && !reader.eat(')') {
        loop {
            if !reader.eat_word(".param") {
                return Err("a kernel parameter starts with .param".to_owned());
            }
            let v = variable::declarator(reader, false)?;
            let end = parameters.last().map_or(0, |p: &Parameter| p.offset + p.bytes);
            let offset = end.next_multiple_of(v.align);
            parameters.push(Parameter { offset, bytes: v.bytes });
            names.push((v.name, offset));
            if !reader.eat(',') {
                break;
            }
        }
        reader.expect(')')?;
    }
    let mut kernel = Kernel::empty(name, parameters);
    limits(reader, &mut kernel)?;
    let mut body = Body::new(declared);
    for (name, offset) in names {
        body.place(name, Place::Parameter(offset as u64))?;
    }
    body.parse(reader)?;
    body.finish(&mut kernel)?;
    let lines: Vec<_> = reader.text.lines().collect();
    let text = |line: u32| lines.get(line as usize - 1).map_or(String::new(), |l| l.trim().to_owned());
    kernel.texts = kernel.code.iter().map(|i| text(i.line)).collect();
    Ok(kernel)
}

/// Directives between the parameters and the body.
fn limits(reader: &mut Reader<'_>, kernel: &mut Kernel) -> Parsed<()> {
    loop {
        if reader.eat('{') {
            return Ok(());
        }
        match reader.word()? {
            ".maxntid" => kernel.max_threads = Some(shape(reader)?.iter().product()),
            ".reqntid" => kernel.reqntid = Some(shape(reader)?),
            // Hints to the register allocator.
            ".minnctapersm" | ".maxnreg" | ".maxnctapersm" => drop(reader.number()?),
            ".pragma" => skip_pragma(reader)?,
            other => return Err(format!("directive {other} is not supported")),
        }
    }
}

fn shape(reader: &mut Reader<'_>) -> Parsed<[u32; 3]> {
    let mut shape = [1; 3];
    for (axis, extent) in shape.iter_mut().enumerate() {
        if axis == 0 || reader.eat(',') {
            *extent = reader.number()? as u32;
        }
    }
    Ok(shape)
}
