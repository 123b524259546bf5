//! Sums and products that follow a convolution become part of it: its values are still in registers.

use super::kernels::elementwise::Elementwise;
use super::lower::{Kernel, Op, Program, RowKernel};

/// What a convolution does with its value v and another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// Begins the sum with other: it is there before the activation.
    Begin,
    /// `v + scale * other`.
    Add(f32),
    /// `other + scale * v`.
    AddTo(f32),
    /// `other * v`.
    Mul,
}

/// A fusion and the input that is the other value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// What is done.
    pub then: Fusion,
    /// Which input.
    pub input: usize,
}

impl Program {
    /// Fuses what can be.
    pub fn fuse(&mut self) {
        let mut at = 0;
        while at < self.ops.len() {
            match self.fused(at) {
                Some((conv, op)) => {
                    self.ops[conv] = op;
                    self.ops.remove(at);
                }
                None => at += 1,
            }
        }
    }

    /// The convolution that the operation at `at` becomes part of, and what both become.
    fn fused(&self, at: usize) -> Option<(usize, Op)> {
        let op = &self.ops[at];
        let Kernel::Row(RowKernel::Elementwise(kernel)) = &op.kernel else { return None };
        let &[first, second] = op.inputs.as_slice() else { return None };
        let (mine, other) = if self.only_reader(first.value, at) { (first, second) } else { (second, first) };
        let conv = self.maker(mine.value).filter(|_| self.only_reader(mine.value, at))?;
        // The other value has to be there, and to have the same place in the picture.
        let there = self.maker(other.value).is_some_and(|maker| maker < conv);
        let alike = self.values[mine.value] == self.values[other.value] && mine.channels == other.channels;
        if !there || !alike || mine.channels != self.values[mine.value].channels {
            return None;
        }
        let then = match kernel {
            Elementwise::Add(scale) if mine == first => Fusion::Add(*scale),
            Elementwise::Add(scale) => Fusion::AddTo(*scale),
            Elementwise::Mul => Fusion::Mul,
            Elementwise::Shift(_) => return None,
        };
        let mut fused = self.ops[conv].clone();
        let what = Some(Fused { then, input: fused.inputs.len() });
        let Kernel::Row(kernel) = &mut fused.kernel else { return None };
        match kernel.fused_mut()? {
            slot @ None => *slot = what,
            Some(_) => return None,
        }
        fused.inputs.push(other);
        fused.output = op.output;
        Some((conv, fused))
    }

    /// The operation that makes a value.
    fn maker(&self, value: usize) -> Option<usize> {
        self.ops.iter().position(|op| op.output == Some(value))
    }

    /// Whether only the operation at `at` reads a value, and once.
    fn only_reader(&self, value: usize, at: usize) -> bool {
        let reads = |op: &Op| op.inputs.iter().filter(|view| view.value == value).count();
        value != self.output && self.ops.iter().map(reads).sum::<usize>() == 1 && reads(&self.ops[at]) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::dispatch::Isa;
    use crate::backend::cpu::lower::Products;
    use crate::network::{Network, Preset};

    fn elementwise(name: &str, products: Products) -> usize {
        let preset = Preset::named(2).into_iter().find(|(n, _)| *n == name).map(|(_, preset)| preset);
        let network = Network::random(preset.expect("a preset has that name"), 2, 1);
        let program = Program::new(&network, 32, 32, products);
        let left = |op: &&Op| matches!(&op.kernel, Kernel::Row(RowKernel::Elementwise(kernel)) if !matches!(kernel, Elementwise::Shift(_)));
        program.ops.iter().filter(left).count()
    }

    #[test]
    fn no_sum_or_product_is_left_where_a_convolution_makes_a_part_of_it() {
        for name in ["sdan", "sdan-small", "dlgsanet-tiny", "dlsn-light"] {
            for products in [Products::Floats, Products::Bfloats(Isa::all()[0]), Products::Bytes] {
                assert_eq!(elementwise(name, products), 0, "{name} {products:?}");
            }
        }
    }
}
