import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from amask_solo.data import ArrayImages, ResidentLoader, load_image_folder, loaders, make_loader
from amask_solo.errors import UserError
from tests.data.pictures import labeled_tree, truncate


def numbered(count, size=4):
    """Image i shows i in every pixel and has the label i + 100."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, size, size)
    return ArrayImages(images.contiguous(), torch.arange(count) + 100)


def order(loader):
    return [batch[0].tolist() for batch in loader]


OPTIONS = {"batch_size": 4, "shuffle": True, "drop_last": False, "seed": 5, "num_workers": 0}


@pytest.mark.parametrize("cache", ["on", "off"])
def test_a_batch_is_indexes_images_and_labels(cache):
    loader = make_loader(numbered(10), device_cache=cache, **OPTIONS)
    assert len(loader) == 3
    assert len(loader.dataset) == 10
    seen = []
    for index, images, labels in loader:
        assert images.dtype == torch.uint8
        assert labels.dtype == index.dtype == torch.int64
        assert images.shape == (len(index), 3, 4, 4)
        assert torch.equal(images[:, 2, 3, 1].long(), index)
        assert torch.equal(labels, index + 100)
        seen += index.tolist()
    assert sorted(seen) == list(range(10))


@given(
    count=st.integers(8, 40), batch_size=st.integers(1, 8), world=st.integers(1, 3),
    drop_last=st.booleans(), shuffle=st.booleans(), seed=st.integers(0, 9), epoch=st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_both_loaders_have_the_same_order_on_every_rank(count, batch_size, shuffle, drop_last, seed, epoch, world):
    if drop_last and count // world < batch_size:
        return
    ranks = []
    for rank in range(world):
        resident, stream = (
            make_loader(
                numbered(count), batch_size=batch_size, shuffle=shuffle, drop_last=drop_last,
                seed=seed, num_workers=0, device_cache=cache, rank=rank, world_size=world,
            )
            for cache in ("on", "off")
        )  # fmt: skip
        resident.sampler.set_epoch(epoch)
        stream.sampler.set_epoch(epoch)
        assert order(resident) == order(stream)
        assert len(resident) == len(stream) == len(order(resident))
        ranks.append(order(resident))
    assert len({len(batches) for batches in ranks}) == 1
    seen = [index for batches in ranks for batch in batches for index in batch]
    if drop_last:
        assert len(seen) == len(set(seen))
    else:
        assert set(seen) == set(range(count))


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    first, resumed = (make_loader(numbered(30), **OPTIONS) for _ in range(2))
    epochs = []
    for epoch in range(3):
        first.sampler.set_epoch(epoch)
        epochs.append(order(first))
    resumed.sampler.set_epoch(2)
    assert order(resumed) == epochs[2]
    assert len({str(epoch) for epoch in epochs}) == 3
    other = make_loader(numbered(30), **(OPTIONS | {"seed": 6}))
    assert order(other) != epochs[0]


@pytest.mark.parametrize("cache", ["on", "off"])
def test_an_interrupted_epoch_goes_on_with_its_own_images_and_the_next_has_all(cache):
    options = OPTIONS | {"device_cache": cache, "num_workers": 0, "drop_last": True}
    first, resumed = (make_loader(numbered(30), **options) for _ in range(2))
    resumed.sampler.begin_with(1, seen=2 * first.batch_size)
    for epoch, seen in ((1, 2), (2, 0)):
        for loader in (first, resumed):
            loader.sampler.set_epoch(epoch)
        assert order(resumed) == order(first)[seen:]


def test_without_shuffling_the_order_is_the_index():
    loader = make_loader(numbered(10), **(OPTIONS | {"shuffle": False}))
    assert order(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_the_global_stream_is_left_alone():
    state = torch.random.get_rng_state()
    for cache in ("on", "off"):
        order(make_loader(numbered(10), device_cache=cache, **OPTIONS))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_set_is_resident_if_it_fits(monkeypatch):
    images = numbered(10)
    monkeypatch.setattr(loaders, "CACHE_LIMIT", images.images.nbytes)
    assert isinstance(make_loader(images, **OPTIONS), ResidentLoader)
    monkeypatch.setattr(loaders, "CACHE_LIMIT", images.images.nbytes - 1)
    assert isinstance(make_loader(images, **OPTIONS), DataLoader)


def test_workers_read_what_the_cache_holds(tmp_path):
    labeled_tree(tmp_path, classes={"a": 5, "b": 5})
    train = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0).train
    options = OPTIONS | {"num_workers": 1}
    stream = make_loader(train, device_cache="off", **options)
    resident = make_loader(train, device_cache="on", **options)
    for _ in range(2):  # the workers persist over epochs
        for left, right in zip(stream, resident, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_a_broken_file_is_named_by_a_worker_too(tmp_path):
    labeled_tree(tmp_path, classes={"a": 2, "b": 2})
    stats = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    train = load_image_folder(train_path=str(tmp_path), image_size=16, val_fraction=0.0, **stats).train
    truncate(tmp_path / "a" / "001.png")
    with pytest.raises(UserError, match=r"001\.png"):
        order(make_loader(train, device_cache="off", **(OPTIONS | {"num_workers": 1})))


def test_too_large_a_batch_is_refused():
    with pytest.raises(UserError, match=r"10 images.*lower optimizer\.batch_size"):
        make_loader(numbered(10), batch_size=8, shuffle=True, drop_last=True, world_size=2)


@pytest.mark.parametrize("wrong", [{"device_cache": "yes"}, {"batch_size": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(Exception, match=r"Expected|violates|type"):
        make_loader(numbered(10), **(OPTIONS | wrong))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_made_on_the_device():
    loader = make_loader(numbered(10), device="cuda", **OPTIONS)
    assert all(part.is_cuda for batch in loader for part in batch)


@pytest.mark.host
def test_lightning_takes_the_resident_loader_and_sets_its_epoch():
    lightning = pytest.importorskip("lightning")
    seen: dict[int, list[int]] = {}

    class Recorder(lightning.LightningModule):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            seen.setdefault(self.current_epoch, []).extend(batch[0].tolist())
            assert len(self.trainer.train_dataloader.dataset) == 10

        def configure_optimizers(self):
            return None

    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = make_loader(numbered(10), **OPTIONS)
    trainer.fit(Recorder(), loader)
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        assert seen[epoch] == [index for batch in order(loader) for index in batch]
