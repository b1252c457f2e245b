"""The recipe's parts do what they are described to do; a network of a few channels learns made-up images with them."""

import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from benchmarks.peers.torch_cifar10 import data, precision  # noqa: E402
from benchmarks.peers.torch_cifar10.muon import Muon, newton_schulz  # noqa: E402
from benchmarks.peers.torch_cifar10.network import Network, start, whitening_filters  # noqa: E402
from benchmarks.peers.torch_cifar10.peer import Peer, rates  # noqa: E402
from benchmarks.peers.torch_cifar10.settings import Settings  # noqa: E402

TRAIN, TEST, BATCH = 400, 150, 50  # 8 steps an epoch; the batches of the evaluation are of 50
TINY = dict(epochs=1, batch_size=BATCH, widths=(8, 16, 16), logit_divisor=16.0, whitening_images=100)


def made_up(count, seed):
    """Ten colours, and noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    colours = np.random.default_rng(0).integers(0, 256, (10, 1, 1, 3))
    noisy = colours[labels] + rng.normal(0, 30, (count, 32, 32, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def tiny(**settings):
    return Peer(Settings(**TINY | settings), *made_up(TRAIN, 1), *made_up(TEST, 2))


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def patches_like_images():
    """Images whose neighbours resemble one another, as normalised ones' do."""
    smooth = torch.nn.functional.avg_pool2d(random(40, 3, 36, 36), 5, 1)
    return smooth + 0.1 * random(40, 3, 32, 32, seed=1) + 0.3


@pytest.fixture
def started(patches_like_images):
    network = Network((32, 48, 48), divisor=2.0, epsilon=1e-12, momentum=0.6)
    start(network, patches_like_images, torch.Generator().manual_seed(0), 5e-4)
    return network


@pytest.fixture
def recorded(monkeypatch):
    """(SGD's rates, Muon's rate, the whitening's bias before, whether it has a gradient) of every step of a peer."""
    steps, sgd_step, muon_step = [], torch.optim.SGD.step, Muon.step

    def record_sgd(self):
        (bias,) = self.param_groups[0]["params"]
        steps.append([[group["lr"] for group in self.param_groups], bias.detach().clone(), bias.grad is not None])
        sgd_step(self)

    def record_muon(self, rate):
        steps[-1].insert(1, rate)
        muon_step(self, rate)

    monkeypatch.setattr(torch.optim.SGD, "step", record_sgd)
    monkeypatch.setattr(Muon, "step", record_muon)
    return steps


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["layers", "iterations"])
def test_the_fastest_precision_is_that_of_a_trial(kind, slow, monkeypatch):
    """Every call of one kind, in one precision, takes a hundred seconds."""
    clock, convolve, multiply = [0.0], functional.conv2d, torch.Tensor.__matmul__

    def timed(compute, of):
        def call(first, *others, **settings):
            clock[0] += 100.0 if of == kind and first.dtype == slow else 1.0
            return compute(first, *others, **settings)

        return call

    monkeypatch.setattr(functional, "conv2d", timed(convolve, "layers"))
    monkeypatch.setattr(torch.Tensor, "__matmul__", timed(multiply, "iterations"))
    monkeypatch.setattr(precision, "perf_counter", lambda: clock[0])
    found = precision.settled(Settings(precision="fastest", iteration_precision="fastest"))
    chosen = {"layers": found.precision, "iterations": found.iteration_precision}[kind]
    half = {"layers": "autocast", "iterations": "bfloat16"}[kind]
    assert chosen == ("float32" if slow == torch.bfloat16 else half)


def test_a_chosen_precision_stays():
    usual = Settings()
    assert precision.settled(usual) == usual
    assert tiny(precision="fastest").settings.precision in ("float32", "autocast")


