import torch

from core.training.augment import CropAndFlip


def augmented(
    crops: CropAndFlip, indices: torch.Tensor, seed: int, cutout: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    (drawn,) = crops.draw(1, len(indices), generator, cutout)
    return crops.batch(indices, drawn)


def images(count: int = 4, size: int = 6) -> torch.Tensor:
    return (
        torch.arange(count * 3 * size * size)
        .remainder(251)
        .to(torch.uint8)
        .reshape(count, 3, size, size)
    )


def test_without_augmentation_the_images_come_back() -> None:
    originals = images()
    indices = torch.tensor([2, 0])
    got = augmented(CropAndFlip(originals, 0, flip=False), indices, 0)
    assert torch.equal(got, originals[indices])


def test_every_crop_is_a_window_of_the_padded_image_or_its_mirror() -> None:
    crops = CropAndFlip(images(1), 2, flip=True)
    windows = [crops.padded[0, :, y : y + 6, x : x + 6] for y in range(5) for x in range(5)]
    allowed = {one.numpy().tobytes() for w in windows for one in (w, w.flip(2))}
    got = augmented(crops, torch.zeros(400, dtype=torch.int64), 0)
    seen = {one.contiguous().numpy().tobytes() for one in got}
    assert seen <= allowed
    assert len(seen) > 40  # of 50: each sample draws its own


def test_padding_reflects() -> None:
    padded = CropAndFlip(images(1), 2, flip=False).padded[0]
    assert torch.equal(padded[:, 1], padded[:, 3])
    assert torch.equal(padded[:, :, 0], padded[:, :, 4])


def test_the_same_seed_gives_the_same_crops() -> None:
    crops, indices = CropAndFlip(images(), 2, flip=True), torch.arange(4)
    one, two, three = (augmented(crops, indices, seed) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_batches_that_are_drawn_at_once_are_those_drawn_one_by_one() -> None:
    crops, indices = CropAndFlip(images(), 2, flip=True), torch.arange(4)
    generator = torch.Generator().manual_seed(5)
    at_once = crops.draw(3, 4, torch.Generator().manual_seed(5), cutout=2)
    for drawn in at_once:
        (alone,) = crops.draw(1, 4, generator, cutout=2)
        assert torch.equal(crops.batch(indices, drawn), crops.batch(indices, alone))


def test_cutout_hides_one_square_of_each_image_in_the_mean_colour() -> None:
    originals = images(1, size=12)
    crops = CropAndFlip(originals, 0, flip=False)
    got = augmented(crops, torch.zeros(300, dtype=torch.int64), 0, 4)
    changed = (got != originals).any(dim=1)  # (B, H, W)
    assert (got.movedim(1, 3)[changed] == crops.mean.flatten()).all()
    heights, widths = changed.any(dim=2).sum(dim=1), changed.any(dim=1).sum(dim=1)
    assert heights.max() == widths.max() == 4
    assert heights.min() >= 2  # a centre on the edge leaves half of the square
    areas = changed.sum(dim=(1, 2))
    assert (areas >= heights * widths - 2).all()  # a pixel may have that colour already
    assert len({one.numpy().tobytes() for one in changed}) > 100  # of 144: each draws its own
    assert changed.any(dim=0).all()
