"""DLSN: residual blocks and global learnable attention among tokens of like hash code.

Module and tensor names are those of the authors' code, so that their weights load unchanged.
The random rotations of the hash are stored tensors here: the authors draw them at each call.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .blocks import conv, mean_rgb

MAX_BUCKETS = 128
SMALLEST_SIDE = 16  # smaller frames are extended, as the attention needs one full chunk


def make_rotations(rounds, width, generator=None):
    """Unit columns [rounds, width, 128], orthonormal within each run of `width` columns."""
    batches = -(-MAX_BUCKETS // width)
    noise = torch.randn(rounds, batches, width, width, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    columns = q.permute(0, 2, 1, 3).reshape(rounds, width, batches * width)
    return columns[..., :MAX_BUCKETS].float().contiguous()


def gather_tokens(tokens, index):
    """tokens [B,L,c] at index [B,N]."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


class GlobalAttention(nn.Module):
    """GLA."""

    def __init__(self, n_feats, reduction, chunk_size, n_hashes):
        super().__init__()
        self.chunk = chunk_size
        width = n_feats // reduction
        self.conv_match = nn.Sequential(conv(n_feats, width, 3), nn.ReLU())
        self.conv_assembly = nn.Sequential(conv(n_feats, n_feats, 3), nn.ReLU())
        self.conv_assembly_fc = nn.Sequential(conv(n_feats, n_feats, 3), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(n_feats, chunk_size), nn.ReLU(),
                                nn.Linear(chunk_size, chunk_size))
        self.register_buffer("rotations", make_rotations(n_hashes, width))

    def forward(self, x):
        def tokens(t):
            return t.flatten(2).transpose(1, 2)

        embed = tokens(self.conv_match(x))
        value = tokens(self.conv_assembly(x))
        place_scores = self.fc(tokens(self.conv_assembly_fc(x)))
        codes = self.hash(embed)
        rounds = [self.attend(embed, value, place_scores, code) for code in codes.unbind(1)]
        results = torch.stack([r for r, _ in rounds])
        weights = torch.stack([w for _, w in rounds]).softmax(0).unsqueeze(-1)
        combined = (weights.to(results.dtype) * results).sum(0)
        return x + combined.transpose(1, 2).reshape(x.shape)

    @torch.no_grad()
    def hash(self, embed):
        """Bucket of each token, [B, rounds, L]; the lowest bucket wins a tie."""
        q = embed.shape[1] // self.chunk
        buckets = min(q + q % 2, MAX_BUCKETS)
        # Codes must not depend on autocast: a flipped one moves every token behind it.
        with torch.autocast(embed.device.type, enabled=False):
            rotated = embed.float()[:, None] @ self.rotations.float()[..., :buckets]
        return rotated.argmax(-1)

    def weigh(self, scores):
        """Softmax over the last side, and the logarithm of its denominator."""
        total = scores.logsumexp(-1)
        return (scores - total.unsqueeze(-1)).exp(), total

    def attend(self, embed, value, place_scores, codes):
        """One round: (result [B,L,C], log-sum-exp [B,L])."""
        batch, length, _ = embed.shape
        order = codes.argsort(dim=1, stable=True)
        pad = -length % self.chunk
        padded = torch.cat([order, order[:, length - pad:]], 1) if pad else order

        def chunks(t):
            return gather_tokens(t, padded).view(batch, -1, self.chunk, t.shape[-1])

        def neighbours(t):
            return torch.cat([t, t.roll(1, 1), t.roll(-1, 1)], 2)

        query = chunks(embed)
        key = neighbours(query / query.norm(dim=-1, keepdim=True).clamp_min(5e-5))
        scores = query @ key.transpose(-2, -1)
        scores = (scores + neighbours(chunks(place_scores)).transpose(-2, -1)).float()
        weights, total = self.weigh(scores)
        sums = weights.to(value.dtype) @ neighbours(chunks(value))

        back = order.argsort(dim=1)
        result = gather_tokens(sums.flatten(1, 2), back)
        return result, total.flatten(1).gather(1, back)


class ResBlock(nn.Module):
    def __init__(self, n_feats):
        super().__init__()
        self.body = nn.Sequential(conv(n_feats, n_feats, 3), nn.ReLU(), conv(n_feats, n_feats, 3))

    def forward(self, x):
        return x + self.body(x)


class Module(nn.Module):
    """Residual blocks, one attention, one convolution, and a scaled skip around them."""

    def __init__(self, n_feats, n_resblocks, reduction, chunk_size, n_hashes, res_scale):
        super().__init__()
        self.res_scale = res_scale
        self.body = nn.Sequential(
            *(ResBlock(n_feats) for _ in range(n_resblocks)),
            GlobalAttention(n_feats, reduction, chunk_size, n_hashes),
            conv(n_feats, n_feats, 3))

    def forward(self, x):
        return x + self.res_scale * self.body(x)


def upsampler(n_feats, scale):
    layers = []
    for factor in {2: [2], 3: [3], 4: [2, 2]}[scale]:
        layers += [conv(n_feats, n_feats * factor * factor, 3), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


class Dlsn(nn.Module):
    channels = 3

    def __init__(self, scale, n_feats, n_modules, n_resblocks, reduction, chunk_size, n_hashes,
                 res_scale):
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(conv(3, n_feats, 3))
        self.body = nn.Sequential(
            *(Module(n_feats, n_resblocks, reduction, chunk_size, n_hashes, res_scale)
              for _ in range(n_modules)),
            conv(n_feats, n_feats, 3))
        self.tail = nn.Sequential(upsampler(n_feats, scale), conv(n_feats, 3, 3))

    def forward(self, x):
        height, width = x.shape[2:]
        right, bottom = max(0, SMALLEST_SIDE - width), max(0, SMALLEST_SIDE - height)
        if right or bottom:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        mean = mean_rgb(x)
        first = self.head(x - mean)
        out = self.tail(first + self.body(first)) + mean
        return out[..., :height * self.scale, :width * self.scale]