# --- Muon -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 24)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_newton_schulz_makes_singular_values_near_1(shape, precision):
    U, values, V = torch.linalg.svd(random(*shape), full_matrices=False)
    values = values.clamp(min=values[0] / 4)  # of tiny ones three iterations do not make 1
    found = newton_schulz(U * values @ V, 3, (3.4445, -4.775, 2.0315), getattr(torch, precision)).float()
    assert found.shape == shape
    along = U.T @ found @ V.T  # the same singular vectors: diagonal
    assert along.diagonal().min() > 0.65
    assert along.diagonal().max() < 1.25
    assert (along - along.diagonal().diag()).abs().max() < (1e-5 if precision == "float32" else 0.05)


def test_muon_rescales_a_kernel_and_subtracts_nesterovs_momentum():
    before, gradients = random(4, 2, 3, 3), random(2, 4, 2, 3, 3, seed=1)
    kernel = before.clone().requires_grad_()
    muon = Muon([kernel], momentum=0.6, orthogonal=lambda matrix: 2 * matrix)
    expected, moment = before, torch.zeros_like(before)
    for rate, gradient in zip((0.5, 0.25), gradients, strict=True):
        kernel.grad = gradient.clone()
        muon.step(rate)
        moment = 0.6 * moment + gradient
        expected = expected * 2 / expected.norm() - rate * 2 * (gradient + 0.6 * moment)
        torch.testing.assert_close(kernel.detach(), expected)


# --- the start --------------------------------------------------------------------------------------------------------


def test_whitened_patches_have_the_identity_for_their_covariance(patches_like_images):
    filters = whitening_filters(patches_like_images, 1e-7)
    assert filters.shape == (24, 3, 2, 2)
    torch.testing.assert_close(filters[12:], -filters[:12])
    patches = patches_like_images.unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).reshape(-1, 12)
    white = patches @ filters[:12].reshape(12, 12).T
    torch.testing.assert_close(white.T @ white / len(white), torch.eye(12), rtol=0, atol=1e-3)


def test_epsilon_is_added_to_the_eigenvalues(patches_like_images):
    exact, damped = (whitening_filters(patches_like_images, epsilon)[:12].flatten(1) for epsilon in (0, 0.01))
    values = exact.norm(dim=1) ** -2
    torch.testing.assert_close(damped.norm(dim=1) ** -2, values + 0.01)


def test_convolutions_start_as_the_identity(started):
    for group in started.groups:
        for conv in group.convs:
            images = random(2, conv.in_channels, 6, 6)
            torch.testing.assert_close(conv(images)[:, : conv.in_channels], images)
            drawn = conv.weight[conv.in_channels :]
            bound = 1 / math.sqrt(9 * conv.in_channels)
            assert len(drawn) == 0 or 0.9 * bound < drawn.abs().max() <= bound


def test_the_rest_of_the_start(started):
    assert started.head.weight.std().item() == pytest.approx(1)
    assert 0.7 / math.sqrt(12) < started.whitening.bias.abs().max() <= 1 / math.sqrt(12)
    trained = {name for name, parameter in started.named_parameters() if parameter.requires_grad}
    assert "whitening.bias" in trained
    assert "whitening.weight" not in trained
    assert not any(norm.weight.requires_grad for norm in started.norms())
    assert all(norm.bias.requires_grad and not norm.bias.any() for norm in started.norms())


def test_running_statistics_keep_three_fifths(started):
    norm = started.norms()[0].train()
    norm(5 + random(4, 32, 8, 8))
    torch.testing.assert_close(norm.running_mean, torch.full((32,), 0.4 * 5), rtol=0, atol=0.15)
    assert norm.eps == 1e-12


def test_the_recipes_network_has_two_million_parameters_and_divides_its_logits():
    def logits(divisor):
        torch.manual_seed(0)
        network = Network((64, 256, 256), divisor=divisor, epsilon=1e-12, momentum=0.6)
        assert sum(parameter.numel() for parameter in network.parameters()) == 1_972_792
        return network(random(2, 3, 32, 32), True)

    torch.testing.assert_close(logits(256.0) * 128, logits(2.0))


# --- images -----------------------------------------------------------------------------------------------------------


