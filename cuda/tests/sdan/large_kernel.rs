use srup_cuda::kernels::large_kernel::{
    GroupShape, GroupWeights, LargeKernel, LargeKernelWeights, Share, is_supported,
};
use srup_cuda::{Device, Map};

use crate::reference::{Operation, Planar, gelu};
use crate::{CLASSES, Class, assert_close, assert_same_part, bytes, convolution, device, download, empty, picture};
use crate::{poisoned, run_one, upload};

/// Odd ones, below and above the columns of a strip, and several strips tall.
const SIZES: [(usize, usize); 5] = [(1, 1), (1, 70), (37, 2), (12, 48), (31, 65)];

/// Relative to the largest value: up to 49 products are summed in f16.
const BOUND: f64 = 4e-3;

const fn shape(square: usize, strip: usize, dilation: usize) -> GroupShape {
    GroupShape { square, strip, dilation }
}

const DIM_32: [GroupShape; 2] = [shape(3, 7, 1), shape(5, 7, 3)];
const DIM_48: [GroupShape; 3] = [shape(3, 5, 1), shape(5, 7, 2), shape(7, 9, 3)];

struct Module {
    shapes: Vec<GroupShape>,
    groups: Vec<[Operation; 3]>,
    mix: Operation,
    project_out: Operation,
    fuse: Operation,
}

fn group_weights([square, horizontal, vertical]: &[Operation; 3]) -> GroupWeights<'_> {
    GroupWeights { square: square.weights(), horizontal: horizontal.weights(), vertical: vertical.weights() }
}

impl Module {
    fn new(shapes: &[GroupShape]) -> Self {
        let dim = 16 * shapes.len();
        let group = |(i, s): (usize, &GroupShape)| {
            let taps = [s.square * s.square, s.strip, s.strip];
            [0, 1, 2].map(|j| convolution((100 * i + 10 * j) as u64, 16, taps[j]))
        };
        Self {
            shapes: shapes.to_vec(),
            groups: shapes.iter().enumerate().map(group).collect(),
            mix: convolution(1, dim, dim),
            project_out: convolution(3, dim, dim),
            fuse: convolution(5, dim, dim),
        }
    }

    fn upload(&self, device: &Device) -> LargeKernel {
        let groups: Vec<_> = self.groups.iter().map(group_weights).collect();
        let [mix, project_out, fuse] = [&self.mix, &self.project_out, &self.fuse].map(Operation::weights);
        let weights = LargeKernelWeights { groups: &groups, mix, project_out, fuse };
        LargeKernel::new(device, &self.shapes, &weights).unwrap()
    }

    fn truth(&self, p: &Planar, y: &Planar) -> Planar {
        let groups =
            self.shapes.iter().zip(&self.groups).enumerate().map(|(j, (s, [square, horizontal, vertical]))| {
                let a = p.range(16 * j, 16).depthwise(square, (s.square, s.square), 1);
                let b = a.depthwise(horizontal, (1, s.strip), s.dilation);
                a.add(&b.depthwise(vertical, (s.strip, 1), s.dilation))
            });
        let mixed = Planar::join(&groups.collect::<Vec<_>>()).pointwise(&self.mix);
        y.add(&p.zip(&mixed, |p, m| p * m).pointwise(&self.project_out))
    }

    /// The sum over modules after this one, the first where there is no sum before.
    fn share(&self, output: &Planar, before: Option<&Planar>) -> Planar {
        let share = output.pointwise(&self.fuse);
        let Some(before) = before else { return share };
        let zero = output.map(|_| 0.0).pointwise(&self.fuse);
        share.zip(&zero, |s, bias| s - bias).add(before)
    }
}

fn inputs(class: Class, dim: usize, size: (usize, usize)) -> [Planar; 3] {
    [31, 32, 33].map(|seed| picture(if seed == 31 { class } else { Class::Noise }, seed, dim, size))
}

