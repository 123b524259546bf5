//! The example `evaluate`, run as users run it.

#[path = "evaluate/clip.rs"]
mod clip;
#[path = "evaluate/degrade.rs"]
mod degrade;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use srup_examples::picture::Picture;
use srup_tests::{example, shared, weights};

/// The rows that `--json` writes, as `results`.
fn results(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("results.json");
    let output =
        Command::new(example("evaluate")).arg(folder).args(arguments).arg("--json").arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    document["results"].as_array().expect("results is a list").clone()
}

fn row<'a>(rows: &'a [Value], model: &str) -> &'a Value {
    rows.iter().find(|row| row["model"] == model).unwrap_or_else(|| panic!("a row for {model}"))
}

/// Y-PSNR of Pillow's bicubic, reduced and enlarged in RGB, for scales 2, 3 and 4.
#[test]
fn bicubic_has_its_known_figures_on_set5_and_set14() {
    let Some(pictures) = shared("eval") else { return };
    for (set, figures) in [("Set5", [33.67, 30.40, 28.43]), ("Set14", [30.33, 27.63, 26.09])] {
        for (scale, expected) in (2..).zip(figures) {
            let rows = results(&pictures.join(set), &["--scale", &scale.to_string(), "--model", "bicubic"]);
            let found = row(&rows, "bicubic")["psnr"].as_f64().unwrap();
            assert!((found - expected).abs() <= 0.02, "{set} x{scale}: {found}, expected {expected}");
        }
    }
}

fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, step) in [("a.png", 7), ("b.png", 11)] {
        let (width, height) = (49, 38);
        let rgb = (0..3 * width * height).map(|i| (i / 3 % width * step + i / (3 * width) * 3) as u8).collect();
        Picture { width, height, rgb }.save(&folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn the_json_has_a_row_for_each_model_and_for_plain_resampling() {
    let folder = pictures();
    let rows = results(folder.path(), &["--scale", "2", "--precision", "f32"]);
    let builtin = srup_engine::model::builtin().into_iter().filter(|model| model.scale == 2).map(|model| model.name);
    let expected: Vec<&str> = builtin.chain(["lanczos", "bicubic"]).collect();
    let names: Vec<&str> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(names, expected);
    for row in &rows {
        let mut keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted =
            ["model", "scale", "precision", "engine", "psnr", "ssim", "ms_per_mp", "parameters", "worse_than_lanczos"];
        keys.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!((&row["scale"], &row["precision"]), (&Value::from(2), &Value::from("f32")));
        let number = |key: &str| row[key].as_f64().unwrap();
        assert!(number("psnr") > 10.0 && number("ms_per_mp") > 0.0, "{row}");
        assert!((0.0..=1.0).contains(&number("ssim")) && (0.0..=1.0).contains(&number("worse_than_lanczos")), "{row}");
        let plain = ["lanczos", "bicubic"].contains(&row["model"].as_str().unwrap());
        assert_eq!(row["parameters"] == 0, plain, "{row}");
        assert_eq!(row["engine"].as_str().unwrap().contains("(f32) x2 on "), !plain, "{row}");
    }
    assert_eq!(row(&rows, "lanczos")["worse_than_lanczos"], 0.0);
}

/// What has no int8 form is an error only where it is named.
#[test]
fn with_a_precision_built_in_models_are_measured_or_left_out_aloud() {
    let folder = pictures();
    let run = |arguments: &str| {
        let mut command = Command::new(example("evaluate"));
        command.arg(folder.path()).args(["--scale", "2", "--backend", "cpu"]).args(arguments.split(' '));
        command.output().unwrap()
    };
    let output = run("--precision int8");
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{noted}");
    let refused: Vec<_> = noted.lines().filter_map(|line| line.strip_prefix("note: ")).collect();
    let rows = |name: &str| said.lines().filter(|line| line.split(' ').next() == Some(name)).count();
    for model in srup_engine::model::builtin().into_iter().filter(|model| model.scale == 2) {
        let left_out = refused.iter().filter(|line| line.split(' ').next() == Some(model.name)).count();
        assert_eq!(rows(model.name) + left_out, 1, "{}: {said} {noted}", model.name);
    }
    assert_eq!((rows("luma-s"), rows("lanczos")), (1, 1), "{said}");
    let unknown = weights(folder.path(), "luma-s-x2.safetensors", |metadata| drop(metadata.remove("activations")));
    check_failure(&run(&format!("--precision int8 --model luma-m {}", unknown.display())), "do not say how large");
    check_failure(&run("--precision f16"), "f16");
}

/// Each instruction set as users force it: those that this processor lacks are refused by name.
#[test]
fn every_instruction_set_that_is_forced_is_taken_and_makes_the_same_picture() {
    let folder = pictures();
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("results.json");
    let run = |isa: &str, precision: &str| {
        let mut command = Command::new(example("evaluate"));
        command.env("SRUP_CPU", isa).arg(folder.path()).args(["--scale", "2", "--model", "luma-s", "--backend", "cpu"]);
        command.args(["--precision", precision, "--json"]).arg(&json).output().unwrap()
    };
    let psnr = || {
        let document: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let row = row(document["results"].as_array().unwrap(), "luma-s").clone();
        (row["psnr"].as_f64().unwrap(), row["engine"].as_str().unwrap().to_owned())
    };
    let mut found = Vec::new();
    for isa in ["portable", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16"] {
        let output = run(isa, "f32");
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains(&format!("SRUP_CPU={isa}")) && text.contains("portable"), "{text}");
            println!("skipped: {isa}, which this processor lacks");
            continue;
        }
        let (float, engine) = psnr();
        assert!(engine.contains(&format!("({isa},")), "{engine}");
        assert!(run(isa, "int8").status.success());
        found.push((float, psnr().0));
    }
    let (float, integer) = found[0];
    assert!(found.iter().all(|(f, i)| (f - float).abs() < 1e-3 && *i == integer), "{found:?}");
}