def numbered(count, side=32):
    return torch.arange(count * side * side * 3).reshape(count, side, side, 3)


def test_images_are_normalised():
    images = torch.tensor([[0, 51, 255]], dtype=torch.uint8).reshape(1, 1, 1, 3)
    found = data.normalized(images, (0.5, 0.2, 0.4), (0.25, 0.5, 0.1), torch.float32)
    torch.testing.assert_close(found.flatten(), torch.tensor([-2.0, 0.0, 6.0]))


def test_padding_reflects_without_the_edge():
    rows = torch.tensor([1, 2, 3, 4]).reshape(1, 4, 1, 1).expand(1, 4, 4, 1)
    padded = data.reflect_padded(rows, 2)
    assert padded[0, :, 3, 0].tolist() == [3, 2, 1, 2, 3, 4, 3, 2]
    assert data.reflect_padded(rows.transpose(1, 2), 2)[0, 3, :, 0].tolist() == [3, 2, 1, 2, 3, 4, 3, 2]


def test_an_image_is_once_itself_and_once_its_mirror_in_two_epochs():
    images, generator = numbered(6), torch.Generator().manual_seed(0)
    for epoch in range(4):
        expected = images.flip(2) if epoch % 2 else images
        seen = []
        for batch, numbers in data.epoch_batches(images, epoch, batch_size=3, generator=generator):
            assert batch.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(batch, expected[numbers].permute(0, 3, 1, 2))
            seen += numbers.tolist()
        assert sorted(seen) == list(range(6))


def test_crops_are_drawn_anew_for_each_image_and_epoch():
    images, generator = numbered(200, side=36), torch.Generator().manual_seed(0)
    corners, orders = [], []
    for epoch in (0, 2):
        (batch, numbers), *rest = data.epoch_batches(images, epoch, batch_size=150, generator=generator)
        assert not rest  # 50 images remain, and are dropped
        order = numbers.argsort()
        corners.append((batch[:, 0, 0, 0] - numbered(200, side=36)[numbers, 0, 0, 0])[order].tolist())
        orders.append(numbers.tolist())
    places = {3 * (36 * row + column) for row in range(5) for column in range(5)}
    assert set(corners[0]) == set(corners[1]) == places
    assert corners[0] != corners[1]
    assert orders[0] != orders[1]


def test_half_of_the_images_are_mirrored_by_chance():
    images = numbered(300)
    found = data.mirrored_by_chance(images, torch.Generator().manual_seed(0))
    same = (found == images).flatten(1).all(1)
    assert ((found == images.flip(2)).flatten(1).all(1) ^ same).all()
    assert 120 < same.sum() < 180


def test_six_views_are_averaged_by_their_definition():
    images = random(3, 32, 32, 3)
    weights = random(10, 3 * 32 * 32, seed=1)

    def model(images):
        return torch.tanh(images.flatten(1) @ weights.T / 50)

    def mean_with_mirror(x):
        return (model(x) + model(x.flip(3))) / 2

    x = images.permute(0, 3, 1, 2)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    shifted = (mean_with_mirror(padded[..., :32, :32]) + mean_with_mirror(padded[..., 2:, 2:])) / 2
    expected = {"none": model(x), "mirror": mean_with_mirror(x), "six": mean_with_mirror(x) / 2 + shifted / 2}
    for views, logits in expected.items():
        found = [model(view) for view in data.views_of(images, views)]
        assert len(found) == {"none": 1, "mirror": 2, "six": 6}[views]
        torch.testing.assert_close(data.averaged(found, views), logits)


# --- the whole --------------------------------------------------------------------------------------------------------


def without_times(result):
    return {name: value for name, value in result.items() if name not in ("seconds", "phases")}


