//! `--degrade` on pictures: what is spoiled before it is enlarged.

use std::process::Command;

use srup_tests::example;

use super::{pictures, results, row};

#[test]
fn every_way_to_spoil_shows_and_more_of_it_shows_more() {
    let folder = pictures();
    let quality = |degrade: &str| {
        let rows = results(folder.path(), &["--scale", "2", "--model", "luma-s", "--degrade", degrade]);
        let row = row(&rows, "luma-s");
        assert!(row["degrade"].as_str().unwrap().starts_with(degrade.split(',').next().unwrap()), "{row}");
        row["psnr"].as_f64().unwrap()
    };
    let clean =
        row(&results(folder.path(), &["--scale", "2", "--model", "luma-s"]), "luma-s")["psnr"].as_f64().unwrap();
    for [little, much] in [
        ["crf=16", "crf=40"],
        ["crf=16,codec=hevc", "crf=40,codec=hevc"],
        ["q=2,codec=jpeg", "q=31,codec=jpeg"],
        ["blur=0.4", "blur=1.5"],
        ["noise=2", "noise=20"],
    ] {
        let (little, much) = ((quality(little), little), (quality(much), much));
        assert!(clean > little.0 && little.0 > much.0 + 0.5, "clean {clean}, {little:?}, {much:?}");
    }
}

#[test]
fn wrong_words_are_answered_by_what_is_allowed() {
    let folder = pictures();
    for wrong in ["crf=99", "codec=av1,crf=20", "sharpness=3", ""] {
        let mut command = Command::new(example("evaluate"));
        let output = command.arg(folder.path()).args(["--scale", "2", "--degrade", wrong]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let lines = text.lines().filter(|line| line.contains("crf=0..51") && line.contains("codec=jpeg,q=2..31"));
        assert_eq!(lines.count(), 1, "{wrong}: {text}");
    }
}
