//! Sizes that are known, and weights files that are damaged in every way.

use std::collections::HashMap;
use std::path::Path;

use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};

use super::*;

#[test]
fn parameter_counts_are_those_of_the_authors_models() {
    let expected = [
        ("luma-s", [7_700, 8_425, 9_440]),
        ("luma-m", [47_716, 49_161, 51_184]),
        ("luma-l", [168_484, 170_649, 173_680]),
        ("sdan-small", [82_412, 88_907, 98_000]),
        ("sdan", [275_052, 281_547, 290_640]),
        ("dlgsanet-tiny", [565_710, 572_205, 581_298]),
        ("dlgsanet-light", [745_188, 751_683, 760_776]),
        ("dlsn-light", [756_867, 860_787, 840_003]),
    ];
    for (name, counts) in expected {
        for (scale, count) in (2..=4).zip(counts) {
            let (_, preset) = Preset::named(scale).into_iter().find(|(n, _)| *n == name).unwrap();
            assert_eq!(Network::random(preset, scale, 1).parameters, count, "{name} x{scale}");
        }
    }
}

#[test]
fn shapes_follow_the_scale_at_any_size() {
    for (_, preset) in Preset::named(3).into_iter().filter(|(n, _)| *n != "dlsn") {
        let network = Network::random(preset, 3, 1);
        for (height, width) in [(1, 1), (1, 40), (17, 3), (16, 16)] {
            let out = network.shapes(height, width)[network.output];
            assert_eq!(out, (network.channels, 3 * height, 3 * width), "{}", network.name);
        }
    }
}

#[test]
fn random_networks_repeat_by_seed() {
    let network = |seed| Network::random(Preset::named(2).swap_remove(0).1, 2, seed);
    let first = |n: &Network| match &n.steps[0].block {
        Block::Conv(conv) => conv.weight.clone(),
        other => panic!("a luma network starts with a convolution, not {other:?}"),
    };
    assert_eq!(first(&network(7)), first(&network(7)));
    assert_ne!(first(&network(7)), first(&network(8)));
}

