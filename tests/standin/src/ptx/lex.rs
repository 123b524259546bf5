//! Characters to tokens.

/// A token and its line, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Lexeme<'t>,
    pub(super) line: u32,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lexeme<'t> {
    /// A name, a dotted opcode or directive, a register or a number.
    Word(&'t str),
    /// A quoted string.
    Quoted,
    /// Anything else, one character each.
    Mark(char),
}

/// Splits a text, leaving out blanks and comments. A character that PTX does not have comes out as a mark, which
/// the parser then has no use for.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            b if b.is_ascii_whitespace() || b == 0 => {
                at += 1;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = text[at..].find("*/").map_or(bytes.len(), |n| at + n + 2);
                line += newlines(&bytes[at..end]);
                at = end;
                continue;
            }
            b'"' => {
                at += 1 + text[at + 1..].find('"').map_or(bytes.len() - at - 1, |n| n + 1);
                Lexeme::Quoted
            }
            _ => match word_length(&bytes[at..]) {
                0 => {
                    let mark = text[at..].chars().next().unwrap_or(' ');
                    at += mark.len_utf8();
                    Lexeme::Mark(mark)
                }
                n => {
                    at += n;
                    Lexeme::Word(&text[start..at])
                }
            },
        };
        found.push(Token { kind, line });
        line += newlines(&bytes[start..at]);
    }
    found
}

fn newlines(bytes: &[u8]) -> u32 {
    bytes.iter().map(|b| u32::from(*b == b'\n')).sum()
}

/// Length of the word that starts here. `::` belongs to it (`.L1::no_allocate`), and so does the sign of a decimal
/// exponent.
fn word_length(bytes: &[u8]) -> usize {
    let decimal = bytes[0].is_ascii_digit() && !bytes.get(1).is_some_and(u8::is_ascii_alphabetic);
    let mut n = 0;
    while n < bytes.len() {
        match bytes[n] {
            b'_' | b'$' | b'%' | b'.' => n += 1,
            b if b.is_ascii_alphanumeric() => n += 1,
            b':' if bytes.get(n + 1) == Some(&b':') => n += 2,
            b'+' | b'-' if decimal && matches!(bytes[n - 1], b'e' | b'E') => n += 1,
            _ => break,
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_marks_and_lines() {
        let text = "ld.global.L1::no_allocate\t%f1, [%rd2+-8]; // c\n/* a\nb */ $L_1: 1.5e-3";
        let found: Vec<_> = tokens(text).into_iter().map(|t| (t.kind, t.line)).collect();
        let (word, mark) = (Lexeme::Word, Lexeme::Mark);
        let expected = [
            (word("ld.global.L1::no_allocate"), 1),
            (word("%f1"), 1),
            (mark(','), 1),
            (mark('['), 1),
            (word("%rd2"), 1),
            (mark('+'), 1),
            (mark('-'), 1),
            (word("8"), 1),
            (mark(']'), 1),
            (mark(';'), 1),
            (word("$L_1"), 3),
            (mark(':'), 3),
            (word("1.5e-3"), 3),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn hexadecimal_e_is_no_exponent() {
        let found: Vec<_> = tokens("0x1e-3").into_iter().map(|t| t.kind).collect();
        assert_eq!(found, [Lexeme::Word("0x1e"), Lexeme::Mark('-'), Lexeme::Word("3")]);
    }
}
