//! Lists the trained weights in `models/` as a table, so that a new file there is a new built-in model.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let models = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by Cargo")).join("../models");
    println!("cargo::rerun-if-changed={}", models.display());
    let mut rows: Vec<(String, u32, String)> = fs::read_dir(&models)
        .expect("the models folder is part of the repository")
        .map(|entry| entry.expect("the models folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .map(|path| {
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            let (name, scale) = stem.rsplit_once("-x").expect("models are named NAME-xSCALE.safetensors");
            let scale = scale.parse().expect("models are named NAME-xSCALE.safetensors");
            (name.to_owned(), scale, path.canonicalize().expect("a listed file exists").display().to_string())
        })
        .collect();
    rows.sort();
    let mut table = String::from("static BUILTIN: &[(&str, usize, &[u8])] = &[\n");
    for (name, scale, path) in rows {
        writeln!(table, "    ({name:?}, {scale}, include_bytes!({path:?})),").expect("strings take any text");
    }
    table.push_str("];\n");
    let out = Path::new(&env::var("OUT_DIR").expect("set by Cargo")).join("builtin.rs");
    fs::write(out, table).expect("the build folder can be written");
}
