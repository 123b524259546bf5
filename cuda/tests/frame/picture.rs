//! Planes on both sides, random numbers, and the rule by which codes are compared.

use ptx_standin::harness;
use srup_cuda::{Buffer, Device, Image, Kind, Plane, Sample};

/// The device, where this runs under the stand-in.
pub fn device() -> Option<Device> {
    harness::is_inside().then(|| Device::open(0).unwrap())
}

/// A number that depends on its arguments alone.
pub fn random(seed: usize, i: usize) -> u32 {
    ((i * 16 + seed) as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(2_246_822_519) >> 8
}

/// Samples as they lie in a plane.
pub fn sample(kind: Kind, shift: u32, group: usize) -> Sample {
    let max = match kind {
        Kind::U8 => 255,
        Kind::U16 => 1023,
        Kind::F32 => 1,
    };
    Sample { kind, shift, group, part: 0, max }
}

/// A plane of the host. `sample.part` is ignored: every component can be had.
#[derive(Clone)]
pub struct Host {
    pub bytes: Vec<u8>,
    pub pitch: usize,
    pub height: usize,
    pub width: usize,
    pub sample: Sample,
}

impl Host {
    /// A plane whose every byte, padding too, has that value.
    pub fn filled(height: usize, width: usize, sample: Sample, padding: usize, byte: u8) -> Self {
        let pitch = width * sample.pixel_bytes() + padding * sample.kind.bytes();
        Self { bytes: vec![byte; pitch * height], pitch, height, width, sample }
    }

    /// A plane of random codes, black and white among them; f32 from -1 to 2.
    pub fn noise(height: usize, width: usize, sample: Sample, padding: usize, seed: usize) -> Self {
        let mut plane = Self::filled(height, width, sample, padding, 0xa5);
        for i in 0..height * width * sample.group {
            let (pixel, part) = (i / sample.group, i % sample.group);
            let value = match random(seed, 3 * i) % 8 {
                0 => 0.0,
                1 => f64::from(sample.max),
                _ if sample.kind == Kind::F32 => f64::from((random(seed, i) % 3000) as f32 / 1000.0 - 1.0),
                _ => f64::from(random(seed, i) % (sample.max + 1)),
            };
            plane.set(pixel / width, pixel % width, part, value);
        }
        plane
    }

    fn at(&self, y: usize, x: usize, part: usize) -> usize {
        y * self.pitch + (x * self.sample.group + part) * self.sample.kind.bytes()
    }

    /// A code.
    pub fn get(&self, y: usize, x: usize, part: usize) -> f64 {
        let bytes = &self.bytes[self.at(y, x, part)..];
        match self.sample.kind {
            Kind::U8 => f64::from(bytes[0]),
            Kind::U16 => f64::from(u16::from_le_bytes([bytes[0], bytes[1]]) >> self.sample.shift),
            Kind::F32 => f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
        }
    }

    /// Stores a code.
    pub fn set(&mut self, y: usize, x: usize, part: usize, code: f64) {
        let at = self.at(y, x, part);
        match self.sample.kind {
            Kind::U8 => self.bytes[at] = code as u8,
            Kind::U16 => {
                self.bytes[at..at + 2].copy_from_slice(&((code as u16) << self.sample.shift).to_le_bytes());
            }
            Kind::F32 => self.bytes[at..at + 4].copy_from_slice(&(code as f32).to_le_bytes()),
        }
    }

    /// Component `part` as a grid.
    pub fn grid(&self, part: usize) -> Grid {
        Grid::new(self.height, self.width, |y, x| self.get(y, x, part))
    }

    /// A copy on the device, at an address that is aligned to no more than a sample if the plane is padded.
    pub fn upload(&self, device: &Device) -> Buffer {
        let offset = if self.pitch == self.width * self.sample.pixel_bytes() { 0 } else { self.sample.kind.bytes() };
        let mut bytes = vec![0x5a; offset];
        bytes.extend(&self.bytes);
        Buffer::from_slice(device, &bytes).unwrap().part(offset, self.bytes.len())
    }

    /// Component `part` of the copy.
    pub fn view(&self, buffer: &Buffer, part: usize) -> Plane {
        Plane::new(buffer, self.pitch, self.height, self.width, Sample { part, ..self.sample })
    }

    /// Takes the copy back.
    pub fn download(&mut self, buffer: &Buffer) {
        buffer.read(&mut self.bytes).unwrap();
    }

    /// Asserts that this holds the codes nearest to `expected` (its parts in order; those that are missing are the
    /// largest code), and that its padding still has the byte that it was filled with.
    pub fn assert_near(&self, expected: &[Grid], padding: u8, what: &str) {
        for y in 0..self.height {
            for x in 0..self.width {
                for part in 0..self.sample.group {
                    let found = self.get(y, x, part);
                    let value = expected.get(part).map_or(f64::from(self.sample.max), |grid| grid.at(y, x));
                    // Sums in f32 are that far from sums in f64.
                    let (allowed, value) = match self.sample.kind {
                        Kind::F32 => (1e-6 * f64::from(self.sample.max).max(4.0), value),
                        _ => (0.5 + 1e-3, value.clamp(0.0, f64::from(self.sample.max))),
                    };
                    assert!((found - value).abs() <= allowed, "{what}: ({y}, {x}) part {part}: {found}, not {value}");
                }
            }
            let row = &self.bytes[y * self.pitch..][..self.pitch];
            let untouched = row[self.width * self.sample.pixel_bytes()..].iter().all(|&byte| byte == padding);
            assert!(untouched, "{what}: padding of row {y} was written");
        }
    }
}

/// Values of one component.
#[derive(Clone)]
pub struct Grid {
    pub height: usize,
    pub width: usize,
    pub values: Vec<f64>,
}

impl Grid {
    pub fn new(height: usize, width: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        Self { height, width, values: (0..height * width).map(|i| value(i / width, i % width)).collect() }
    }

    pub fn at(&self, y: usize, x: usize) -> f64 {
        self.values[y * self.width + x]
    }
}

/// The three sums of a matrix over three grids of the same size.
pub fn matrixed(matrix: &[[f32; 4]; 3], [a, b, c]: [&Grid; 3]) -> [Grid; 3] {
    matrix.map(|m| {
        let m = m.map(f64::from);
        Grid::new(a.height, a.width, |y, x| m[0] * a.at(y, x) + m[1] * b.at(y, x) + m[2] * c.at(y, x) + m[3])
    })
}

/// A picture on the device with those values.
pub fn image(device: &Device, planes: &[Grid]) -> Image {
    let values: Vec<f32> = planes.iter().flat_map(|plane| plane.values.iter().map(|&v| v as f32)).collect();
    let buffer = Buffer::from_slice(device, &values).unwrap();
    Image::new(&buffer, planes.len(), planes[0].height, planes[0].width)
}

/// The values of a picture on the device.
pub fn values(image: &Image) -> Vec<f32> {
    let mut bytes = vec![0; image.buffer().bytes()];
    image.buffer().read(&mut bytes).unwrap();
    bytes.as_chunks().0.iter().map(|&v| f32::from_le_bytes(v)).collect()
}
