//! The models that a stream may use, from best to cheapest.

use crate::Error;
use crate::frame::Kernel;
use crate::model::{self, Model};

/// Size of the frame by which models are held against each other.
const FRAME: (usize, usize) = (540, 960);
/// How much longer a multiply-add of other networks takes on a CPU than one of luma's dense 3x3 convolutions: 2.4 (SDAN) to 3
/// times (DLGSANet) on a Zen 4 in f32. On a GPU it is as fast.
const SLOWER: f64 = 2.5;

/// The rungs under a model: built-in networks, each with less than half of the cost of the one above, so that a step down is
/// worth it; then bicubic. They are of the model's flavour: what learned of clean pictures makes more of the blocks of
/// compressed video. A network that is no better than a cheaper one is no rung: it has to be asked for by name.
///
/// # Errors
/// As [`Model::open`].
pub fn below(top: Model, scale: usize) -> Result<Vec<Model>, Error> {
    let builtin = model::builtin().into_iter().filter(|builtin| builtin.scale == scale);
    let all = builtin.map(|builtin| Model::open(builtin.name, scale)).collect::<Result<Vec<_>, _>>()?;
    Ok(among(top, all))
}

/// The same of any models.
fn among(top: Model, mut all: Vec<Model>) -> Vec<Model> {
    all.retain(|model| flavour(model) == flavour(&top));
    all.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    let mut best = f32::MIN;
    all.retain(|model| {
        let own = quality(model).unwrap_or(f32::MIN);
        let better = own > best;
        best = best.max(own);
        better
    });
    let mut ladder = vec![top];
    for model in all.into_iter().rev() {
        if ladder.last().is_some_and(|above| 2.0 * cost(&model) < cost(above)) {
            ladder.push(model);
        }
    }
    end_in_bicubic(&mut ladder);
    ladder
}

/// In multiply-adds of luma networks.
fn cost(model: &Model) -> f64 {
    let other = matches!(model, Model::Network(network) if network.luma().is_none());
    model.multiply_adds(FRAME.0, FRAME.1) * if other { SLOWER } else { 1.0 }
}

fn quality(model: &Model) -> Option<f32> {
    match model {
        Model::Network(network) => network.quality,
        Model::Resample(_) => None,
    }
}

fn flavour(model: &Model) -> Option<&str> {
    match model {
        Model::Network(network) => network.flavour.as_deref(),
        Model::Resample(_) => None,
    }
}

/// The models of those names, best first; bicubic is added at the end.
///
/// # Errors
/// As [`Model::open`].
pub fn named<S: AsRef<str>>(names: &[S], scale: usize) -> Result<Vec<Model>, Error> {
    let mut ladder = names.iter().map(|name| Model::open(name.as_ref(), scale)).collect::<Result<Vec<_>, _>>()?;
    end_in_bicubic(&mut ladder);
    Ok(ladder)
}

fn end_in_bicubic(ladder: &mut Vec<Model>) {
    if !matches!(ladder.last(), Some(Model::Resample(Kernel::Bicubic))) {
        ladder.push(Model::Resample(Kernel::Bicubic));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::network::{Network, Preset};

    fn names(ladder: &[Model]) -> Vec<&str> {
        ladder.iter().map(Model::name).collect()
    }

    #[test]
    fn a_ladder_goes_down_to_bicubic() {
        let below = |name: &str, scale| below(Model::open(name, scale).unwrap(), scale).unwrap();
        assert_eq!(names(&below("luma-m", 2)), ["luma-m", "luma-s", "bicubic"]);
        assert_eq!(names(&below("luma-s", 3)), ["luma-s", "bicubic"]);
        assert_eq!(names(&below("luma-s-stream", 2)), ["luma-s-stream", "bicubic"]);
        assert_eq!(names(&below("lanczos", 2)), ["lanczos", "bicubic"]);
        assert_eq!(names(&below("bicubic", 4)), ["bicubic"]);
    }

    #[test]
    fn a_network_that_is_no_better_than_a_cheaper_one_is_no_rung() {
        let network = |(name, quality): (&str, Option<f32>)| {
            let preset = Preset::named(2).into_iter().find(|(n, _)| *n == name).unwrap().1;
            Model::Network(Arc::new(Network { quality, ..Network::random(preset, 2, 1) }))
        };
        let ladder = |rungs: [(&str, Option<f32>); 4]| {
            let ladder = among(network(("dlsn-light", None)), rungs.map(network).into());
            names(&ladder).join(" ")
        };
        let [s, m, l] = [("luma-s", Some(34.8)), ("luma-m", Some(35.1)), ("luma-l", Some(35.3))];
        assert_eq!(ladder([l, m, ("sdan-small", Some(35.0)), s]), "dlsn-light luma-l luma-m luma-s bicubic");
        // It costs more than luma-l, and takes its place only where it is better.
        let sdan = |quality| ("sdan-small", Some(quality));
        assert_eq!(ladder([s, m, sdan(35.3), l]), "dlsn-light luma-l luma-m luma-s bicubic");
        assert_eq!(ladder([s, m, sdan(35.4), l]), "dlsn-light sdan-small luma-m luma-s bicubic");
        assert_eq!(ladder([s, m, ("sdan-small", None), ("luma-l", None)]), "dlsn-light luma-m luma-s bicubic");
    }

    #[test]
    fn a_ladder_keeps_to_the_flavour_of_its_top() {
        let network = |(name, flavour): (&str, Option<&str>)| {
            let preset = Preset::named(2).into_iter().find(|(n, _)| *n == name).unwrap().1;
            let random = Network::random(preset, 2, 1);
            let name = flavour.map_or_else(|| name.to_owned(), |flavour| format!("{name}-{flavour}"));
            let (flavour, quality) = (flavour.map(str::to_owned), Some(random.parameters as f32));
            Model::Network(Arc::new(Network { name, flavour, quality, ..random }))
        };
        let all = [("luma-s", None), ("luma-s", Some("stream")), ("luma-m", None), ("luma-m", Some("stream"))];
        let ladder = |top| names(&among(network(top), all.map(network).into())).join(" ");
        assert_eq!(ladder(("luma-l", Some("stream"))), "luma-l-stream luma-m-stream luma-s-stream bicubic");
        assert_eq!(ladder(("luma-l", None)), "luma-l luma-m luma-s bicubic");
    }

    #[test]
    fn names_are_taken_as_they_come() {
        assert_eq!(names(&named(&["luma-s", "lanczos"], 2).unwrap()), ["luma-s", "lanczos", "bicubic"]);
        assert!(named(&["luma-q"], 2).is_err());
    }
}