def test_a_run_learns_and_equal_seeds_give_equal_results():
    peer = tiny()
    peer.warm_up()
    first, other, again = peer.run(1), peer.run(2), peer.run(1)
    assert without_times(first) == without_times(again)
    assert first["loss"] != other["loss"]
    assert first["steps"] == 8
    assert min(first["accuracy"], first["accuracy_mirror"], first["accuracy_views"]) > 0.5
    assert first["loss"] < math.log(10) - 0.3
    assert list(first["phases"]) == ["prepare", "train", "evaluate"]
    assert min(first["phases"].values()) > 0
    assert sum(first["phases"].values()) == pytest.approx(first["seconds"])


@pytest.mark.sweep
def test_a_batch_that_remains_is_evaluated_too():
    settings = Settings(**TINY | {"batch_size": 80})
    test = made_up(TEST, 2)
    peers = [Peer(settings, *made_up(TRAIN, 1), test[0][:n], test[1][:n]) for n in (TEST, 80)]
    for peer in peers:
        peer.warm_up()
    accuracy, first = (peer.run(0)["accuracy"] for peer in peers)
    rest = Peer(settings, *made_up(TRAIN, 1), test[0][80:], test[1][80:]).run(0)["accuracy"]
    assert accuracy == pytest.approx((80 * first + 70 * rest) / 150)


def test_accuracy_counts_right_answers():
    images, labels = made_up(TEST, 2)
    right = tiny().run(0)["accuracy"]
    wrong = Peer(Settings(**TINY), *made_up(TRAIN, 1), images, (labels + 5) % 10).run(0)["accuracy"]
    assert wrong < 0.2 < right


@pytest.mark.parametrize("precision", ["bfloat16", "autocast"])
def test_in_half_precision_it_learns_too(precision):
    peer = tiny(precision=precision)
    assert peer.run(0)["accuracy_views"] > 0.4
    dtypes = {name: parameter.dtype for name, parameter in peer.network.named_parameters()}
    half = torch.bfloat16 if precision == "bfloat16" else torch.float32
    assert {dtype for name, dtype in dtypes.items() if ".norms." not in name} == {half}
    assert {dtype for name, dtype in dtypes.items() if ".norms." in name} == {torch.float32}
    assert peer._logits(random(2, 3, 32, 32).to(torch.bfloat16), False).dtype == torch.bfloat16


def test_the_whitening_stays_and_its_bias_stops_after_three_eighths(recorded):
    peer = tiny()
    peer.run(0)
    assert [has_gradient for *_, has_gradient in recorded] == [True] * 3 + [False] * 5
    biases = [bias for _, _, bias, _ in recorded] + [peer.network.whitening.bias.detach()]
    changed = [not torch.equal(a, b) for a, b in pairwise(biases)]
    assert changed == [True] * 3 + [False] * 5
    filters = whitening_filters(
        data.channels_first(peer._normalized(peer._train_images[:100], torch.float32)), peer.settings.whitening_epsilon
    )
    torch.testing.assert_close(peer.network.whitening.weight.detach(), filters)


@pytest.mark.sweep
def test_rates_fall_linearly_to_0(recorded):
    tiny(epochs=2, bias_rate=0.16, head_rate=1.6, muon_rate=0.32).run(0)
    assert len(recorded) == 16
    for step, ((whitening, norms, head), muon, *_) in enumerate(recorded):
        rest = 1 - step / 16
        assert (norms, head, muon) == pytest.approx((0.16 * rest, 1.6 * rest, 0.32 * rest))
        assert whitening == pytest.approx(0.16 * max(1 - step / 6, 0))


def test_images_are_mirrored_by_chance_for_the_run_and_padded():
    peer = tiny()
    images = peer._prepare(peer._generator(0))
    assert images.shape == (TRAIN, 36, 36, 3)
    inner, plain = images[:, 2:34, 2:34], peer._normalized(peer._train_images, torch.float32)
    same = (inner == plain).flatten(1).all(1)
    assert ((inner == plain.flip(2)).flatten(1).all(1) ^ same).all()
    assert 0.4 < same.float().mean() < 0.6


def test_epochs_are_counted(monkeypatch):
    batches, epochs = data.epoch_batches, []
    monkeypatch.setattr(data, "epoch_batches", lambda x, n, **rest: epochs.append(n) or batches(x, n, **rest))
    tiny(epochs=3).run(0)
    assert epochs == [0, 1, 2]


