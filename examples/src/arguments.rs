//! Arguments that choose what the engine does, for every program that runs it.

use srup_engine::model::{self, Model};
use srup_engine::scheduler::Options;
use srup_engine::{BackendKind, Error, Precision, Upscaler};

/// What `--model` takes, for its help.
pub fn model_help() -> String {
    let names = model::names().join(", ");
    format!("Model, one of {names}, or a .safetensors file; bicubic and lanczos are plain resampling")
}

/// Which network runs, where, and in which numbers.
#[derive(Clone, Debug, clap::Args)]
pub struct EngineArgs {
    /// Model
    #[arg(long, short, default_value = model::DEFAULT, help = model_help(), help_heading = "Upscaling")]
    pub model: String,

    /// Output size over input size: 2, 3 or 4
    #[arg(long, short, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16), help_heading = "Upscaling")]
    pub scale: u8,

    /// Where the network runs: auto, cpu, cuda or reference
    #[arg(long, default_value = "auto", help_heading = "Upscaling")]
    pub backend: BackendKind,

    /// Numbers it is computed in: f32, bf16 or int8 on the CPU, f16 on a GPU; auto is the fastest of them
    /// that costs no visible quality
    #[arg(long, default_value = "auto", help_heading = "Upscaling")]
    pub precision: Precision,

    /// CPU threads of the upscaler; 0 takes all. The picture does not depend on it
    #[arg(long, default_value_t = 0, help_heading = "Upscaling")]
    pub threads: usize,
}

impl EngineArgs {
    /// A builder with these choices.
    pub fn builder(&self) -> srup_engine::Builder {
        Upscaler::builder()
            .model(&self.model)
            .scale(self.scale.into())
            .backend(self.backend)
            .precision(self.precision)
            .threads(self.threads)
    }

    /// The same choices for frames in flight.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn options(&self) -> Result<Options, Error> {
        let scale = self.scale.into();
        let options = Options::new(vec![Model::open(&self.model, scale)?], scale);
        Ok(Options { backend: self.backend, precision: self.precision, threads: self.threads, ..options })
    }
}
