"""Where the lectures are wrong, and what is right."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Erratum:
    """A mistake that was printed.

    Attributes:
        number: of the erratum.
        printed: what the lecture says.
        wrong: why that is wrong.
        right: what is right.

    Example:
        >>> ERRATA[1].right
        'BN is the identity for γ = σ and β = μ.'
    """

    number: int
    printed: str
    wrong: str
    right: str


_ALL = (
    Erratum(
        1,
        "BN is the identity for γ = μ and β = σ.",
        "The scale multiplies and the shift adds: this gives μ·x̂ + σ, which has mean σ and "
        "standard deviation |μ|.",
        "BN is the identity for γ = σ and β = μ.",
    ),
    Erratum(
        2,
        "The backward pass has −2/(m−1)·Σ(x−μ) and 2(x−μ)/(m−1).",
        "The forward pass divides by m, and a gradient is that of its own forward pass.",
        "The backward pass of a forward pass with 1/m has 1/m: −2/m·Σ(x−μ) and 2(x−μ)/m.",
    ),
    Erratum(
        3,
        "The batch variance is (1/m)·Σ(x−μ); the scale is β and the shift γ.",
        "Without the square the sum is zero for every batch; and the names are swapped.",
        "The batch variance is (1/m)·Σ(x−μ)². The scale is γ, the shift is β.",
    ),
    Erratum(
        4,
        "x̂ = (x−μ)/√(σ²) + ε.",
        "An ε behind the fraction shifts the result: a constant feature still divides by zero.",
        "ε belongs under the root: x̂ = (x−μ)/√(σ²+ε).",
    ),
    Erratum(
        5,
        "Batch norm normalises each sample over its features, layer norm each feature over the "
        "batch.",
        "It is the other way round: only batch norm looks at the other samples of the batch.",
        "Batch norm normalises each feature over the batch, layer norm each sample over its "
        "features.",
    ),
    Erratum(
        6,
        "In y = x₁·w₁ + 3(x₂² − w₂) the last node is y₄ = y₁ + 3·y₂.",
        "y₂ is x₂²: the difference y₃ = y₂ − w₂ would be left out, and w₂ would get no gradient.",
        "The last node is y₄ = y₁ + 3·y₃.",
    ),
    Erratum(
        7,
        "The backward direction runs from the inputs to the output.",
        "That is forward mode, which needs one pass per input.",
        "Reverse mode, which is what backpropagation is, runs from the output to the inputs.",
    ),
    Erratum(
        8,
        "Momentum starts from m₀ = g₀ and then adds the gradient; λ‖w‖² adds λw to the gradient.",
        "The first gradient would count twice; and the derivative of λ‖w‖² has a factor of two.",
        "Momentum starts from m₀ = 0, so that m₁ = g₁. λ‖w‖² has the gradient 2λw, (λ/2)‖w‖² has "
        "λw.",
    ),
    Erratum(
        9,
        "p is the probability to keep a unit, and p is the probability to drop it.",
        "One letter for both: at p = 0.2 the one network keeps a fifth, the other four fifths.",
        "With p the probability to zero a unit, as in torch, 1 − p is the probability to keep it.",
    ),
    Erratum(
        10,
        "An entropy bonus is L + λH with H = −Σp·log p.",
        "The loss is minimised, so this sign punishes diverse predictions.",
        "The bonus that keeps predictions diverse is L − λH = L + λΣp·log p.",
    ),
    Erratum(
        11,
        "He's derivation takes E[z] = 1 of the layer before, and Var(wx) = Var(w)·Var(x).",
        "Activations before ReLU are centred, E[z] = 0; the variance of a product has two more "
        "terms unless both means are zero.",
        "Var(z) of the layer before enters, with E[z] = 0; Var(wx) = E[w]²Var(x) + E[x]²Var(w) + "
        "Var(w)Var(x).",
    ),
    Erratum(
        12,
        "The loss of an epoch is the sum over batches over the length of the training set, for "
        "the test set, too; accuracy is the mean of means.",
        "Another split has another length, and the last batch is smaller than the others.",
        "Averages divide by the size of the split that they were summed over; accuracy sums "
        "correct answers.",
    ),
    Erratum(
        13,
        "torch.inference_model(), super(Net, self) of another class, and images straight into "
        "Linear(784, …).",
        "The first does not exist, the second names the wrong class, the third has 28 columns.",
        "torch.inference_mode(), super().__init__(), and images flattened to 784 numbers.",
    ),
)
ERRATA = {erratum.number: erratum for erratum in _ALL}
