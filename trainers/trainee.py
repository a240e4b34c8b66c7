"""A net in training, as one module: what it is given is a step, what it returns is the loss."""

from __future__ import annotations

from torch import Tensor, nn

from trainers.methods import Method, Step


class Trainee(nn.Module):
    """`forward` is the loss, so that several processes, which torch lets share gradients of a forward pass alone, can
    train whatever a method does with the net.

    parts: what is trained besides (`Method.parts`); None without.
    """

    def __init__(self, net: nn.Module, parts: nn.Module | None, method: Method) -> None:
        super().__init__()
        self.net = net
        self.parts = parts
        self.method = method

    def forward(self, step: Step) -> Tensor:
        return self.method.loss(self.net, self.parts, step)