def test_the_loss_is_a_sum_with_smoothed_labels():
    peer = tiny(smoothing=0.3)
    images = data.channels_first(peer._normalized(peer._train_images[:4], torch.float32))
    labels = peer._train_labels[:4]
    logs = peer.network.train()(images, True).detach().log_softmax(1)
    expected = -(0.7 * logs[range(4), labels] + 0.3 * logs.mean(1)).sum()
    loss = peer._step(peer._optimizers(), images, labels, rates(peer.settings, 0, 8))
    torch.testing.assert_close(loss, expected)


def test_an_evaluation_leaves_the_statistics_alone():
    peer = tiny()
    peer.run(0)
    before = {name: value.clone() for name, value in peer.network.state_dict().items()}
    peer._evaluate(peer._test_images)
    torch.testing.assert_close(peer.network.state_dict(), before, rtol=0, atol=0)


def test_decay_is_per_image_and_over_the_rate(recorded, monkeypatch):
    made = []
    create = torch.optim.SGD.__init__
    monkeypatch.setattr(torch.optim.SGD, "__init__", lambda self, *a, **k: made.append(self) or create(self, *a, **k))
    tiny(decay=0.001, bias_rate=0.1, head_rate=0.5).run(0)
    (sgd,) = made
    assert [group["weight_decay"] for group in sgd.param_groups] == pytest.approx([0.5, 0.5, 0.1])
    assert all(group["momentum"] == 0.85 and group["nesterov"] for group in sgd.param_groups)


@pytest.mark.parametrize(
    ("views", "missing"), [("none", {"accuracy_mirror", "accuracy_views"}), ("mirror", {"accuracy_views"})]
)
def test_views_that_nobody_asks_for_are_not_evaluated(views, missing):
    few, all_views = tiny(views=views).run(0), tiny().run(0)
    assert {name for name, value in few.items() if value is None} == missing
    assert without_times(few) == without_times(all_views) | dict.fromkeys(missing)


@pytest.mark.sweep
def test_a_warm_up_leaves_no_trace():
    cold, warm = tiny(), tiny()
    warm.warm_up()
    assert without_times(cold.run(3)) == without_times(warm.run(3))


@pytest.mark.sweep
@pytest.mark.parametrize("precision", ["float32", "autocast", "bfloat16"])
def test_compiled_it_computes_the_same_and_nothing_is_compiled_in_a_run(precision):
    # At the recipe's rates, a rounding in the first step is a hundredth of the loss after ten.
    slow = dict(muon_rate=0.02, head_rate=0.05, bias_rate=0.005, iteration_precision="float32")
    eager, compiled = (
        tiny(precision=precision, epochs=2, batch_size=80, compiled=compiled, **slow) for compiled in (False, True)
    )
    compiled.warm_up()
    with torch.compiler.set_stance("fail_on_recompile"):
        found = compiled.run(0)
    expected, tolerance = eager.run(0), 1e-4 if precision == "float32" else 0.02
    assert found["loss"] == pytest.approx(expected["loss"], rel=tolerance)
    assert found["accuracy_views"] == pytest.approx(expected["accuracy_views"], abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, labels: (images[..., :2], labels), r"train_images is 'uint8 \[400, 32, 32, 2\]'"),
        (lambda images, labels: (images / 255, labels), "train_images is 'float64 .*': expected uint8"),
        (lambda images, labels: (images, labels[1:]), r"train_labels is \[399\]: expected \[400\]"),
        (lambda images, labels: (images, labels + 1), r"train_labels is \[1, 10\]: expected 0 to 9"),
        (lambda images, labels: (images[:9], labels[:9]), "batch_size is 50: expected at most .* images, 9"),
    ],
)
def test_unfit_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Peer(Settings(**TINY), *change(*made_up(TRAIN, 1)), *made_up(TEST, 2))
