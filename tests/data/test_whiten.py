import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from normwise.data import Data, Split, Whitening, load, whiten
from normwise.errors import UsageError


def made(*shape: int, dtype: torch.dtype = torch.float64) -> Data:
    torch.manual_seed(0)
    splits = []
    for n in (700, 20, 30):
        x = torch.randn(n, *shape, dtype=torch.float64).cumsum(1) * 3 + 100
        splits.append(Split(x.to(dtype), torch.arange(n) % 2))
    return Data("made", *splits, task="classes", classes=2)


@pytest.mark.parametrize("method", ["zca", "pca"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 2)])
def test_training_split_becomes_white(method: str, shape: tuple[int, ...]):
    data = whiten(made(*shape), method, eps=0.0)
    x = data.train.x.flatten(1)
    eye = torch.eye(x.shape[1], dtype=torch.float64)
    torch.testing.assert_close(x.T.cov(correction=0), eye)
    torch.testing.assert_close(x.mean(0), torch.zeros(x.shape[1]).double(), atol=1e-9, rtol=0)
    assert data.train.x.shape == ((700, *shape) if method == "zca" else (700, x.shape[1]))


def test_pca_is_scikit_learns():
    data = made(6)
    reference = PCA(whiten=True).fit(data.train.x.numpy())
    ours = whiten(data, "pca", eps=0.0)
    for name in ("train", "val", "test"):
        expected = reference.transform(getattr(data, name).x.numpy())
        found = getattr(ours, name).x.numpy() * np.sqrt(699 / 700)  # it divides by n - 1
        signs = np.sign((found * expected).sum(0))
        np.testing.assert_allclose(found * signs, expected, rtol=1e-7, atol=1e-9)


def test_zca_is_the_symmetric_root_and_changes_least():
    whitening = Whitening.of(made(5).train.x, "zca", 0.0)
    cov = made(5).train.x.T.cov(correction=0)
    assert torch.allclose(whitening.matrix, whitening.matrix.T)
    torch.testing.assert_close(whitening.matrix @ whitening.matrix @ cov, torch.eye(5).double())
    assert (torch.linalg.eigvalsh(whitening.matrix) > 0).all()


def test_eps_shrinks_the_weak_directions():
    x = torch.tensor([[3.0, 0.1], [-3.0, 0.1], [3.0, -0.1], [-3.0, -0.1]])
    found = Whitening.of(x, eps=0.01).apply(x)
    expected = x / (x.square().mean(0) + 0.01).sqrt()
    torch.testing.assert_close(found, expected)


def test_directions_without_variance_become_zero():
    x = torch.randn(50, 2)
    x = torch.stack([x[:, 0], x[:, 1], x[:, 0] + x[:, 1], torch.full((50,), 7.0)], 1)
    for eps in (0.0, 1e-5):
        y = Whitening.of(x.double(), "pca", eps).apply(x.double())
        torch.testing.assert_close(
            y[:, :2].T.cov(correction=0), torch.eye(2).double(), atol=1e-4, rtol=0
        )
        assert not y[:, 2:].any()


def test_signs_do_not_hang_on_the_solver():
    rows = Whitening.of(made(6).train.x, "pca").matrix
    assert (rows.gather(1, rows.abs().argmax(1, keepdim=True)) > 0).all()


def test_float32_samples_with_a_large_mean():
    data = made(4, dtype=torch.float32)
    x = whiten(data, eps=0.0).train.x
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.T.cov(correction=0), torch.eye(4), atol=1e-4, rtol=0)


def test_digits_and_what_is_left_as_it_was():
    data = load("digits")
    before = data.fingerprint()
    white = whiten(data)
    assert data.fingerprint() == before
    assert white.name == "digits, whitened by zca"
    assert torch.equal(white.train.y, data.train.y)
    x = white.train.x.flatten(1).double()
    values = torch.linalg.eigvalsh(x.T.cov(correction=0))
    assert ((values - 1).abs() < 0.02).sum() >= 50
    assert values.min() < 1e-9  # pixels that are never lit
    assert "whitened" in white.describe()


def test_no_samples_to_apply_to():
    whitening = Whitening.of(torch.randn(9, 2, 3))
    assert whitening.apply(torch.empty(0, 2, 3)).shape == (0, 2, 3)
    with pytest.raises(UsageError, match="samples of 6 features, and these have 4"):
        whitening.apply(torch.ones(5, 2, 2))


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        Whitening.of(torch.ones(1, 3, dtype=torch.int64), "zac", -1.0)
    texts = " ".join(caught.value.problems)
    for part in ("did you mean 'zca'", "eps=-1.0", "torch.int64", "(1, 3) have no covariance"):
        assert part in texts
    with pytest.raises(UsageError, match="not finite"):
        Whitening.of(torch.tensor([[1.0], [float("nan")]]))