/// A tiny luma network as a file, before somebody changes it.
struct File {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl File {
    fn new() -> Self {
        let metadata = [("network", "luma"), ("preset", r#"{"width":4,"depth":1,"head_skip":true}"#), ("scale", "2")];
        let tensor =
            |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec(), vec![0.25; shape.iter().product()]);
        Self {
            metadata: metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            tensors: vec![
                tensor("head.weight", &[4, 1, 3, 3]),
                tensor("head.bias", &[4]),
                tensor("body.0.weight", &[4, 4, 3, 3]),
                tensor("body.0.bias", &[4]),
                tensor("tail.weight", &[4, 4, 3, 3]),
                tensor("tail.bias", &[4]),
            ],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let raw: Vec<Vec<u8>> =
            self.tensors.iter().map(|(.., data)| data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views =
            self.tensors.iter().zip(&raw).map(|((name, shape, _), raw)| {
                (name.clone(), TensorView::new(Dtype::F32, shape.clone(), raw).unwrap())
            });
        serialize(views, Some(self.metadata.clone())).unwrap()
    }

    fn load(&self) -> Result<Network, Error> {
        load(&self.bytes())
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

fn load(bytes: &[u8]) -> Result<Network, Error> {
    Network::load(&Weights::parse(Path::new("tiny.safetensors"), bytes, "")?)
}

#[test]
fn a_whole_file_loads() {
    let network = File::new().load().unwrap();
    assert_eq!((network.name.as_str(), network.scale, network.parameters), ("luma", 2, 40 + 148 + 148));
}

#[test]
fn a_missing_surplus_or_misshapen_tensor_is_named() {
    let mut file = File::new();
    file.tensors.remove(3);
    assert!(file.error().contains("tensor 'body.0.bias' is missing"), "{}", file.error());

    let mut file = File::new();
    file.tensors.push(("body.1.bias".into(), vec![4], vec![0.0; 4]));
    assert!(file.error().contains("tensor 'body.1.bias' is not part of the network"), "{}", file.error());

    let mut file = File::new();
    file.tensors[4].1 = vec![4, 3, 3, 4];
    assert!(file.error().contains("'tail.weight' has the shape [4, 3, 3, 4], it should be [4, 4, 3, 3]"));

    let mut file = File::new();
    file.tensors[2].2[17] = f32::NAN;
    assert!(file.error().contains("tensor 'body.0.weight' has the value NaN at place 17"), "{}", file.error());
}

#[test]
fn metadata_tell_flavour_and_quality() {
    let mut file = File::new();
    file.metadata.extend([("flavour", "stream"), ("y_psnr", "34.5")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let network = file.load().unwrap();
    assert!(network.name.ends_with("-stream"), "{}", network.name);
    assert_eq!((network.flavour.as_deref(), network.quality), (Some("stream"), Some(34.5)));
}

#[test]
fn wrong_metadata_say_what_is_wrong() {
    let with = |key: &str, value: &str| {
        let mut file = File::new();
        file.metadata.insert(key.into(), value.into());
        file.error()
    };
    assert!(with("network", "edsr").contains("unknown network 'edsr'"));
    assert!(with("scale", "5").contains("its scale is '5'"));
    assert!(with("preset", r#"{"width":4,"depth":1}"#).contains("head_skip"));
    assert!(with("preset", r#"{"width":4,"depth":1,"head_skip":true,"x":1}"#).contains("unknown field"));
    assert!(with("preset", r#"{"width":0,"depth":1,"head_skip":true}"#).contains("width is 0"));
    assert!(with("preset", r#"{"width":99999999999,"depth":1,"head_skip":true}"#).contains("width is"));
    assert!(with("y_psnr", "good").contains("its y_psnr is 'good', it must be a number"));
    assert!(with("int8_loss", "nan").contains("its int8_loss is 'nan'"));
    assert!(with("bf16_loss", "").contains("its bf16_loss is ''"));
    let mut file = File::new();
    file.metadata.clear();
    assert!(file.error().contains("no metadata"), "{}", file.error());
}

#[test]
fn a_strip_beyond_reason_is_refused_before_it_is_multiplied() {
    let sdan = |lka: &str| {
        let json = format!(r#"{{"dim":48,"blocks":2,"steps":2,"distill":16,"lka":[{lka}]}}"#);
        Preset::parse("sdan", &json).map_err(|e| e.split_once(": ").map_or(String::new(), |(_, what)| what.to_owned()))
    };
    assert!(sdan("[3,5,1]").is_ok());
    for (lka, what) in [
        (format!("[3,{},4096]", usize::MAX), "lka strip is 18446744073709551615, it must be from 1 to 4096"),
        (format!("[{},5,1]", usize::MAX), "lka square is 18446744073709551615, it must be from 1 to 4096"),
        ("[3,4,1]".into(), "lka strip is 4, it must be odd"),
        ("[3,65,3]".into(), "an lka group looks 96 pixels far, 64 are allowed"),
    ] {
        assert_eq!(sdan(&lka).unwrap_err(), what);
    }
}

#[test]
fn a_file_without_metadata_is_recognised_by_its_tensors() {
    let tensor = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec(), vec![0.1; shape.iter().product()]);
    let mut tensors = vec![tensor("head.weight", &[16, 1, 3, 3]), tensor("head.bias", &[16])];
    for i in 0..3 {
        tensors.push(tensor(&format!("body.{i}.weight"), &[16, 16, 3, 3]));
        tensors.push(tensor(&format!("body.{i}.bias"), &[16]));
    }
    tensors.extend([tensor("tail.weight", &[9, 16, 3, 3]), tensor("tail.bias", &[9])]);
    let network = File { metadata: HashMap::new(), tensors }.load().unwrap();
    assert_eq!((network.name.as_str(), network.scale), ("luma-s", 3));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = File::new().bytes();
    for length in 0..bytes.len() {
        assert!(load(&bytes[..length]).is_err(), "{length} of {} bytes were taken for a file", bytes.len());
    }
}
