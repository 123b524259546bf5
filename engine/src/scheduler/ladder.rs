//! The models that a stream may use, from best to cheapest.

use crate::Error;
use crate::frame::Kernel;
use crate::model::{self, Model};

/// The rungs under a model: built-in networks with fewer parameters, each with less than half of those of the one above, so
/// that a step down is worth it; then bicubic.
///
/// # Errors
/// As [`Model::open`].
pub fn below(top: Model, scale: usize) -> Result<Vec<Model>, Error> {
    let mut smaller = Vec::new();
    for builtin in model::builtin().into_iter().filter(|builtin| builtin.scale == scale) {
        let model = Model::open(builtin.name, scale)?;
        if 2 * model.parameters() < top.parameters() {
            smaller.push(model);
        }
    }
    smaller.sort_by_key(|model| std::cmp::Reverse(model.parameters()));
    let mut ladder = vec![top];
    for model in smaller {
        if ladder.last().is_some_and(|above| 2 * model.parameters() < above.parameters()) {
            ladder.push(model);
        }
    }
    end_in_bicubic(&mut ladder);
    Ok(ladder)
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
    use super::*;

    fn names(ladder: &[Model]) -> Vec<&str> {
        ladder.iter().map(Model::name).collect()
    }

    #[test]
    fn a_ladder_goes_down_to_bicubic() {
        let below = |name: &str, scale| below(Model::open(name, scale).unwrap(), scale).unwrap();
        assert_eq!(names(&below("luma-m", 2)), ["luma-m", "luma-s", "bicubic"]);
        assert_eq!(names(&below("luma-s", 3)), ["luma-s", "bicubic"]);
        assert_eq!(names(&below("lanczos", 2)), ["lanczos", "bicubic"]);
        assert_eq!(names(&below("bicubic", 4)), ["bicubic"]);
    }

    #[test]
    fn names_are_taken_as_they_come() {
        assert_eq!(names(&named(&["luma-s", "lanczos"], 2).unwrap()), ["luma-s", "lanczos", "bicubic"]);
        assert!(named(&["luma-q"], 2).is_err());
    }
}
