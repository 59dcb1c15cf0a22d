"""Programs whose networks are found while they train."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim import SGD, Adam

from normwise.evidence import Program, Schedule, Training


def observe(program: Callable[[], object]) -> tuple[list[Training], tuple[str, ...]]:
    with Program(lambda: Schedule(every=1)) as observed:
        program()
    assert not torch_module._global_forward_pre_hooks
    assert not torch_module._global_parameter_registration_hooks
    return observed.trainings(), observed.notes()


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(net(torch.randn(8, 3)), torch.randn(8, 1)).backward()
        optimizer.step()


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def test_one_network_is_seen_from_its_first_pass():
    net = regressor()
    [training], notes = observe(lambda: train(net, SGD(net.parameters(), 0.1)))
    evidence = training.evidence
    assert training.networks == {"": net}
    assert (evidence.steps, evidence.measured, notes) == (4, 4, ())
    assert evidence.parameters["0.weight"].gradient.count == 4
    assert evidence.modules["0"].calls == 4
    assert [passes.entry for passes in evidence.passes] == [""]  # no part was taken for a whole
    assert evidence.losses[0].calls == 4
    assert evidence.optimizers[0].parameters[0][0] == "0.weight"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_folds_are_trainings_of_their_own():
    def program() -> None:
        for fold in range(3):
            net = regressor()
            train(net, SGD(net.parameters(), 0.1), steps=3 + fold)

    trainings, notes = observe(program)
    assert [training.evidence.steps for training in trainings] == [3, 4, 5]
    assert [len(training.evidence.optimizers) for training in trainings] == [1, 1, 1]
    assert notes == ()


def test_networks_that_alternate_train_together_under_their_variables_names():
    def program() -> None:
        generator, critic = nn.Linear(2, 3), regressor()
        first, second = Adam(generator.parameters()), Adam(critic.parameters())
        for step in range(10):
            with torch.no_grad():
                fake = generator(torch.randn(8, 2))
            second.zero_grad()
            (critic(fake) - critic(torch.randn(8, 3))).mean().backward()
            second.step()
            if step % 3 == 2:  # comes in long after the critic has stepped
                first.zero_grad()
                (-critic(generator(torch.randn(8, 2)))).mean().backward()
                first.step()

    [training], _ = observe(program)
    assert set(training.networks) == {"generator", "critic"}
    held = {name for each in training.evidence.optimizers for name in each.parameters[0]}
    assert {"generator.weight", "critic.0.weight"} <= held
    assert None not in held
    assert training.place("critic.0").rpartition(":")[0].endswith("test_program.py")
    assert training.place("elsewhere") == ""


def test_a_pretrained_part_in_a_new_network_begins_a_training():
    def program() -> None:
        encoder = nn.Linear(3, 3)
        pretraining = nn.Sequential(encoder, nn.Linear(3, 1))
        train(pretraining, SGD(pretraining.parameters(), 0.1), steps=3)
        classifier = nn.Sequential(encoder, nn.ReLU(), nn.Linear(3, 1))
        train(classifier, SGD(classifier.parameters(), 0.1), steps=5)

    trainings, _ = observe(program)
    assert [training.evidence.steps for training in trainings] == [3, 5]
    assert "2.weight" in trainings[1].evidence.parameters


def test_parts_that_are_called_on_their_own_belong_to_the_whole():
    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(3, 2), nn.Linear(2, 3)

    class Trainer:
        def __init__(self) -> None:
            self.coder = Coder()
            self.optimizer = SGD(self.coder.parameters(), 0.1)

        def run(self) -> None:
            for _ in range(4):
                self.optimizer.zero_grad()
                self.coder.decoder(self.coder.encoder(torch.randn(8, 3))).mean().backward()
                self.optimizer.step()

    [training], _ = observe(lambda: Trainer().run())
    assert list(training.networks) == [""]
    assert {"encoder.weight", "decoder.weight"} <= set(training.evidence.parameters)


def test_teachers_copies_and_losses_are_no_trained_networks():
    net, teacher = regressor(), regressor().requires_grad_(False)
    average, criterion = regressor(), nn.MSELoss()
    optimizer = SGD(net.parameters(), 0.1)

    def program() -> None:
        for _ in range(4):
            x = torch.randn(8, 3)
            with torch.no_grad():
                target = average(x)
            optimizer.zero_grad()
            criterion(net(x), teacher(x) + target).backward()
            optimizer.step()

    [training], _ = observe(program)
    assert training.networks == {"": net}
    assert training.evidence.losses[0].calls == 4


def test_layers_hidden_in_a_list_are_found_beside_the_network():
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(3, 3)]
            self.head = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layers[0](x))

    net = Forgetful()
    [training], _ = observe(lambda: train(net, SGD(net.parameters(), 0.1)))
    [hidden] = [p for p in training.evidence.parameters.values() if not p.optimizers][:1]
    assert len(training.networks) == 2
    assert hidden.has_gradient


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_a_wrapper_takes_the_place_of_what_it_wraps():
    net = regressor()

    def program() -> None:
        net(torch.zeros(1, 3))  # a look at the shapes, with gradients on
        compiled = torch.compile(net, backend="eager")
        train(compiled, SGD(net.parameters(), 0.1))

    [training], _ = observe(program)
    assert len(training.networks) == 1
    assert training.evidence.parameters["0.weight"].gradient.count
    assert "compiled" in training.evidence.notes[0]


def test_what_is_found_leaves_the_training_as_it_is():
    def result(watched: bool) -> Tensor:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 1))
        optimizer = SGD(net.parameters(), 0.1)
        if watched:
            observe(lambda: train(net, optimizer))
        else:
            train(net, optimizer)
        return net[0].weight.detach()

    assert torch.equal(result(True), result(False))


def test_while_all_is_known_no_global_hook_is_in_the_way():
    net = regressor()
    optimizer = SGD(net.parameters(), 0.1)
    with Program():
        assert torch_module._global_forward_pre_hooks
        train(net, optimizer, steps=1)
        assert not torch_module._global_forward_pre_hooks
        other = regressor()
        assert torch_module._global_forward_pre_hooks
        train(other, SGD(other.parameters(), 0.1), steps=1)
        assert not torch_module._global_forward_pre_hooks


def test_parameters_of_no_network_do_not_keep_the_search_going():
    net, temperature = regressor(), nn.Parameter(torch.ones(()))
    first, second = SGD(net.parameters(), 0.1), SGD([temperature], 0.1)
    with Program():
        for _ in range(4):
            (net(torch.randn(8, 3)) * temperature).mean().backward()
            first.step()
            second.step()
        assert not torch_module._global_forward_pre_hooks


def test_too_many_trainings_are_said_to_be_left_out():
    def program() -> None:
        for _ in range(10):
            net = nn.Linear(3, 1)
            train(net, SGD(net.parameters(), 0.1), steps=1)

    trainings, notes = observe(program)
    assert len(trainings) == 8
    assert notes == ("only the first 8 trainings of the program were observed",)


def test_a_program_without_training_says_so():
    trainings, notes = observe(lambda: torch.ones(3).sum())
    assert trainings == []
    assert notes == ("no network was trained: no module was called with gradients on",)


def test_hooks_go_when_the_program_raises():
    net = regressor()

    def program() -> None:
        net(torch.randn(8, 3))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Program():
        program()
    assert not torch_module._global_forward_pre_hooks
    assert not net._forward_hooks
