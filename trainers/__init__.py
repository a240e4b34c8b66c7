"""The torch side: batches from versions, losses, models, training. Reads versions only, never raw roots.

Import what is needed from its module; this file imports nothing, so that `trainers.metrics` works without torch.
"""
