//! Runs small PTX texts: each thread reads its words and writes its words.

use ptx_standin::counters::{Counters, KernelCounters};
use ptx_standin::fault::Fault;
use ptx_standin::launch::{Globals, Launch, Order};
use ptx_standin::memory::{Access, Checks, CommandId, Memory};
use ptx_standin::ptx;

/// One launch of a kernel whose parameters are two addresses: of its output, and of its input.
pub struct Bench {
    /// PTX text.
    pub text: String,
    /// Blocks.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory in bytes.
    pub dynamic: u32,
    /// Order of blocks and warps.
    pub order: Order,
}

/// Output and counters of a launch.
pub struct Outcome {
    /// Output words.
    pub words: Vec<u32>,
    /// Counters.
    pub counters: KernelCounters,
}

/// A module around the body of a kernel. Registers: predicates %p, 16 bits %h, 32 bits %r, 64 bits %d; %r99 is the
/// thread's number in the grid, %d98 the output, %d99 the input.
pub fn module(declarations: &str, body: &str) -> String {
    format!(
        ".version 8.2\n.target sm_80\n.address_size 64\n{declarations}\n\
         .visible .entry test(.param .u64 out, .param .u64 in)\n{{\n\
         .reg .pred %p<16>;\n.reg .b16 %h<32>;\n.reg .b32 %r<100>;\n.reg .b64 %d<100>;\n\
         ld.param.u64 %d98, [out];\nld.param.u64 %d99, [in];\n\
         mov.u32 %r98, %ctaid.x;\nmov.u32 %r97, %ntid.x;\nmov.u32 %r96, %tid.x;\n\
         mad.lo.s32 %r99, %r98, %r97, %r96;\n{body}\nret;\n}}\n"
    )
}

impl Bench {
    /// One block of one warp that runs a body; see [`module`].
    pub fn new(body: &str) -> Self {
        Bench::with("", body)
    }

    /// The same, with declarations before the kernel.
    pub fn with(declarations: &str, body: &str) -> Self {
        Bench { text: module(declarations, body), blocks: 1, threads: 32, dynamic: 0, order: Order::Eager }
    }

    /// So many threads a block.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// So many blocks.
    pub fn blocks(mut self, blocks: u32) -> Self {
        self.blocks = blocks;
        self
    }

    /// So much dynamic shared memory.
    pub fn dynamic(mut self, bytes: u32) -> Self {
        self.dynamic = bytes;
        self
    }

    /// In this order.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Runs with input words and so many output words, which must all be written.
    pub fn run(&self, input: &[u32], output: usize) -> Result<Outcome, Fault> {
        let bytes: Vec<u8> = input.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (out, counters) = self.run_bytes(&bytes, output * 4, true)?;
        let words = out.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        Ok(Outcome { words, counters })
    }

    /// Runs for the fault that it has.
    pub fn fault(&self, input: &[u32], output: usize) -> Fault {
        let bytes: Vec<u8> = input.iter().flat_map(|word| word.to_le_bytes()).collect();
        match self.run_bytes(&bytes, output * 4, false) {
            Ok(_) => panic!("no fault was found"),
            Err(fault) => fault,
        }
    }

    fn run_bytes(&self, input: &[u8], output: usize, read: bool) -> Result<(Vec<u8>, KernelCounters), Fault> {
        let module = ptx::parse(&self.text).unwrap_or_else(|error| panic!("{error}"));
        let checks = Checks::default();
        let mut memory = Memory::new(checks);
        let in_order = |_: CommandId, _: CommandId| true;
        let access = |by| Access { by, ordered: &in_order };
        let (to, from) = (memory.allocate(output), memory.allocate(input.len()));
        memory.write(from, input, &access(1))?;
        let globals = Globals::load(&module, &mut memory);
        let parameters = [to.to_le_bytes(), from.to_le_bytes()].concat();
        let mut counters = Counters::default();
        let launch = Launch {
            kernel: &module.kernels[0],
            grid: [self.blocks, 1, 1],
            block: [self.threads, 1, 1],
            dynamic_shared: self.dynamic,
            parameters: &parameters,
            memory: &memory,
            globals: &globals,
            order: self.order,
            checks,
            access: &access(2),
        };
        launch.run(&mut counters)?;
        let mut out = vec![0; output];
        if read {
            memory.read(to, &mut out, &access(3))?;
        }
        Ok((out, counters.kernels.remove("test").expect("the kernel was launched")))
    }
}

/// The words that each thread computes from its own: `%r0`, `%r1`, ... are the inputs, and what the body leaves in
/// `%r10`, `%r11`, ... are the outputs.
pub fn map<const I: usize, const O: usize>(inputs: &[[u32; I]], body: &str) -> Vec<[u32; O]> {
    let loads: String = (0..I).map(|n| format!("ld.global.u32 %r{n}, [%d99+{}];\n", n * 4)).collect();
    let stores: String = (0..O).map(|n| format!("st.global.u32 [%d98+{}], %r{};\n", n * 4, 10 + n)).collect();
    let body = format!(
        "mad.wide.u32 %d99, %r99, {}, %d99;\nmad.wide.u32 %d98, %r99, {}, %d98;\n{loads}{body}\n{stores}",
        I * 4,
        O * 4
    );
    let outcome = Bench::new(&body).threads(inputs.len() as u32).run(inputs.as_flattened(), inputs.len() * O);
    let words = outcome.unwrap_or_else(|fault| panic!("{fault}")).words;
    words.as_chunks::<O>().0.to_vec()
}

/// One result of one thread.
pub fn one<const I: usize>(inputs: [u32; I], body: &str) -> u32 {
    map::<I, 1>(&[inputs], body)[0][0]
}
