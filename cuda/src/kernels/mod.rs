//! The kernels, one file a family. Each function checks shapes and gives a [`Launch`](crate::Launch).
