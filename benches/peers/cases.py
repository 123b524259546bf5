"""What is measured: networks at sizes."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A network at one scale and input size."""

    network: str
    width: int
    height: int
    scale: int = 2

    @property
    def name(self) -> str:
        return f"{self.network}-x{self.scale}-{self.width}x{self.height}"

    @property
    def trained(self) -> Path | None:
        """Our trained weights, where there are any."""
        path = ROOT / "models" / f"{self.network}-x{self.scale}.safetensors"
        return path if path.exists() else None


CASES = (
    Case("luma-s", 640, 360),
    Case("luma-s", 960, 540),
    Case("luma-s", 1280, 720),
    Case("luma-m", 640, 360),
    Case("luma-m", 1280, 720),
    Case("sdan-small", 640, 360),
    Case("sdan", 640, 360),
    Case("dlgsanet-tiny", 320, 180),
    Case("dlsn-light", 320, 180),
)
