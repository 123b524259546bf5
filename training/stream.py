"""Low-resolution pictures as streams carry them: compressed, and sometimes blurred or noisy before.

Compression is that of FFmpeg's libx264 and libx265 (the program `ffmpeg` must be there) with 4:2:0
chroma, every picture an intra frame, or Pillow's JPEG.
"""

import io
import subprocess
from collections import defaultdict

import numpy as np
from PIL import Image, ImageFilter

VARIANTS = 4  # of each picture, beside the clean one
CODECS = {"libx264": ("h264", "-x264-params"), "libx265": ("hevc", "-x265-params")}
# In a stream most frames are predicted and coarser than intra frames of the same CRF.
FACTORS = range(22, 41, 3)
JPEG_SHARE, JPEG_QUALITY = 0.2, (35, 90)
BLUR_SHARE, BLUR_SIGMA = 0.25, (0.3, 0.9)
NOISE_SHARE, NOISE_SIGMA = 0.25, (1, 4)

TO_YUV = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
TO_YUV /= 255  # BT.601, limited range
OFFSET = np.array([16, 128, 128])


def variants(pictures, seed):
    """VARIANTS lists of degraded copies of `pictures`, [H,W,1] codes of Y or [H,W,3] of RGB, u8."""
    random = np.random.default_rng(seed)
    return [compressed([spoiled(p, random) for p in pictures], random) for _ in range(VARIANTS)]


def spoiled(picture, random):
    if random.random() < BLUR_SHARE:
        blur = ImageFilter.GaussianBlur(random.uniform(*BLUR_SIGMA))
        picture = as_array(as_image(picture).filter(blur), picture.shape)
    if random.random() < NOISE_SHARE:
        noise = random.normal(0, random.uniform(*NOISE_SIGMA), picture.shape)
        picture = np.clip(picture + noise, 0, 255).round().astype(np.uint8)
    return picture


def compressed(pictures, random):
    """Each picture by a codec and a quality of its own; those that share both go in one run."""
    done = [None] * len(pictures)
    runs = defaultdict(list)
    for i, picture in enumerate(pictures):
        if random.random() < JPEG_SHARE:
            done[i] = jpeg(picture, int(random.integers(*JPEG_QUALITY)))
        else:
            codec = random.choice(list(CODECS))
            runs[codec, int(random.choice(FACTORS)), picture.shape].append(i)
    for (codec, factor, shape), members in runs.items():
        frames = [planes(pictures[i]) for i in members]
        for i, frame in zip(members, recoded(frames, codec, factor, shape)):
            done[i] = from_planes(frame, shape)
    return done


def jpeg(picture, quality):
    file = io.BytesIO()
    as_image(picture).save(file, "JPEG", quality=quality)
    return as_array(Image.open(file), picture.shape)


def recoded(frames, codec, factor, shape):
    """Frames of yuv420p, one array each, after a codec."""
    height, width, _ = shape
    format_, private = CODECS[codec]
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]
    encoder = ["-c:v", codec, "-crf", str(factor), "-preset", "veryfast",
               private, "keyint=1:log-level=error"]
    packets = ffmpeg([*raw, "-s", f"{width}x{height}", "-i", "-", *encoder, "-f", format_, "-"],
                     b"".join(f.tobytes() for f in frames))
    pixels = np.frombuffer(ffmpeg(["-f", format_, "-i", "-", *raw, "-"], packets), np.uint8)
    return pixels.reshape(len(frames), -1)


def ffmpeg(arguments, data):
    done = subprocess.run(["ffmpeg", "-v", "error", *arguments], input=data, capture_output=True)
    if done.returncode:
        raise SystemExit(f"ffmpeg failed: {done.stderr.decode().strip()}")
    return done.stdout


def planes(picture):
    """A frame of yuv420p as one array; grey where the picture is Y alone."""
    height, width, channels = picture.shape
    if channels == 1:
        return np.concatenate([picture.ravel(), np.full(height * width // 2, 128, np.uint8)])
    yuv = picture @ TO_YUV.T + OFFSET
    chroma = yuv[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    parts = [yuv[..., 0], chroma[..., 0], chroma[..., 1]]
    return np.concatenate([part.round().astype(np.uint8).ravel() for part in parts])


def from_planes(frame, shape):
    height, width, channels = shape
    y, chroma = np.split(frame, [height * width])
    if channels == 1:
        return y.reshape(shape)
    chroma = [Image.fromarray(c).resize((width, height), Image.BICUBIC)
              for c in chroma.reshape(2, height // 2, width // 2)]
    yuv = np.stack([y.reshape(height, width), *map(np.asarray, chroma)], -1)
    rgb = (yuv - OFFSET) @ np.linalg.inv(TO_YUV).T
    return np.clip(rgb.round(), 0, 255).astype(np.uint8)


def as_image(picture):
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def as_array(image, shape):
    return np.asarray(image).reshape(shape)