#[test]
fn attention_of_any_size_and_class() {
    let Some(device) = device() else { return };
    for shapes in [DIM_32.as_slice(), &DIM_48] {
        let (module, dim) = (Module::new(shapes), 16 * shapes.len());
        let kernel = module.upload(&device);
        let classes = CLASSES.iter().map(|&class| ((9, 50), class));
        for (size, class) in SIZES.iter().map(|&size| (size, Class::Noise)).chain(classes) {
            // Larger ones would be beyond f16 once they are multiplied by what they give.
            let [p, y, before] = inputs(class, dim, size).map(|v| v.map(|v| v.clamp(-20.0, 20.0)));
            let (output, sum) = (poisoned(&device, &p), upload(&device, &before));
            let share = Share { before: Some(&sum), output: &sum, last: false };
            let launch = kernel.launch(&upload(&device, &p), &upload(&device, &y), Some(&output), Some(share));
            run_one(&device, launch.unwrap());
            let truth = module.truth(&p, &y);
            let name = format!("{dim} channels, {size:?}, {class:?}");
            assert_close(&download(&output), &truth, BOUND, &name);
            assert_close(&download(&sum), &module.share(&truth, Some(&before)), BOUND, &format!("sum of {name}"));
        }
    }
}

#[test]
fn sums_begin_and_end() {
    let Some(device) = device() else { return };
    let module = Module::new(&DIM_32);
    let kernel = module.upload(&device);
    let [p, y, _] = inputs(Class::Noise, 32, (9, 66));
    let [map, residual] = [&p, &y].map(|v| upload(&device, v));
    let truth = module.truth(&p, &y);
    let sum = poisoned(&device, &p);
    let mut share = Share { before: None, output: &sum, last: false };
    run_one(&device, kernel.launch(&map, &residual, None, Some(share)).unwrap());
    assert_close(&download(&sum), &module.share(&truth, None), BOUND, "first");
    share.last = true;
    run_one(&device, kernel.launch(&map, &residual, None, Some(share)).unwrap());
    assert_close(&download(&sum), &module.share(&truth, None).map(gelu), BOUND, "only");
    run_one(&device, kernel.launch(&map, &residual, Some(&residual), None).unwrap());
    assert_close(&download(&residual), &truth, BOUND, "in place");
}

fn run(device: &Device, kernel: &LargeKernel, [p, y]: [&Planar; 2]) -> Planar {
    let output = poisoned(device, p);
    run_one(device, kernel.launch(&upload(device, p), &upload(device, y), Some(&output), None).unwrap());
    download(&output)
}

#[test]
fn attention_of_a_part_is_that_part() {
    let Some(device) = device() else { return };
    for (shapes, reach) in [(DIM_32.as_slice(), 11), (&DIM_48, 15)] {
        let kernel = Module::new(shapes).upload(&device);
        let [p, y, _] = inputs(Class::Noise, 16 * shapes.len(), (37, 50));
        let whole = run(&device, &kernel, [&p, &y]);
        for cut in [(3, 5), (18, 0), (0, 17)] {
            assert_same_part(&run(&device, &kernel, [&p.part(cut), &y.part(cut)]), &whole, cut, reach);
        }
    }
}

#[test]
fn attention_refuses_what_does_not_fit() {
    let Some(device) = device() else { return };
    assert!(is_supported(&DIM_48) && !is_supported(&DIM_48[..2]) && !is_supported(&[]));
    let kernel = Module::new(&DIM_32).upload(&device);
    let zero = |size| upload(&device, &picture(Class::Zero, 0, 32, size));
    let ([p, y, sum], other) = ([zero((3, 5)), zero((3, 5)), zero((3, 5))], zero((5, 3)));
    assert!(kernel.launch(&p, &other, Some(&sum), None).is_err());
    assert!(kernel.launch(&p, &y, Some(&p), None).unwrap_err().to_string().contains("still needed"));
    let share = |output| Some(Share { before: None, output, last: false });
    for (out, output) in [(&sum, &sum), (&sum, &p), (&sum, &y)] {
        assert!(kernel.launch(&p, &y, Some(out), share(output)).is_err());
    }
    let narrow = Map::allocate(&device, 3, 5, 16).unwrap();
    assert!(kernel.launch(&narrow, &narrow, None, None).is_err());
}

#[test]
fn what_is_not_wanted_is_not_written() {
    let Some(device) = device() else { return };
    let kernel = Module::new(&DIM_32).upload(&device);
    let [p, y, _] = inputs(Class::Noise, 32, (5, 9));
    let [map, residual, before] = [&p, &y, &p].map(|v| upload(&device, v));
    let kept = [&map, &residual, &before].map(|map| bytes(map.buffer()));
    let sum = empty(&device, &p);
    let share = Share { before: Some(&before), output: &sum, last: false };
    run_one(&device, kernel.launch(&map, &residual, None, Some(share)).unwrap());
    assert_eq!([&map, &residual, &before].map(|map| bytes(map.buffer())), kept);
}
