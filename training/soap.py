"""SOAP (Vyas et al., "Improving and stabilizing Shampoo using Adam", 2024) for small kernels.

A kernel is a matrix of output channels by taps. Adam's step is made in the eigenvectors of the
gradients' two covariances, which are turned by one power iteration every few steps.
"""

import torch

KEEP = 0.95  # decay of every average
TURN_EVERY = 10  # steps
TINY = 1e-8


class Soap(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                gradient = p.grad.reshape(p.shape[0], -1)
                if not self.state[p]:
                    self.state[p] = first_state(gradient)
                p.sub_(move(self.state[p], gradient).view(p.shape), alpha=group["lr"])


def first_state(gradient):
    rows, columns = gradient @ gradient.T, gradient.T @ gradient
    return {
        "step": 0, "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient),
        "rows": rows, "columns": columns,
        "row_basis": eigenvectors(rows), "column_basis": eigenvectors(columns),
    }


def eigenvectors(covariance):
    """The largest value's first. Scaled and in f64, or tiny numbers make the solver fail."""
    scaled = covariance / covariance.abs().max().clamp_min(torch.finfo(covariance.dtype).tiny)
    return torch.linalg.eigh(scaled.double())[1].flip(1).to(covariance.dtype)


def move(state, gradient):
    """What to take off the kernel, for a rate of 1; `state` moves on."""
    state["step"] += 1
    rows, columns = state["row_basis"], state["column_basis"]
    mean = state["mean"].lerp_(gradient, 1 - KEEP)
    square = state["square"].lerp_((rows.T @ gradient @ columns).square(), 1 - KEEP)
    seen = 1 - KEEP ** state["step"]
    turned = rows.T @ mean @ columns / seen / ((square / seen).sqrt() + TINY)
    # A mean is at most the root of the mean of squares, over the same steps; only where the
    # eigenvectors have turned since, and the squares not with them, would it be more.
    turned.clamp_(-1, 1)
    state["rows"].lerp_(gradient @ gradient.T, 1 - KEEP)
    state["columns"].lerp_(gradient.T @ gradient, 1 - KEEP)
    step = rows @ turned @ columns.T
    if state["step"] % TURN_EVERY == 0:
        turn(state, "row", 0)
        turn(state, "column", 1)
    return step


def turn(state, name, side):
    """One power iteration towards the eigenvectors, the largest value first."""
    basis, covariance = state[f"{name}_basis"], state[f"{name}s"]
    order = (basis * (covariance @ basis)).sum(0).argsort(descending=True)
    state["square"] = state["square"].index_select(side, order)
    state[f"{name}_basis"] = torch.linalg.qr(covariance @ basis[:, order])[0]