#[test]
fn what_was_measured_is_kept_where_nobody_reads_the_table() {
    let folder = pictures();
    let json = folder.path().join("results.json");
    let mut command = Command::new(example("evaluate"));
    command.arg(folder.path()).args(["--scale", "2", "--model", "bicubic", "--json"]).arg(&json);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(std::fs::read_to_string(&json).unwrap().contains("bicubic"));
}

#[test]
fn what_is_wrong_with_the_pictures_is_said_in_one_line() {
    let folder = pictures();
    let bad = folder.path().join("bad");
    let small = folder.path().join("small");
    let empty = folder.path().join("empty");
    for path in [&bad, &small, &empty] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(bad.join("broken.png"), b"no picture").unwrap();
    Picture::new(12, 40).save(&small.join("narrow.png")).unwrap();
    let cases: [(PathBuf, &str); 4] = [
        (folder.path().join("nowhere"), "cannot be read"),
        (empty, "holds no picture"),
        (bad, "broken.png cannot be read as a picture"),
        (small, "narrow.png"),
    ];
    for (path, expected) in cases {
        let output =
            Command::new(example("evaluate")).arg(&path).args(["--scale", "2", "--model", "bicubic"]).output().unwrap();
        check_failure(&output, expected);
    }
    let output = Command::new(example("evaluate"))
        .arg(folder.path())
        .args(["--scale", "2", "--model", "no-such-model"])
        .output()
        .unwrap();
    check_failure(&output, "unknown model 'no-such-model'");
    // Said before the pictures are computed, not when all is done.
    let nowhere = folder.path().join("nowhere/results.json");
    let output = Command::new(example("evaluate"))
        .arg(folder.path())
        .args(["--scale", "2", "--model", "bicubic", "--json"])
        .arg(&nowhere)
        .output()
        .unwrap();
    check_failure(&output, "results.json cannot be written");
    assert!(output.stdout.is_empty());
}

#[track_caller]
fn check_failure(output: &Output, expected: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(expected) && text.trim_end().lines().count() == 1, "expected '{expected}' in: {text}");
}
