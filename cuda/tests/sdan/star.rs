use srup_cuda::kernels::star::{Star, StarStep, StarWeights, is_supported};

use crate::reference::{Operation, Planar, gelu};
use crate::{CLASSES, Class, assert_close, assert_same_part, convolution, device, download, noise, picture};
use crate::{poisoned, run_one, upload};

/// Odd ones, and around the 28 x 12 of a first tile. Blocks have one tile of these.
const SIZES: [(usize, usize); 6] = [(1, 1), (1, 40), (37, 2), (12, 28), (13, 29), (26, 61)];

const DISTILLED: usize = 16;

struct Module {
    norms: [Operation; 2],
    pointwise: [Operation; 2],
    depthwise: [Operation; 2],
    out: Operation,
    project_in: Operation,
}

impl Module {
    fn new(dim: usize) -> Self {
        let norm = |seed| {
            let weight = noise(seed, dim).iter().map(|v| 1.0 + v / 4.0).collect();
            Operation { weight, bias: noise(seed + 1, dim).iter().map(|v| v / 4.0).collect() }
        };
        Self {
            norms: [norm(1), norm(3)],
            pointwise: [5, 7].map(|seed| convolution(seed, DISTILLED + 2 * dim, dim)),
            depthwise: [9, 11].map(|seed| convolution(seed, dim, 9)),
            out: convolution(13, dim, 2 * DISTILLED + dim),
            project_in: convolution(15, dim, dim),
        }
    }

    fn weights(&self) -> StarWeights<'_> {
        let step =
            |i: usize| StarStep { pointwise: self.pointwise[i].weights(), depthwise: self.depthwise[i].weights() };
        StarWeights {
            norm: self.norms[0].weights(),
            steps: [step(0), step(1)],
            out: self.out.weights(),
            next_norm: self.norms[1].weights(),
            project_in: self.project_in.weights(),
        }
    }

    /// y and p.
    fn truth(&self, x: &Planar) -> [Planar; 2] {
        let mut r = x.layer_norm(&self.norms[0]);
        let mut parts = Vec::new();
        for (pointwise, depthwise) in self.pointwise.iter().zip(&self.depthwise) {
            let t = r.pointwise(pointwise);
            parts.push(t.range(0, DISTILLED));
            let gate = t.range(DISTILLED, x.channels).map(|v| v.clamp(0.0, 6.0));
            let branch = t.range(DISTILLED + x.channels, x.channels).depthwise(depthwise, (3, 3), 1);
            r = r.add(&gate.zip(&branch, |a, b| a * b));
        }
        parts.push(r);
        let y = x.add(&Planar::join(&parts).pointwise(&self.out));
        let p = y.layer_norm(&self.norms[1]).pointwise(&self.project_in).map(gelu);
        [y, p]
    }
}

fn run(device: &srup_cuda::Device, star: &Star, x: &Planar) -> [Planar; 2] {
    let (input, outputs) = (upload(device, x), [poisoned(device, x), poisoned(device, x)]);
    run_one(device, star.launch(&input, &outputs[0], &outputs[1]).unwrap());
    outputs.map(|map| download(&map))
}

#[test]
fn star_of_any_size_and_class() {
    let Some(device) = device() else { return };
    for dim in [32, 48] {
        let module = Module::new(dim);
        let star = Star::new(&device, &module.weights()).unwrap();
        let classes = CLASSES.iter().map(|&class| ((13, 29), class));
        for (size, class) in SIZES.iter().map(|&size| (size, Class::Noise)).chain(classes) {
            let x = picture(class, 20, dim, size);
            let (found, truth) = (run(&device, &star, &x), module.truth(&x));
            for (name, (found, truth)) in ["y", "p"].iter().zip(found.iter().zip(&truth)) {
                // Of huge pictures y keeps 11 bits, and p sees what is lost.
                let bound = if matches!(class, Class::Huge) { 1e-2 } else { 2e-3 };
                assert_close(found, truth, bound, &format!("{name} of {dim} channels, {size:?}, {class:?}"));
            }
        }
    }
}

/// Blocks go through several tiles, one below the other, and from the end of one strip to the beginning of the next. On 28
/// processors they have 40 rows each, and the first strip ends with a whole tile, whose last rows are kept in vain.
#[test]
fn star_of_a_tall_picture() {
    let Some(device) = device() else { return };
    for dim in [32, 48] {
        let module = Module::new(dim);
        let star = Star::new(&device, &module.weights()).unwrap();
        let x = picture(Class::Noise, 22, dim, (452, 29));
        let (found, truth) = (run(&device, &star, &x), module.truth(&x));
        for (name, (found, truth)) in ["y", "p"].iter().zip(found.iter().zip(&truth)) {
            assert_close(found, truth, 2e-3, &format!("{name} of {dim} channels"));
        }
    }
}

#[test]
fn star_of_a_part_is_that_part() {
    let Some(device) = device() else { return };
    let module = Module::new(32);
    let star = Star::new(&device, &module.weights()).unwrap();
    let x = picture(Class::Noise, 21, 32, (29, 45));
    let whole = run(&device, &star, &x);
    for cut in [(3, 5), (12, 0), (0, 17)] {
        let part = run(&device, &star, &x.part(cut));
        for (part, whole) in part.iter().zip(&whole) {
            assert_same_part(part, whole, cut, 2);
        }
    }
}

#[test]
fn star_refuses_what_does_not_fit() {
    let Some(device) = device() else { return };
    assert!(is_supported(48, 2, 16) && !is_supported(64, 2, 16) && !is_supported(48, 3, 16) && !is_supported(48, 2, 8));
    let module = Module::new(16);
    assert!(Star::new(&device, &module.weights()).unwrap_err().to_string().contains("16 channels"));
    let module = Module::new(32);
    let star = Star::new(&device, &module.weights()).unwrap();
    let [a, b] = [(3, 5), (5, 3)].map(|size| upload(&device, &picture(Class::Zero, 0, 32, size)));
    assert!(star.launch(&a, &b, &a).is_err());
    assert!(star.launch(&a, &a, &a).unwrap_err().to_string().contains("three maps"));
}
