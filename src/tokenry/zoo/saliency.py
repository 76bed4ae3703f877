"""The dense head of ``zoo:dinov2-small-saliency``: patch tokens to a saliency map."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tokenry.errors import UsageError

_WIDTH = 384
_PATCH = 14


class SaliencyDecoder(nn.Module):
    """Patch tokens to a map of where people look: three doublings, one score per pixel.

    ``sigmoid(resize(conv1x1(up(up(up(tokens))))))`` with
    ``up = relu . batchnorm . transposed convolution (kernel 4, stride 2)``: from h x w patches to
    8h x 8w scores, then bilinear to the 14h x 14w pixels of the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.upconv1 = nn.ConvTranspose2d(_WIDTH, 256, 4, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(256)
        self.upconv2 = nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(128)
        self.upconv3 = nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(64)
        self.final_conv = nn.Conv2d(64, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "b n 384"], grid: tuple[int, int]
    ) -> Float[Tensor, "b height width"]:
        """The saliency of each pixel in [0, 1].

        Args:
            tokens: the last hidden state after the final norm, row by row, without the class token.
            grid: rows and columns of patches, ``h * w == n``.

        Returns:
            One map per picture, ``height = 14 h`` and ``width = 14 w``.

        Raises:
            UsageError: ``tokens`` do not fill the grid.
        """
        rows, columns = grid
        if tokens.shape[1:] != (rows * columns, _WIDTH):
            raise UsageError(
                f"SaliencyDecoder: tokens of shape {tuple(tokens.shape)} do not fill a grid of "
                f"{rows} x {columns}; pass (b, {rows * columns}, {_WIDTH}) patch tokens "
                "without the class token, restored to the full grid if tokens were merged."
            )
        x = tokens.transpose(1, 2).reshape(len(tokens), _WIDTH, rows, columns)
        x = self.bn1(self.upconv1(x)).relu()
        x = self.bn2(self.upconv2(x)).relu()
        x = self.bn3(self.upconv3(x)).relu()
        size = (rows * _PATCH, columns * _PATCH)
        scores = functional.interpolate(self.final_conv(x), size, mode="bilinear")
        return scores.sigmoid()[:, 0]
