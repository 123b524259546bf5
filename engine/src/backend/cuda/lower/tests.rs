use super::*;
use crate::network::{Preset, Sdan};

fn network(name: &str, scale: usize) -> Network {
    let presets = Preset::named(scale);
    let (_, preset) = presets.into_iter().find(|(n, _)| *n == name).unwrap();
    Network::random(preset, scale, 3)
}

fn names(lowered: &Lowered<'_>) -> Vec<&'static str> {
    let name = |operation: &Operation<'_>| match operation.kind {
        Kind::Conv { residual: None, .. } => "conv",
        Kind::Conv { .. } => "conv+",
        Kind::Tail { .. } => "tail",
        Kind::Shuffle { .. } => "shuffle",
        Kind::Norm { .. } => "norm",
        Kind::Depthwise { .. } => "depthwise",
        Kind::Star { .. } => "star",
        Kind::Product(..) => "product",
        Kind::Add(..) => "add",
        Kind::ModuleStar { .. } => "module star",
        Kind::ModuleAttention { .. } => "module attention",
    };
    lowered.operations.iter().map(name).collect()
}

/// Every value is made before it is read, and what leaves is made.
fn assert_in_order(lowered: &Lowered<'_>) {
    let mut made = vec![false; lowered.values.len()];
    made[0] = true;
    for Operation { kind, output } in &lowered.operations {
        for value in kind.others() {
            let makes = match kind {
                Kind::ModuleStar { p, .. } => value == *p,
                Kind::ModuleAttention { output, sum, .. } => Some(value) == *output || Some(value) == *sum,
                _ => false,
            };
            assert!(makes || made[value], "value {value} is read before it is made");
            made[value] = true;
        }
        made[*output] = true;
    }
    assert!(made[lowered.output], "nothing makes the output");
}

#[test]
fn sdan_is_two_operations_a_module_and_three_around_them() {
    for (name, modules) in [("sdan-small", 2), ("sdan", 9)] {
        let network = network(name, 3);
        let lowered = lower(&network).unwrap();
        assert_in_order(&lowered);
        let inner = ["module star", "module attention"].repeat(modules);
        assert_eq!(names(&lowered), [vec!["conv"], inner, vec!["conv+", "tail"]].concat());
        assert_eq!(lowered.values[lowered.output], Value::Image { channels: 3, factor: 3 });
        // Only the last module's output is not kept: what follows has it in the sum.
        let kept = lowered
            .operations
            .iter()
            .filter(|operation| matches!(operation.kind, Kind::ModuleAttention { output: Some(_), sum: Some(_), .. }));
        assert_eq!(kept.count(), modules - 1);
    }
}

#[test]
fn shapes_without_kernels_of_their_own_take_the_general_ones() {
    let preset = match network("sdan", 2).preset {
        Preset::Sdan(p) => Preset::Sdan(Sdan { dim: 64, blocks: 1, steps: 1, lka: p.lka[..2].to_vec(), ..p }),
        _ => unreachable!("it is SDAN"),
    };
    let network = Network::random(preset, 2, 3);
    let lowered = lower(&network).unwrap();
    assert_in_order(&lowered);
    let star = ["norm", "conv", "depthwise", "star", "conv", "add"];
    let attention = ["norm", "conv"].into_iter().chain(["depthwise"; 6]).chain(["conv", "product", "conv", "add"]);
    let around = [vec!["conv"], star.to_vec(), attention.collect(), vec!["conv", "conv+", "tail"]].concat();
    assert_eq!(names(&lowered), around);
}

#[test]
fn a_luma_network_of_any_width_is_convolutions_between_images() {
    let network = network("luma-l", 4);
    let lowered = lower(&network).unwrap();
    assert_in_order(&lowered);
    let (first, last) = (names(&lowered)[0], *names(&lowered).last().unwrap());
    assert_eq!((first, last, lowered.operations.len()), ("conv", "tail", 10));
    assert_eq!(lowered.values[0], Value::Image { channels: 1, factor: 1 });
}

#[test]
fn blocks_without_kernels_are_named() {
    for (name, family) in [("dlgsanet-tiny", "DLGSANet"), ("dlsn-light", "DLSN")] {
        let text = lower(&network(name, 2)).unwrap_err().to_string();
        assert!(text.contains(family) && text.contains("backend=cpu"), "{text}");
    }
}

#[test]
fn a_pixel_shuffle_alone_makes_an_image_of_a_map() {
    let shuffle = |channels| {
        let steps = vec![Step { block: Block::PixelShuffle { factor: 3 }, inputs: vec![0], output: 1 }];
        Network { channels, steps, output: 1, values: 2, ..network("luma-s", 3) }
    };
    let wide = shuffle(18);
    let lowered = lower(&wide).unwrap();
    assert_in_order(&lowered);
    assert_eq!(names(&lowered), ["shuffle"]);
    assert_eq!(lowered.values, [Value::Map { channels: 18 }, Value::Image { channels: 2, factor: 3 }]);
    let text = lower(&shuffle(4)).unwrap_err().to_string();
    assert!(text.contains("more than 4 channels"), "{text}");
}
