"""The batch norms against implementations of other houses, and torch's own test samples."""

import importlib.util
import os
import sys
import unittest
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from normwise.layers import BatchNorm1d, BatchNorm2d, BatchNorm3d, functional


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch's samples importable; they need a package that is for tests of torch only."""
    if importlib.util.find_spec("expecttest") is None:
        stand_in: Any = ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase
        monkeypatch.setitem(sys.modules, "expecttest", stand_in)


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [BatchNorm1d, BatchNorm2d, BatchNorm3d])
def test_torchs_samples_of_modules(kind: Any, training: bool):
    modules = pytest.importorskip("torch.testing._internal.common_modules").module_db
    [info] = [info for info in modules if info.module_cls.__name__ == kind.__name__]
    drawn = info.module_inputs_func(
        info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
    )
    for sample in drawn:
        made, called = sample.constructor_input, sample.forward_input
        ours, theirs = (
            cls(*made.args, **made.kwargs).double().train(training)
            for cls in (kind, info.module_cls)
        )
        with torch.no_grad():
            for tensor in theirs.parameters():
                tensor.copy_(torch.rand_like(tensor))
        ours.load_state_dict(theirs.state_dict())
        outs = []
        for module in (ours, theirs):
            x = called.args[0].detach().clone().requires_grad_()
            torch.manual_seed(0)
            y = module(x, *called.args[1:], **called.kwargs)
            y.pow(2).sum().backward()
            outs.append([y, x.grad, *module.state_dict().values()])
            outs[-1] += [parameter.grad for parameter in module.parameters()]
        assert repr(ours) == repr(theirs)
        for one, other in zip(*outs, strict=True):
            assert_close(one, other, rtol=0, atol=0)
    assert drawn


@pytest.mark.usefixtures("samples")
def test_torchs_samples_of_batch_norm():
    invocations = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    opinfo = next(op for op in invocations.op_db if op.name == "nn.functional.batch_norm")
    count = 0
    for sample in opinfo.sample_inputs("cpu", torch.float64, requires_grad=False):
        if sample.input.ndim < 2:  # a batch without channels, which no layer makes
            continue
        mean, var = (None if t is None else t.clone() for t in sample.args[:2])
        given = [None if t is None else t.clone() for t in sample.args[:2]]
        expected = opinfo.op(sample.input, *given, *sample.args[2:], **sample.kwargs)
        mask = torch.ones(sample.input[:, :1].shape, dtype=torch.bool)
        for extra in ({}, {"mask": mask}, {"virtual_batch_size": 1000}):
            state = [None if t is None else t.clone() for t in (mean, var)]
            y = functional.batch_norm(
                sample.input, *state, *sample.args[2:], **sample.kwargs, **extra
            )
            assert_close(y, expected, rtol=1e-10, atol=1e-10)
            for one, other in zip(state, given, strict=True):
                assert_close(one, other, rtol=1e-10, atol=1e-10)
            count += 1
    assert count >= 30


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["_example", "_epsilon"])
def test_onnx_node_tests(training: bool, kind: str):
    pytest.importorskip("onnx.backend.test.case.node.batch_normalization")
    cases = sys.modules["onnx.backend.test.case.node"]._NodeTestCases
    name = f"test_batchnorm{kind}" + ("_training_mode" if training else "")
    [found] = [test for test in cases if test.name == name]
    (inputs, outputs) = found.data_sets[0]
    x, scale, bias, mean, var = (torch.from_numpy(np.array(array)) for array in inputs)
    attributes = {a.name: a for a in found.model.graph.node[0].attribute}
    eps = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
    running = [mean.clone(), var.clone()]
    mask = torch.ones(x[:, :1].shape, dtype=torch.bool)
    y = functional.batch_norm(x, *running, scale, bias, training, 0.1, eps, mask=mask)
    assert_close(y, torch.from_numpy(outputs[0]), rtol=1e-3, atol=1e-5)
    if training:
        n = x[:, 0].numel()  # ONNX divides the variance by n, torch by n - 1
        assert_close(running[0], torch.from_numpy(outputs[1]), rtol=1e-4, atol=1e-5)
        biased = 0.9 * var + (running[1] - 0.9 * var) * (n - 1) / n
        assert_close(biased, torch.from_numpy(outputs[2]), rtol=1e-4, atol=1e-5)


def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    found = pytest.importorskip("keras")
    if found.backend.backend() != "torch":
        pytest.skip("Keras was loaded with another backend")
    return found


def sequence() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 2 + 3 * torch.randn(6, 3, 5, generator=generator)
    return x, torch.rand(6, 5, generator=generator) < 0.6


def test_keras_with_a_mask():
    layer = keras().layers.BatchNormalization(epsilon=1e-3, momentum=0.9)
    x, mask = sequence()
    norm = BatchNorm1d(3, eps=1e-3)
    layer.build((None, 5, 3))
    y = layer(x.mT, training=True, mask=mask).mT.cpu()
    ours = norm(x, mask)
    where = mask[:, None].expand_as(x)
    assert_close(ours[where], y[where], rtol=1e-4, atol=1e-4)
    assert_close(norm.running_mean, layer.moving_mean.value.detach().cpu(), rtol=1e-4, atol=1e-5)
    n = mask.sum()  # Keras divides the variance by n
    biased = 0.9 + (norm.running_var - 0.9) * (n - 1) / n
    assert_close(biased, layer.moving_variance.value.detach().cpu(), rtol=1e-4, atol=1e-4)


def test_keras_with_renormalization():
    r_max, d_max, eps = 1.7, 0.8, 1e-3
    layer = keras().layers.BatchNormalization(
        epsilon=eps, renorm=True, renorm_clipping={"rmax": r_max, "rmin": 1 / r_max, "dmax": d_max}
    )
    x, _ = sequence()
    norm = BatchNorm2d(3, eps=eps, r_max=r_max, d_max=d_max)
    norm.running_mean.copy_(torch.tensor([1.0, 2.5, 9.0]))
    norm.running_var.copy_(torch.tensor([8.0, 30.0, 1.0]))
    layer.build((None, 5, 1, 3))
    layer.renorm_mean.assign(norm.running_mean.numpy())
    layer.renorm_stddev.assign((norm.running_var + eps).sqrt().numpy())
    leaf, theirs = (x[..., None].clone().requires_grad_() for _ in range(2))
    y = layer(theirs.permute(0, 2, 3, 1), training=True).permute(0, 3, 1, 2)
    ours = norm(leaf)
    assert_close(ours, y.cpu(), rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad(out.pow(3).sum(), x)[0] for out, x in ((ours, leaf), (y, theirs))]
    assert_close(grads[0], grads[1].cpu(), rtol=1e-3, atol=1e-3)
