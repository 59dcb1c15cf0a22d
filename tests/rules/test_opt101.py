"""Networks for OPT101: parameters that no optimizer holds."""

from torch import Tensor, nn, no_grad, randint, randn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam

from normwise.rules import check, watch

ROWS = randn(64, 8), randint(0, 4, (64,))


def rows() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def bad_only_the_head():
    net = rows()
    return check(net, ROWS, optimizer=SGD(net[2].parameters(), 0.1)), "0"


def bad_layer_added_after_the_optimizer():
    net = rows()
    optimizer = Adam(net.parameters())
    net.extend([nn.Tanh(), nn.Linear(4, 4)])
    return check(net, ROWS, optimizer=optimizer), "4"


def ok_all():
    net = rows()
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1))


def near_frozen_on_purpose():
    net = rows()
    net[0].requires_grad_(False)
    return check(net, ROWS, optimizer=SGD(net[2].parameters(), 0.1))


def near_frozen_after_a_training_whose_gradients_are_clipped_too():
    net = rows()
    cross_entropy(net(ROWS[0]), ROWS[1]).backward()
    net[0].requires_grad_(False)
    optimizer = SGD(net[2].parameters(), 0.1)
    with watch(net, optimizer, every=1, select="OPT") as watching:
        for _ in range(5):
            optimizer.zero_grad()
            cross_entropy(net(ROWS[0]), ROWS[1]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
    return watching.findings()


def near_shared_weights():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    net[2].weight = net[0].weight
    return check(net, ROWS, optimizer=SGD(net.parameters(), 0.1))


class Unused(nn.Module):
    """A network with a layer that its forward leaves out."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def near_unused_layer_outside():
    net = Unused()
    return check(net, ROWS, optimizer=SGD(net.used.parameters(), 0.1), select="OPT101")


def near_two_optimizers():
    net = rows()
    optimizers = SGD(net[0].parameters(), 0.1), SGD(net[2].parameters(), 0.1)
    with watch(net, every=1, select="OPT101") as watching:
        for _ in range(5):
            for optimizer in optimizers:
                optimizer.zero_grad()
            nn.functional.cross_entropy(net(ROWS[0]), ROWS[1]).backward()
            for optimizer in optimizers:
                optimizer.step()
    return watching.findings()


def near_gradients_left_over_from_an_earlier_training():
    """The first layer was trained before, and is run without gradients now."""
    net = rows()
    nn.functional.cross_entropy(net(ROWS[0]), ROWS[1]).backward()
    optimizer = SGD(net[2].parameters(), 0.1)
    with watch(net, optimizer, every=1, select="OPT101") as watching:
        for _ in range(5):
            with no_grad():
                hidden = net[:2](ROWS[0])
            optimizer.zero_grad()
            nn.functional.cross_entropy(net[2](hidden), ROWS[1]).backward()
            optimizer.step()
    return watching.findings()


def test_gradients_that_are_added_to_left_over_ones_count():
    net = rows()
    for _ in range(2):
        nn.functional.cross_entropy(net(ROWS[0]), ROWS[1]).backward()
    findings = check(net, ROWS, optimizer=SGD(net[2].parameters(), 0.1), select="OPT101")
    assert [finding.where for finding in findings] == ["0"]


def test_no_optimizer_is_no_verdict():
    assert "no optimizer" in check(rows(), ROWS).unanswered["OPT101"]
