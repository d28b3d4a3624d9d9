"""Tiny data sets in the layout in which the published archives unpack."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from tests.data.pictures import noise, save

NINE = ["dog", "bird", "wheeled vehicle", "reptile", "carnivore", "insect", "musical instrument", "primate", "fish"]


def _images(folder: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        save(noise(20, 24, seed=seed), folder / name)


def flowers102(root: Path) -> None:
    """Twelve images of two classes; the lists are MATLAB files, and a list of each split has numbers of images."""
    base = root / "flowers-102"
    _images(base / "jpg", [f"image_{number:05d}.jpg" for number in range(1, 13)])
    savemat(base / "imagelabels.mat", {"labels": np.array([[1, 2] * 6])})
    splits = {"trnid": [[1, 2, 3, 4]], "valid": [[5, 6, 7, 8]], "tstid": [[9, 10, 11, 12]]}
    savemat(base / "setid.mat", {key: np.array(numbers) for key, numbers in splits.items()})


def forget_checksums(monkeypatch) -> None:
    """Let torchvision read our small files of flowers: the checksums are those of the real set."""
    files = {key: (name, None) for key, (name, _) in datasets.Flowers102._file_dict.items()}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", files)


def food101(root: Path) -> None:
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        lists = {name: [f"{name}/{number}" for number in numbers] for name in ("apple_pie", "waffles")}
        _images(root / "food-101" / "images", [f"{path}.jpg" for paths in lists.values() for path in paths])
        (root / "food-101" / "meta").mkdir(exist_ok=True)
        (root / "food-101" / "meta" / f"{split}.json").write_text(json.dumps(lists))


def caltech101(root: Path) -> None:
    """Three folders of images, one of which is no class."""
    for name in ("BACKGROUND_Google", "accordion", "yin_yang"):
        folder = root / "caltech101" / "101_ObjectCategories" / name
        _images(folder, [f"image_{number:04d}.jpg" for number in range(1, 35)])


def cars(root: Path) -> None:
    base = root / "stanford_cars"
    fields = [("bbox_x1", int), ("class", int), ("fname", object)]
    lists = {"train": base / "devkit" / "cars_train_annos.mat", "test": base / "cars_test_annos_withlabels.mat"}
    for split, file in lists.items():
        rows = [(0, number % 2 + 1, f"{number + 1:05d}.jpg") for number in range(8 if split == "train" else 4)]
        _images(base / f"cars_{split}", [name for *_, name in rows])
        file.parent.mkdir(exist_ok=True)
        savemat(file, {"annotations": np.array(rows, dtype=fields)})
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": np.array(["Acura RL", "smart fortwo"], dtype=object)})


def aircraft(root: Path) -> None:
    base = root / "fgvc-aircraft-2013b" / "data"
    _images(base / "images", [f"{number:07d}.jpg" for number in range(12)])
    (base / "variants.txt").write_text("707-320\nBoeing 717\n")
    for split, numbers in (("trainval", range(8)), ("test", range(8, 12))):
        lines = [f"{number:07d} {('707-320', 'Boeing 717')[number % 2]}\n" for number in numbers]
        (base / f"images_variant_{split}.txt").write_text("".join(lines))


def dtd(root: Path) -> None:
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for part, split in enumerate(("train", "val", "test")):
        names = [f"{kind}/{kind}_{part}{number}.jpg" for kind in ("banded", "zigzagged") for number in range(2)]
        _images(base / "images", names)
        (base / "labels" / f"{split}1.txt").write_text("\n".join(names))


def pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for split, numbers in (("trainval", range(1, 5)), ("test", range(5, 7))):
        rows = [(f"{name}_{number}", kind) for kind, name in enumerate(("Abyssinian", "yorkshire_terrier"), start=1)
                for number in numbers]  # fmt: skip
        _images(base / "images", [f"{name}.jpg" for name, _ in rows])
        lines = [f"{name} {kind} {kind} 1\n" for name, kind in rows]
        (base / "annotations" / f"{split}.txt").write_text("".join(lines))


def _coco(file: Path, images: dict[str, int], categories: list[dict]) -> None:
    content = {
        "images": [{"id": 100 + n, "file_name": name, "width": 24, "height": 20} for n, name in enumerate(images)],
        "annotations": [{"id": n, "image_id": 100 + n, "category_id": kind} for n, kind in enumerate(images.values())],
        "categories": categories,
    }
    file.write_text(json.dumps(content))
    _images(file.parent, list(images))


def inaturalist(root: Path) -> None:
    root.mkdir(exist_ok=True)
    kinds = [{"id": 0, "name": "Lumbricus terrestris"}, {"id": 1, "name": "Sabella pavonina"}]
    folders = ["00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
               "00001_Animalia_Annelida_Polychaeta_Sabellida_Sabellidae_Sabella_pavonina"]  # fmt: skip
    for split, each in (("train", 4), ("val", 2)):
        names = {f"{split}/{folder}/{n}.jpg": kind for kind, folder in enumerate(folders) for n in range(each)}
        _coco(root / f"{split}.json", names, kinds)


def inaturalist2019(root: Path) -> None:
    root.mkdir(exist_ok=True)
    kinds = [{"id": 7, "name": "Rosa canina", "supercategory": "Plants"}, {"id": 9, "name": "Turdus merula"}]
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        names = {f"train_val2019/{group}/{kind}/{n}.jpg": kind for group, kind in (("Plants", 7), ("Birds", 9))
                 for n in numbers}  # fmt: skip
        _coco(root / f"{split}2019.json", names, kinds)


def tinyimagenet(root: Path) -> None:
    kinds = ["n02124075", "n01443537"]
    for kind in kinds:
        _images(root / "train" / kind / "images", [f"{kind}_{number}.JPEG" for number in range(4)])
    _images(root / "val" / "images", [f"val_{number}.JPEG" for number in range(4)])
    lines = [f"val_{number}.JPEG\t{kinds[number % 2]}\t0\t0\t9\t9\n" for number in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(kinds))


def backgrounds(root: Path) -> None:
    """IN-9L to learn from, and all variants of the test images."""
    places = {"in9l/train": 1, "in9l/val": 1}
    kinds = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t")
    places |= {f"bg_challenge/{variant}/val": 1 for variant in kinds}
    for place, each in places.items():
        for number, kind in enumerate(NINE):
            names = [f"fg_{number}_{item}.JPEG" for item in range(each)]
            _images(root / place / f"{number:02d}_{kind}", names)


def imagenet(root: Path, kinds: list[str], *, train: int = 2, val: int = 1) -> None:
    """Some classes of ImageNet, and one that belongs to no list."""
    for kind in [*kinds, "n00000000"]:
        _images(root / "train" / kind, [f"{kind}_{number}.JPEG" for number in range(train)])
        _images(root / "val" / kind, [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(val)])


LAYOUTS = {
    make.__name__: make
    for make in [
        *(flowers102, food101, caltech101, cars, aircraft, dtd, pets),
        *(inaturalist, inaturalist2019, tinyimagenet, backgrounds),
    ]
}
"""Name of the configuration -> what writes the set below a folder."""


def voc(root: Path) -> None:
    """Files with a palette: a square of class 15, a person, with a void border, on the background."""
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass", "Annotations"):
        (base / folder).mkdir(parents=True)
    for split, numbers in (("train", range(8)), ("val", range(8, 12))):
        names = [f"2007_{number:06d}" for number in numbers]
        (base / "ImageSets/Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        _images(base / "JPEGImages", [f"{name}.jpg" for name in names])
        for name in names:
            classes = np.zeros((20, 24), dtype=np.uint8)
            classes[4:16, 6:18], classes[6:14, 8:16] = 255, 15
            picture = Image.fromarray(classes).convert("P")
            picture.putpalette([level for index in range(256) for level in (index, 7 * index % 256, 0)])
            save(picture, base / "SegmentationClass" / f"{name}.png")
            (base / "Annotations" / f"{name}.xml").write_text(
                "<annotation><object><name>person</name></object></annotation>"
            )
