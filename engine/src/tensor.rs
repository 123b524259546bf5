//! The one array type that networks and colour conversion share.

/// Planes of f32: `[channels, height, width]`, row-major, tightly packed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Number of planes.
    pub channels: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Values of a row.
    pub width: usize,
    /// `channels * height * width` values.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, data: vec![0.0; channels * height * width] }
    }

    /// From values in `[channels, height, width]` order.
    ///
    /// # Panics
    /// If the number of values is not `channels * height * width`.
    pub fn from_vec(channels: usize, height: usize, width: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), channels * height * width, "a tensor's values must fill its shape");
        Self { channels, height, width, data }
    }

    /// Values of a plane.
    pub fn plane_len(&self) -> usize {
        self.height * self.width
    }

    /// One plane.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let n = self.plane_len();
        &self.data[channel * n..][..n]
    }

    /// One plane, to write.
    pub fn plane_mut(&mut self, channel: usize) -> &mut [f32] {
        let n = self.plane_len();
        &mut self.data[channel * n..][..n]
    }

    /// The value at (channel, y, x), or 0 outside the picture: the zero padding of every convolution.
    #[inline]
    pub fn at_or_zero(&self, channel: usize, y: isize, x: isize) -> f32 {
        if y < 0 || x < 0 || y >= self.height as isize || x >= self.width as isize {
            return 0.0;
        }
        self.data[(channel * self.height + y as usize) * self.width + x as usize]
    }
}
