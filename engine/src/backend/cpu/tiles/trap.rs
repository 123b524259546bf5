//! Tile instructions on processors that lack them: each is an illegal instruction there, which the system reports as a signal;
//! its handler does what the instruction would have done. So tests run the very code that processors with AMX run.

use std::cell::RefCell;
use std::sync::Once;

use super::{ROW, ROWS, Shape};

type Tile = [[u8; ROW]; ROWS];

/// What a thread's tiles hold.
struct State {
    /// Of each tile; no rows where tiles are not in use.
    shapes: [Shape; 8],
    tiles: [Tile; 8],
}

const FREE: State = State { shapes: [Shape(0, 0); 8], tiles: [[[0; ROW]; ROWS]; 8] };

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(FREE) };
}

/// From now on tile instructions work in this process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_illegal;
        // SAFETY: zeros are a value of this struct; the handler has the signature that SA_SIGINFO asks for.
        let failed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut())
        };
        assert_eq!(failed, 0, "a handler can be set");
    });
}

extern "C" fn on_illegal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system hands over the registers of the thread, which stands still meanwhile.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as *const u8;
    // SAFETY: the instruction was read from there by the processor.
    match STATE.with_borrow_mut(|state| unsafe { state.execute(at, registers) }) {
        Some(length) => registers[libc::REG_RIP as usize] += length,
        // Really illegal: the next attempt ends the process.
        // SAFETY: the default action is one that can be set.
        None => unsafe {
            libc::signal(libc::SIGILL, libc::SIG_DFL);
        },
    }
}

/// A general register by its number in instructions.
fn register(registers: &[i64; 23], number: u8) -> usize {
    use libc::{
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX,
        REG_RDI, REG_RDX, REG_RSI, REG_RSP,
    };
    let all = [
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
        REG_R12, REG_R13, REG_R14, REG_R15,
    ];
    registers[all[usize::from(number)] as usize] as usize
}

/// An instruction of three bytes of VEX in map 2, as all of them are, taken apart.
struct Instruction {
    opcode: u8,
    /// The prefix that it stands for: none, 66, F3 or F2.
    prefix: u8,
    /// The three operands that are tiles: in reg, in r/m, in vvvv.
    reg: usize,
    rm: usize,
    vvvv: usize,
    /// Base and index, where the operand is in memory.
    memory: Option<(usize, usize)>,
    length: i64,
}

impl Instruction {
    /// # Safety
    /// An instruction lies at `at`.
    unsafe fn read(at: *const u8, registers: &[i64; 23]) -> Option<Self> {
        // SAFETY: the caller's promise; no byte is read before those before it say that it is part of it.
        let byte = |i: usize| unsafe { at.add(i).read() };
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 {
            return None;
        }
        let (high, opcode, modrm) = (!byte(1) >> 5, byte(3), byte(4));
        let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let mut length = 5;
        let mut memory = None;
        if mode != 3 {
            let (mut base, mut index) = (rm, None);
            if rm == 4 {
                let sib = byte(5);
                assert_eq!(sib >> 6, 0, "the index is taken as it is");
                (base, index) = (sib & 7, Some(sib >> 3 & 7 | (high >> 1 & 1) << 3));
                length += 1;
            }
            assert!(mode != 0 || base != 5, "there is a base");
            let displacement = match mode {
                0 => 0,
                1 => i64::from(byte(length).cast_signed()),
                _ => i64::from(i32::from_le_bytes(std::array::from_fn(|i| byte(length + i)))),
            };
            length += [0, 1, 4][usize::from(mode)];
            let base = register(registers, base | (high & 1) << 3).wrapping_add_signed(displacement as isize);
            memory = Some((base, index.filter(|&index| index != 4).map_or(0, |index| register(registers, index))));
        }
        Some(Self {
            opcode,
            prefix: byte(2) & 3,
            reg: usize::from(reg),
            rm: usize::from(rm),
            vvvv: usize::from(!byte(2) >> 3 & 7),
            memory,
            length: length as i64,
        })
    }
}

