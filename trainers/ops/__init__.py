"""Losses and layers: pure functions of tensors. Beside each fast form stands one that reads like the equation."""
