//! A CUDA driver that runs PTX on the CPU, with checks that no GPU makes.