impl State {
    /// Executes the instruction at `at`; its length, or None if it is no tile instruction.
    ///
    /// # Safety
    /// One lies there.
    unsafe fn execute(&mut self, at: *const u8, registers: &[i64; 23]) -> Option<i64> {
        // SAFETY: the caller's promise.
        let i = unsafe { Instruction::read(at, registers)? };
        match (i.opcode, i.prefix, i.memory) {
            (0x49, 0, Some((from, _))) => {
                // SAFETY: the instruction reads these bytes, too.
                let shapes = unsafe { (from as *const [u8; 64]).read() };
                assert_eq!(shapes[0], 1, "the only palette");
                let shape = |tile: usize| Shape(shapes[48 + tile].into(), shapes[16 + 2 * tile].into());
                *self = State { shapes: std::array::from_fn(shape), ..FREE };
                let possible = |Shape(rows, bytes)| rows <= ROWS && bytes <= ROW && bytes.is_multiple_of(4);
                assert!(self.shapes.into_iter().all(possible), "tiles have shapes that there are");
            }
            (0x49, 0, None) => *self = FREE,
            (0x49, 3, None) => {
                self.shape(i.reg);
                self.tiles[i.reg] = [[0; ROW]; ROWS];
            }
            (0x4b, 3, Some((from, stride))) => {
                let Shape(rows, bytes) = self.shape(i.reg);
                self.tiles[i.reg] = [[0; ROW]; ROWS];
                for row in 0..rows {
                    // SAFETY: as above.
                    let read = unsafe { std::slice::from_raw_parts((from + row * stride) as *const u8, bytes) };
                    self.tiles[i.reg][row][..bytes].copy_from_slice(read);
                }
            }
            (0x4b, 2, Some((to, stride))) => {
                let Shape(rows, bytes) = self.shape(i.reg);
                for row in 0..rows {
                    // SAFETY: the instruction writes these bytes, too.
                    let written = unsafe { std::slice::from_raw_parts_mut((to + row * stride) as *mut u8, bytes) };
                    written.copy_from_slice(&self.tiles[i.reg][row][..bytes]);
                }
            }
            (0x5e, 2, None) => self.multiply(i.reg, i.rm, i.vvvv, add_bytes),
            (0x5c, 2, None) => self.multiply(i.reg, i.rm, i.vvvv, add_bfloats),
            _ => return None,
        }
        Some(i.length)
    }

    fn shape(&self, tile: usize) -> Shape {
        assert!(self.shapes[tile].0 > 0, "tiles have a shape before they are used");
        self.shapes[tile]
    }

    /// `add` gets a sum, four bytes, and what lies in four of the weights and of the pixels, again and again.
    fn multiply(&mut self, sums: usize, weights: usize, pixels: usize, add: impl Fn(&mut [u8; 4], &[[[u8; 4]; 2]])) {
        let (Shape(rows, width), Shape(outputs, depth)) = (self.shape(sums), self.shape(weights));
        let Shape(lines, columns) = self.shape(pixels);
        assert!(rows == outputs && depth == 4 * lines && width == columns, "shapes fit");
        for row in 0..rows {
            let weights = self.tiles[weights][row];
            for column in 0..columns / 4 {
                let both = |k: usize| [weights.as_chunks::<4>().0[k], self.tiles[pixels][k].as_chunks::<4>().0[column]];
                let all: [_; ROWS] = std::array::from_fn(both);
                add(&mut self.tiles[sums][row].as_chunks_mut::<4>().0[column], &all[..lines]);
            }
        }
    }
}

/// Bytes with a sign times bytes without.
fn add_bytes(sum: &mut [u8; 4], all: &[[[u8; 4]; 2]]) {
    let products = all.iter().flat_map(|[w, p]| w.iter().zip(p));
    let added: i32 = products.map(|(w, p)| i32::from(w.cast_signed()) * i32::from(*p)).sum();
    *sum = i32::from_le_bytes(*sum).wrapping_add(added).to_le_bytes();
}

/// Two bf16 each: the products of the first of both are summed up, and those of the second, then both to the sum. Numbers
/// below the smallest normal one count as zero.
fn add_bfloats(sum: &mut [u8; 4], all: &[[[u8; 4]; 2]]) {
    let flushed = |v: f32| if v.is_subnormal() { 0.0 } else { v };
    let value =
        |pair: [u8; 4], i: usize| flushed(f32::from_bits(u32::from_le_bytes([0, 0, pair[2 * i], pair[2 * i + 1]])));
    let mut halves = [0.0_f32; 2];
    for [w, p] in all {
        for (i, half) in halves.iter_mut().enumerate() {
            *half = flushed(value(*w, i).mul_add(value(*p, i), *half));
        }
    }
    let before = flushed(f32::from_le_bytes(*sum));
    *sum = flushed(before + flushed(halves[0] + halves[1])).to_le_bytes();
}
