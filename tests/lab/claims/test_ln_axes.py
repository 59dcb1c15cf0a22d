import torch
import torch.nn.functional as F

import normwise as nw
from normwise.lab import ERRATA


def test_the_claim_holds():
    result = nw.lab.run("ln-axes")
    assert result.verdict == "holds"
    table = result.frame().pivot_table(index="of", columns="what", values="estimate")
    pairs = table["pairs of mean and variance"]
    assert pairs["LayerNorm((10,))"] == 16 * 5 * 10
    assert pairs["LayerNorm((10, 10))"] == 16 * 5
    assert pairs["LayerNorm((5, 10, 10))"] == 16
    assert pairs["BatchNorm2d(5)"] == 5
    assert pairs["BatchNorm1d(500)"] == 500
    change = table["change with the other samples"]
    assert (change[change.index.str.startswith("Layer")] == 0).all()
    assert (change[change.index.str.startswith("Batch")] > 0.1).all()


def test_erratum_5_by_the_formula_itself():
    """Layer norm takes each row's moments, batch norm each column's."""
    torch.manual_seed(0)
    x = 2 + 3 * torch.randn(8, 6, dtype=torch.float64)
    rows = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    columns = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(F.layer_norm(x, [6]), rows)
    assert torch.allclose(F.batch_norm(x, None, None, training=True), columns)
    alone = F.layer_norm(x[:1], [6])
    assert torch.equal(F.layer_norm(x, [6])[:1], alone)
    assert ERRATA[5].right.startswith("Batch norm normalises each feature over the batch")
