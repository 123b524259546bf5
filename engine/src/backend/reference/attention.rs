//! The composite blocks of DLGSANet and SDAN, formula by formula.

use super::convolution::relu;
use super::{channels, concat, conv, depthwise, gelu, zip};
use crate::network::{DynamicLocalAttention, GatedFfn, LargeKernelAttention, SparseGlobalAttention, StarDistillation};
use crate::tensor::Tensor;

/// `project_out(GELU(t[..h]) * t[h..])`, `t = depthwise(project_in(x))`.
pub fn gated_ffn(p: &GatedFfn, x: &Tensor) -> Tensor {
    let t = depthwise(&p.depthwise, &conv(&p.project_in, x));
    let h = t.channels / 2;
    let gated = zip(&channels(&t, 0..h), &channels(&t, h..2 * h), |a, b| gelu(a) * b);
    conv(&p.project_out, &gated)
}

/// A depth-wise convolution with a kernel of its own at every pixel: `kernels[g*w*w + dy*w + dx, y, x]`, group g being
/// `group_channels` consecutive channels.
pub fn dynamic_filter(u: &Tensor, kernels: &Tensor, window: usize, group_channels: usize) -> Tensor {
    let (w, half) = (window, (window / 2) as isize);
    let mut out = Tensor::zeros(u.channels, u.height, u.width);
    for c in 0..u.channels {
        for y in 0..u.height {
            for x in 0..u.width {
                let sum: f64 = (0..w * w)
                    .map(|tap| {
                        let channel = c / group_channels * w * w + tap;
                        let kernel = kernels.data[(channel * u.height + y) * u.width + x];
                        let (dy, dx) = ((tap / w) as isize - half, (tap % w) as isize - half);
                        f64::from(kernel) * f64::from(u.at_or_zero(c, y as isize + dy, x as isize + dx))
                    })
                    .sum();
                out.data[(c * u.height + y) * u.width + x] = sum as f32;
            }
        }
    }
    out
}

/// MHDLSA (DLGSANet, section 3.2 of the paper).
pub fn dynamic_local_attention(p: &DynamicLocalAttention, x: &Tensor) -> Tensor {
    let u = conv(&p.project_in, x);
    let kernels = conv(&p.expand, &depthwise(&p.depthwise, &conv(&p.reduce, &u)));
    conv(&p.project_out, &dynamic_filter(&u, &kernels, p.window, p.group_channels))
}

/// First pixels of the windows along an axis of `n` pixels, and their length: as the authors' test-time code cuts.
pub fn window_starts(n: usize, window: usize) -> (Vec<usize>, usize) {
    let k = n.min(window);
    let count = (n - 1) / k + 1;
    let step = if count == 1 { k } else { (n - k).div_ceil(count - 1) };
    let mut starts = Vec::new();
    let mut start = 0;
    while start + k < n {
        starts.push(start);
        start += step;
    }
    starts.push(n - k);
    (starts, k)
}

/// SparseGSA: attention between the channels of a head, with ReLU, averaged over overlapping windows.
pub fn sparse_global_attention(p: &SparseGlobalAttention, x: &Tensor) -> Tensor {
    let c = x.channels;
    let z = depthwise(&p.depthwise, &conv(&p.qkv, x));
    let (rows, height) = window_starts(x.height, p.window);
    let (columns, width) = window_starts(x.width, p.window);
    let mut sums = vec![0.0_f64; c * x.plane_len()];
    let mut counts = vec![0.0_f64; x.plane_len()];
    for &top in &rows {
        for &left in &columns {
            let pixels: Vec<usize> =
                (0..height * width).map(|i| (top + i / width) * x.width + left + i % width).collect();
            for &pixel in &pixels {
                counts[pixel] += 1.0;
            }
            for (head, &temperature) in p.temperature.iter().enumerate() {
                attend_window(&z, c, head, p.temperature.len(), f64::from(temperature), &pixels, &mut sums);
            }
        }
    }
    let n = x.plane_len();
    let mean = sums.iter().enumerate().map(|(i, &sum)| (sum / counts[i % n]) as f32).collect();
    conv(&p.project_out, &Tensor::from_vec(c, x.height, x.width, mean))
}

/// Adds one head's result in one window to `sums`. `z` holds queries, keys and values, `c` channels each.
fn attend_window(
    z: &Tensor,
    c: usize,
    head: usize,
    heads: usize,
    temperature: f64,
    pixels: &[usize],
    sums: &mut [f64],
) {
    let (n, width) = (z.plane_len(), c / heads);
    let values = |channel: usize| pixels.iter().map(move |&p| f64::from(z.data[channel * n + p]));
    let unit = |channel: usize| -> Vec<f64> {
        let norm = values(channel).map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        values(channel).map(|v| v / norm).collect()
    };
    let first = head * width;
    let keys: Vec<Vec<f64>> = (0..width).map(|b| unit(c + first + b)).collect();
    for a in 0..width {
        let query = unit(first + a);
        for (b, key) in keys.iter().enumerate() {
            let dot: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
            let weight = relu(temperature * dot);
            for (&pixel, v) in pixels.iter().zip(values(2 * c + first + b)) {
                sums[(first + a) * n + pixel] += weight * v;
            }
        }
    }
}

/// SDM: star steps `r += ReLU6(a) * depthwise(b)`, then the 1x1 over all distilled parts and r.
pub fn star_distillation(p: &StarDistillation, u: &Tensor) -> Tensor {
    let (c, d) = (u.channels, p.distill);
    let mut r = u.clone();
    let mut parts = Vec::new();
    for step in &p.steps {
        let t = conv(&step.pointwise, &r);
        parts.push(channels(&t, 0..d));
        let gate = channels(&t, d..d + c);
        let filtered = depthwise(&step.depthwise, &channels(&t, d + c..d + 2 * c));
        let star = zip(&gate, &filtered, |a, b| a.clamp(0.0, 6.0) * b);
        r = zip(&r, &star, |r, s| r + s);
    }
    parts.push(r);
    conv(&p.out, &concat(&parts.iter().collect::<Vec<_>>()))
}

/// MM-LKA: `project_out(p * mix(e))`, `e` of each group being `a + vertical(horizontal(a))`, `a = square(p)`.
pub fn large_kernel_attention(p: &LargeKernelAttention, v: &Tensor) -> Tensor {
    let gate = conv(&p.project_in, v);
    let width = gate.channels / p.groups.len();
    let parts: Vec<Tensor> = p
        .groups
        .iter()
        .enumerate()
        .map(|(j, group)| {
            let a = depthwise(&group.square, &channels(&gate, j * width..(j + 1) * width));
            zip(&a, &depthwise(&group.vertical, &depthwise(&group.horizontal, &a)), |a, b| a + b)
        })
        .collect();
    let mixed = conv(&p.mix, &concat(&parts.iter().collect::<Vec<_>>()));
    conv(&p.project_out, &zip(&gate, &mixed, |a, b| a * b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_axis_and_end_with_it() {
        for n in 1..200 {
            for window in [1, 2, 7, 16, 48, 96] {
                let (starts, k) = window_starts(n, window);
                assert_eq!(starts[0], 0);
                assert_eq!(starts[starts.len() - 1] + k, n);
                assert!(starts.windows(2).all(|w| w[0] < w[1] && w[1] <= w[0] + k), "{n} {window}: {starts:?}");
            }
        }
    }
}
