"""Batch normalization as torch has it, and what its users ask of it beyond that."""

from torch import nn

from normwise.layers.batch_norm_base import ExtendedBatchNorm


class BatchNorm1d(ExtendedBatchNorm, nn.BatchNorm1d):
    r"""`nn.BatchNorm1d`, with what its users ask of it beyond that.

    $$y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta$$

    with mean $\mu$ and variance $\sigma^2$ of every channel, over samples and positions: in
    training those of the batch, in evaluation the running statistics (Ioffe & Szegedy, *Batch
    Normalization*, 2015). Arguments, defaults and state dict are torch's, so a checkpoint of one
    loads into the other. Without extras torch's own kernel runs. The extras can be combined:

    - **Masks.** Elements for which `mask` is False neither count nor change, so a padded batch
      gives what its valid elements would give by themselves.
    - **Ghost batches.** With `virtual_batch_size` every group of so many samples has its own
      statistics (Hoffer, Hubara & Soudry, *Train longer, generalize better*, 2017). A batch is
      divided as by `Tensor.tensor_split`, into groups that differ by at most one sample.
    - **Gradient accumulation.** With `accumulate=n` the running statistics move once per `n`
      batches, by the statistics of all their values together, as for one batch of that size.
    - **Batch renormalization** (Ioffe, *Batch Renormalization*, 2017): what the running statistics
      say corrects the batch's, as $r \hat x + d$ with $r$ in [1 / `r_max`, `r_max`] and $d$ in
      [-`d_max`, `d_max`].
    - **Replicas.** With `sync` the statistics are those of all processes, on any backend, also
      with unequal shares of the batch.
    - **A batch of one.** With `fallback` a channel that has a single value is normalised by the
      running statistics, which it leaves alone.

    Activation checkpointing, re-entrant or not, counts a batch once, though it runs the layer
    twice; batch renormalization then needs every forward to be followed by its backward. Under
    `torch.vmap`, running statistics that all calls share move once, by the values of all calls.

    Shape:
        - Input: `(N, C)` or `(N, C, L)`; with features last, see `ChannelsLast`
        - mask: boolean, True where there is data: `(N)` or `(N, L)`, or what broadcasts to
          the input
        - Output: that of the input

    Args:
        num_features: `C`.
        eps: added to the variance. Default: 1e-5
        momentum: weight of a batch in the running statistics, None for the average of all.
            Default: 0.1
        affine: learn $\gamma$ and $\beta$. Default: True
        track_running_stats: False uses the batch's statistics in evaluation, too. Default: True
        device: of parameters and buffers. Default: torch's
        dtype: likewise. Default: torch's
        bias: learn $\beta$. Default: True
        virtual_batch_size: samples of a ghost batch, at most. Default: the whole batch
        accumulate: how many batches the optimizer takes at once. An unfinished round counts when
            training mode ends. Default: 1
        r_max: limit of r, from 1 on; a number, or a function of the number of batches so far such
            as `Ramp(1, 3, 5000, 40000)`, the paper's. Default: no renormalization
        d_max: limit of d, from 0 on, likewise; the paper's is `Ramp(0, 5, 5000, 25000)`.
        sync: share statistics with all processes, or with those of a process group; with a group
            of its own a layer can be neither copied nor pickled. Default: False
        fallback: use the running statistics where a channel has a single value. Default: False

    Raises:
        UsageError: arguments that contradict each other; an input or a mask of the wrong shape;
            whole numbers; a single value per channel in training.

    Example:
        >>> import torch
        >>> norm = BatchNorm1d(3)
        >>> _ = norm.load_state_dict(nn.BatchNorm1d(3).state_dict())
        >>> x, mask = torch.randn(2, 3, 5), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
        >>> y = norm(x, mask)
        >>> torch.equal(y[1, :, 2:], x[1, :, 2:])
        True
        >>> valid = torch.cat([x[0], x[1, :, :2]], dim=1)[None]
        >>> together = nn.BatchNorm1d(3)(valid)
        >>> torch.allclose(y[0], together[0, :, :5], atol=1e-6)
        True
    """

    dims = 2, 3


class BatchNorm2d(ExtendedBatchNorm, nn.BatchNorm2d):
    """`nn.BatchNorm2d`, with what its users ask of it beyond that; see `BatchNorm1d`.

    Shape:
        - Input: `(N, C, H, W)`
        - mask: boolean, True where there is data: `(N, H, W)`, or what broadcasts to the input
        - Output: that of the input

    Args and Raises: as for `BatchNorm1d`.

    Example:
        >>> import torch
        >>> norm = BatchNorm2d(4, virtual_batch_size=8)
        >>> x = torch.randn(16, 4, 5, 5)
        >>> loop = torch.cat([nn.BatchNorm2d(4)(part) for part in x.split(8)])
        >>> torch.allclose(norm(x), loop, atol=1e-5)
        True
    """

    dims = (4,)


class BatchNorm3d(ExtendedBatchNorm, nn.BatchNorm3d):
    """`nn.BatchNorm3d`, with what its users ask of it beyond that; see `BatchNorm1d`.

    Shape:
        - Input: `(N, C, D, H, W)`
        - mask: boolean, True where there is data: `(N, D, H, W)`, or what broadcasts to the input
        - Output: that of the input

    Args and Raises: as for `BatchNorm1d`.

    Example:
        >>> import torch
        >>> norm = BatchNorm3d(2, r_max=3, d_max=5)
        >>> norm(torch.randn(4, 2, 3, 3, 3)).shape
        torch.Size([4, 2, 3, 3, 3])
    """

    dims = (5,)
