import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.foundation.errors import UserError
from core.networks.build import assemble, build
from core.networks.confidence import answer_summary
from core.networks.cost import count
from core.networks.heads import HEADS, Head, rest
from core.networks.placement import PLACEMENTS, place
from core.networks.spec import NetworkSpec
from core.networks.trunk import TRUNKS
from core.networks.weights import fill
from tests.core.networks.small import network, spec


def plain_spec(backbone: str, **changes: object) -> NetworkSpec:
    values = {"backbone": backbone, "num_classes": 10, "in_channels": 3, "image_size": 32}
    return NetworkSpec.model_validate(values | changes)


def test_resnet20_counts_the_published_macs() -> None:
    cost = count(build(plain_spec("resnet20")), 3, 32)
    assert cost.plain_macs == 40_813_184
    assert cost.costs.stages.sum() + cost.costs.heads[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("depth", "millions"), [(32, 69.12), (44, 97.44), (56, 125.75), (110, 253.15)]
)
def test_deeper_resnets_count_the_published_macs(depth: int, millions: float) -> None:
    cost = count(build(plain_spec(f"resnet{depth}")), 3, 32)
    assert cost.plain_macs / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("backbone", TRUNKS)
def test_every_backbone_runs_with_an_exit_in_its_middle(backbone: str) -> None:
    with torch.device("meta"):  # shapes are all that is asked for
        trunk = TRUNKS[backbone](3)
        places = [n for n, ok in zip(trunk.names[:-1], trunk.exit_allowed, strict=False) if ok]
        middle = places[len(places) // 2]
        made = assemble(trunk, plain_spec(backbone, exits=(middle,))).eval()
        outputs = made(torch.zeros(2, 3, 32, 32))
    assert made.exit_names == (middle, "final")
    assert outputs.logits.shape == (2, 2, 10)
    assert outputs.confidence_logits is not None
    assert outputs.confidence_logits.shape == (2, 1)


@pytest.mark.parametrize("backbone", TRUNKS)
def test_no_module_works_in_place(backbone: str) -> None:
    with torch.device("meta"):
        trunk = TRUNKS[backbone](3)
    assert not [m for m in trunk.modules() if getattr(m, "inplace", False)]


@pytest.mark.parametrize("head", [*HEADS, "deep4", "deep4-4-6", "strided4-6"])
def test_heads_say_logits_and_confidence(head: str) -> None:
    made = network(head=head)
    outputs = made(torch.zeros(3, 1, 28, 28))
    assert outputs.logits.shape == (3, 3, 10)
    assert outputs.confidence_logits is not None
    assert outputs.confidence_logits.shape == (3, 2)


def test_heads_may_differ_from_exit_to_exit() -> None:
    made = network(heads=("conv2", "bnpool"))
    assert made(torch.zeros(2, 1, 28, 28)).logits.shape == (2, 3, 10)
    cost = count(made, 1, 28)
    channels = 4  # conv2 doubles them twice
    assert made.heads["block1"].softmax_branch.in_features % channels == 0
    assert cost.head_macs[0] > 10 * cost.head_macs[1]


def test_a_deep_head_halves_the_resolution_at_each_new_width() -> None:
    head = Head("deep32-32-48", (16, 32, 32), 10, "both")
    sizes = []
    for block in head.reader.children():
        block.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    assert head(torch.zeros(2, 16, 32, 32)).logits.shape == (2, 10)
    assert sizes[:3] == [(32, 16, 16), (32, 16, 16), (48, 8, 8)]


def test_a_repeated_width_in_a_deep_head_is_a_residual_pair() -> None:
    head = Head("deep8-8", (4, 8, 8), 10)
    features = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    first, pair = list(head.reader)[:2]
    nn.init.zeros_(pair.second.norm.weight)
    assert torch.equal(pair(first(features)), first(features))


def test_a_strided_head_names_the_channels_of_its_layers() -> None:
    head = Head("strided24-40", (16, 12, 12), 10)
    shapes = [m.weight.shape for m in head.reader.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(24, 16, 3, 3), (40, 24, 3, 3)]
    assert head.softmax_branch.in_features == 40


def test_a_maxpool_head_reads_a_ninth_of_the_maxima() -> None:
    features = torch.randn(5, 7, 4, 4, generator=torch.Generator().manual_seed(0))
    read = Head("maxpool", (7, 4, 4), 10).reader(features)
    assert torch.allclose(read, features.amax(dim=(2, 3)) / 9)


def resting(**changes: object) -> NetworkSpec:
    return plain_spec("resnet20", exits=("stage1_1", "stage2_1"), **changes)


def test_a_head_of_the_rest_begins_as_the_whole_network_at_a_lower_resolution() -> None:
    plain = network(backbone="resnet20", exits=(), in_channels=3, image_size=32)
    made = build(resting(heads=("rest4", "rest2"))).eval()
    fill(made, plain.state_dict(), "it")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs = made(images)
    for index, (factor, after) in enumerate([(4, "stage1_1"), (2, "stage2_1")]):
        blocks = plain.trunk.names.index(after) + 1
        features = F.avg_pool2d(plain.trunk.run(images, 0, blocks), factor)
        rest = plain.trunk.run(features, blocks, len(plain.trunk.names))
        assert torch.allclose(outputs.logits[:, index], plain.heads["final"](rest).logits)
    cost = count(made, 3, 32)
    rests = [cost.plain_macs - cost.stage_macs[0], sum(cost.stage_macs[2:])]
    assert cost.head_macs[0] == pytest.approx(rests[0] / 16, rel=0.01)
    assert cost.head_macs[1] == pytest.approx(rests[1] / 4, rel=0.01)


def test_a_head_of_the_rest_learns_on_its_own_and_keeps_that() -> None:
    made, again = (build(resting(heads=("pool", "rest2"))) for _ in range(2))
    learned = made.heads["stage2_1"].reader.rest
    assert not {id(one) for one in learned.parameters()} & {id(p) for p in made.trunk.parameters()}
    with torch.no_grad():
        for tensor in learned.parameters():
            tensor.add_(1)
    fill(again, made.state_dict(), "it")
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_head_of_the_rest_needs_room() -> None:
    unpadded = nn.Sequential(nn.Conv2d(4, 8, 3))
    assert Head(rest(2, unpadded), (4, 6, 6), 10)(torch.zeros(1, 4, 6, 6)).logits.shape == (1, 10)
    with pytest.raises(UserError, match=r"large enough for a head rest4, but got 6 × 6"):
        Head(rest(4, unpadded), (4, 6, 6), 10)


@pytest.mark.parametrize("kind", ["deep", "deep-8", "deep8-", "strided", "rest2", "tail"])
def test_an_unknown_kind_of_head_is_a_sentence(kind: str) -> None:
    with pytest.raises(UserError, match=f"expected the name of a head, but got '{kind}'"):
        Head(kind, (4, 8, 8), 10)


def test_as_many_heads_as_exits() -> None:
    with pytest.raises(UserError, match="2 kinds of head, one per early exit, but got 1"):
        network(heads=("pool",))


def test_a_confidence_that_knows_the_answer_ranks_like_max_probability_if_it_wants() -> None:
    made = network(confidence_input="both")
    branch = made.heads["block1"].confidence_branch
    with torch.no_grad():
        branch.weight.zero_()
        branch.weight[0, -3] = 1.0
        outputs = made(torch.randn(50, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    largest = outputs.logits[:, 0].softmax(1).amax(1)
    assert torch.equal(outputs.confidence_logits[:, 0].argsort(), largest.argsort())


def test_answer_summary_stays_finite_when_sure() -> None:
    summary = answer_summary(torch.tensor([[1e4, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert summary[0].tolist() == [pytest.approx(16, abs=0.1), 20, 0]
    assert summary[1].tolist() == pytest.approx([-0.693, 0, 1], abs=1e-3)


def test_an_exit_costs_its_stages_and_all_heads_on_the_way() -> None:
    cost = count(network(head="plain"), 1, 28)
    by_hand = (
        cost.stage_macs[0] + cost.stage_macs[1] + cost.head_macs[0] + cost.head_macs[1]
    ) / cost.plain_macs
    assert cost.costs.at_exits()[1] == pytest.approx(by_hand)
    assert cost.costs.at_exits()[-1] > 1  # the early heads are not free
    features = 4 * 14 * 14
    assert cost.head_macs[0] == features * 10 + features


def test_counting_leaves_the_network_as_it_was() -> None:
    made = network().train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    count(made, 1, 28)
    assert made.training
    assert all(torch.equal(before[name], t) for name, t in made.state_dict().items())


def test_plain_weights_fit_the_early_exit_version() -> None:
    plain = network(exits=()).state_dict()
    early = network().state_dict()
    assert {name: t.shape for name, t in plain.items()}.items() <= {
        name: t.shape for name, t in early.items()
    }.items()


COSTS = [i / 10 for i in range(1, 11)]


@pytest.mark.parametrize(
    ("placement", "expected"),
    # the first block, of ten equal ones, at or after the rule's share of the cost
    [("fine", (0, 1, 2)), ("pareto", (1, 3, 4)), ("linear", (2, 4, 7)), ("golden", (2, 3, 6))],
)
def test_placements(placement: str, expected: tuple[int, ...]) -> None:
    assert place(placement, 3, COSTS, [True] * 10) == expected


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("num_early", range(4))
def test_placements_give_distinct_rising_places_before_the_end(
    placement: str, num_early: int
) -> None:
    places = place(placement, num_early, COSTS, [i != 3 for i in range(10)])
    assert len(places) == num_early
    assert list(places) == sorted(set(places))
    assert all(index < 9 and index != 3 for index in places)


def test_too_many_exits_are_refused() -> None:
    with pytest.raises(UserError, match=r"from 0 to 3.* but got 4"):
        build(spec(exits=(), placement="linear", num_early=4))


@pytest.mark.parametrize(
    ("exits", "message"),
    [
        (("blok1",), "Did you mean 'block1'"),
        (("block3",), "but got 'block3'"),  # the final head stands there
        (("block2", "block1"), "from first to last"),
        (("block1", "block1"), "each block once"),
    ],
)
def test_wrong_exits_are_refused(exits: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec(exits=exits))


def test_vgg_exits_stand_after_max_pools_only() -> None:
    with pytest.raises(UserError, match="stage1_1, stage2_1, stage3_2, stage4_2"):
        build(plain_spec("vgg11half", exits=("stage3_1",)))


def test_an_image_too_small_for_the_backbone_is_refused() -> None:
    with pytest.raises(UserError, match=r"image_size.*16"):
        build(plain_spec("vgg11half", image_size=16))


def test_the_specification_of_a_network_names_the_blocks_that_a_placement_chose() -> None:
    made = build(plain_spec("resnet20", placement="linear", num_early=3))
    assert made.spec.placement is None
    assert build(made.spec).exit_names == made.exit_names == (*made.spec.exits, "final")
