import pytest
import torch

from amask_solo.data import load_file_list
from amask_solo.errors import UserError
from tests.data.pictures import noise, save


@pytest.fixture
def photos(tmp_path):
    for number in range(8):
        save(noise(16, 16, seed=number), tmp_path / "a photo" / f"{number}.png")
    return tmp_path


def written(folder, text, name="train.txt"):
    (folder / name).write_text(text)
    return str(folder / name)


def rows(numbers, *, join=" ", classes=("fox", "owl")):
    return [f"a photo/{number}.png{join}{classes[number % 2]}" for number in numbers]


@pytest.mark.parametrize("join", [" ", "\t"])
def test_a_text_file_has_a_path_and_a_label_on_each_line(photos, join):
    data = load_file_list(list=written(photos, "\n".join(rows(range(8), join=join))), val_fraction=0.25)
    assert (len(data.train), len(data.val)) == (6, 2)
    assert (data.class_names, data.name, data.image_size) == (["fox", "owl"], "train", 16)
    known = {}
    for part in (data.train, data.val):
        known |= dict(zip(part.names, part.labels.tolist(), strict=True))
    assert known == {f"a photo/{number}.png": number % 2 for number in range(8)}


def test_paths_alone_have_no_labels_even_with_spaces(photos):
    data = load_file_list(list=written(photos, "\n".join(f"a photo/{n}.png" for n in range(8))))
    assert (data.labeled, data.val, data.train.labels.tolist()) == (False, None, [-1] * 8)
    assert torch.equal(data.train.stack()[3], data.train.image(3))


@pytest.mark.parametrize(("name", "line"), [("train.txt", "{} {}"), ("train.csv", "{},{}")])
def test_lists_of_other_systems_are_read(photos, name, line):
    head = ["path,label"] if name.endswith("csv") else []
    lines = [*head, *(line.format(f"a photo/{n}.png", ("fox", "owl")[n % 2]) for n in range(8))]
    (photos / name).write_bytes("\r\n".join(["\ufeff" + lines[0], *lines[1:]]).encode())
    data = load_file_list(list=str(photos / name), val_fraction=0.0)
    assert (data.class_names, data.train.names[0], len(data.train)) == (["fox", "owl"], "a photo/0.png", 8)


def test_labels_that_are_numbers_are_in_the_order_of_numbers(photos):
    data = load_file_list(list=written(photos, "\n".join(rows(range(8), classes=("10", "9")))), val_fraction=0.0)
    assert data.class_names == ["9", "10"]
    assert data.train.labels.tolist() == [1, 0] * 4


@pytest.mark.parametrize("words", [("9", "10"), ("fox", "owl")])
def test_the_label_minus_one_is_no_label_and_no_class(photos, words):
    lines = [f"a photo/{n}.png,{label}" for n, label in enumerate([*words, -1, *words, " -1"])]
    data = load_file_list(list=written(photos, "\n".join(["path,label", *lines]), "all.csv"), val_fraction=0.0)
    assert (data.class_names, data.train.labels.tolist()) == ([*words], [0, 1, -1, 0, 1, -1])


def test_images_that_are_all_without_label_have_no_classes(photos):
    data = load_file_list(list=written(photos, "\n".join(rows(range(4), classes=("-1", "-1")))))
    assert (data.labeled, data.train.labels.tolist()) == (False, [-1] * 4)


def test_a_second_list_and_another_root_may_be_given(photos, tmp_path_factory):
    lists = tmp_path_factory.mktemp("lists")
    train, val = written(lists, "\n".join(rows(range(6)))), written(lists, "\n".join(rows([6, 7])), "val.txt")
    data = load_file_list(list=train, val_list=val, root=str(photos))
    assert (len(data.train), data.val.names) == (6, ["a photo/6.png", "a photo/7.png"])


TABLE = [
    (f"a photo/{n}.png", ("fox", "owl")[n % 2], ("train", "train", "train", "test", "extra")[n // 2]) for n in range(8)
]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_says_the_split_too(photos, kind):
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = zip(*TABLE, strict=True)
        file = photos / "all.parquet"
        parquet.write_table(pyarrow.table(dict(zip(("path", "label", "split"), columns, strict=True))), file)
    else:
        join = "," if kind == "csv" else "\t"
        lines = [join.join(row) for row in [("path", "label", "split"), *TABLE]]
        file = written(photos, "\n".join(lines), f"all.{kind}")
    data = load_file_list(list=str(file))
    assert (len(data.train), len(data.val), data.class_names) == (6, 2, ["fox", "owl"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_may_be_in_upper_case(photos, kind):
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = dict(zip(("PATH", "Label", "Split "), zip(*TABLE, strict=True), strict=True))
        parquet.write_table(pyarrow.table(columns), photos / "all.parquet")
    else:
        written(photos, "\n".join(map(",".join, [("PATH", "Label", "Split "), *TABLE])), "all.csv")
    data = load_file_list(list=str(photos / f"all.{kind}"))
    assert (len(data.train), len(data.val), data.class_names) == (6, 2, ["fox", "owl"])


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("path,class,Split", r"data\.list=.*all\.csv has no column label, and these are not read: class\. Rename"),
        ("path,lable,split", r"no column label, and these are not read: lable; did you mean 'lable'\? Rename"),
        ("path,label,part", r"no column split, and these are not read: part"),
        ("path,class,part", r"no column label and no column split, and these are not read: class, part"),
    ],
)
def test_columns_that_are_not_read_are_named_if_one_is_missing(photos, head, said):
    file = written(photos, "\n".join([head, *map(",".join, TABLE)]), "all.csv")
    with pytest.warns(UserWarning, match=said) as warned:
        load_file_list(list=file)
    assert len(warned) == 1


def test_further_columns_are_not_named_where_none_is_missed(photos, recwarn):
    pairs = [f"a photo/{n}.png,16" for n in range(8)]
    every = written(photos, "\n".join(["path,width,label,split", *(f"{pair},fox,train" for pair in pairs)]), "all.csv")
    load_file_list(list=every)
    train, val = (
        written(photos, "\n".join(["path,width", *part]), f"{len(part)}.csv") for part in (pairs[:6], pairs[6:])
    )
    load_file_list(list=train, val_list=val, labels="none")
    assert [said for said in recwarn if "are not read" in str(said.message)] == []


def test_rows_of_unknown_splits_are_counted(photos):
    splits = ("train", "train", "train", "Dev", "holdout", "dev", "val", "")
    lines = [f"a photo/{n}.png,fox,{split}" for n, split in enumerate(splits)]
    with pytest.warns(
        UserWarning, match=r"Left out 3 of 8 rows of data\.list=.*split\(s\) dev, holdout; those"
    ) as warned:
        data = load_file_list(list=written(photos, "\n".join(["path,label,split", *lines]), "all.csv"))
    assert (len(warned), len(data.train), len(data.val)) == (1, 4, 1)


def table(folder, lines, name="all.csv", head="path,label,split"):
    return written(folder, "\n".join([head, *lines]), name)


def test_rows_to_test_on_beside_those_to_validate_on_are_counted(photos):
    lines = [f"a photo/{n}.png,fox,{split}" for n, split in enumerate(("train", "train", "val", "test", "test"))]
    with pytest.warns(
        UserWarning, match=r"Left out 2 of 5 rows of .*split\(s\) test; those that are read are the first"
    ):
        data = load_file_list(list=table(photos, lines))
    assert (len(data.train), data.val.names) == (2, ["a photo/2.png"])


def test_of_a_second_list_the_split_counts_too_and_in_the_first_one_what_it_replaces_is_counted(photos):
    first, second = (
        [f"a photo/{n}.png,fox,{split}" for n, split in enumerate(splits)]
        for splits in (("train", "train", "val"), ("", "", "train", "train", "train", "val", "test"))
    )
    with pytest.warns(UserWarning, match="Left out") as warned:
        data = load_file_list(list=table(photos, first), val_list=table(photos, second[2:], "val.csv"))
    assert (len(data.train), data.val.names) == (2, ["a photo/5.png"])
    assert ["; ".join(str(said.message).split()[:5]) for said in warned] == [
        "Left; out; 1; of; 3",
        "Left; out; 4; of; 5",
    ]
    with pytest.raises(UserError, match=r"images of the split val in data\.val_list=.*none\.csv"):
        load_file_list(list=table(photos, first[:2]), val_list=table(photos, second[2:5], "none.csv"))


@pytest.mark.parametrize("train", ["fox", ""])
def test_labels_to_validate_on_that_training_lacks_are_named(photos, train):
    lines = [f"a photo/{n}.png,{label},{split}" for n, (label, split) in enumerate([(train, "train"), ("wolf", "val")])]
    with pytest.raises(UserError, match=r"The labels wolf of images to validate on are not among the .*labels=none"):
        load_file_list(list=table(photos, lines))
    assert load_file_list(list=table(photos, lines), labels="none").val.labels.tolist() == [-1]


def test_spaces_around_values_are_no_part_of_them(photos):
    lines = [" a photo/0.png , fox, train", "a photo/1.png,fox ,train", "a photo/2.png ,  fox,val"]
    data = load_file_list(list=table(photos, lines))
    assert (data.class_names, data.train.names) == (["fox"], ["a photo/0.png", "a photo/1.png"])
    assert data.train.stack().shape == (2, 3, 16, 16)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_whole_numbers_with_a_point_are_classes_without(photos, kind):
    labels = [10.0, 9.0, -1.0, None, 10.0]
    paths = [f"a photo/{n}.png" for n in range(5)]
    if kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(
            pyarrow.table({"path": paths, "label": [*labels[:3], float("nan"), None]}), photos / "all.parquet"
        )
        expected = [1, 0, -1, -1, -1]
    else:
        table(
            photos,
            [f"{path},{'' if label is None else label}" for path, label in zip(paths, labels, strict=True)],
            head="path,label",
        )
        expected = [1, 0, -1, -1, 1]
    data = load_file_list(list=str(photos / f"all.{kind}"), val_fraction=0.0)
    assert (data.class_names, data.train.labels.tolist()) == (["9", "10"], expected)


def test_numbers_of_which_one_is_no_whole_one_stay_as_they_are(photos):
    lines = [f"a photo/{n}.png,{label}" for n, label in enumerate(["1.0", "1.5"])]
    data = load_file_list(list=table(photos, lines, head="path,label"), val_fraction=0.0)
    assert data.class_names == ["1.0", "1.5"]


@pytest.mark.parametrize(("name", "encoding"), [("a.txt", "utf-16"), ("a.csv", "utf-16"), ("a.csv", "latin-1")])
def test_a_list_in_another_encoding_is_named(photos, name, encoding):
    (photos / name).write_bytes("path,label\na photo/0.png,Käfer\n".encode(encoding))
    with pytest.raises(UserError, match=rf"Expected '.*{name}' to be text in UTF-8, but .*save it in this encoding"):
        load_file_list(list=str(photos / name))


@pytest.mark.parametrize("path", ["a photo/{}.png", "a photo/../a photo/{}.png", "{folder}/a photo/{}.png"])
def test_a_path_of_both_splits_is_said(photos, path):
    again = [path.format(n, folder=photos) for n in range(4)]
    lines = [f"a photo/{n}.png,fox,train" for n in range(4)] + [f"{file},fox,val" for file in again]
    head = "path,label,split"
    with pytest.raises(UserError, match=r"all 4 below .* are; give other ones"):
        load_file_list(list=written(photos, "\n".join([head, *lines]), "all.csv"))
    with pytest.warns(UserWarning, match="4 of the 5 images to validate on"):
        load_file_list(list=written(photos, "\n".join([head, *lines, "a photo/7.png,fox,val"]), "all.csv"))


@pytest.mark.parametrize("split", [{"val_fraction": 0.25}, {"val_fraction": 0.0, "tune_fraction": 0.25}])
def test_a_file_that_is_listed_twice_is_not_in_both_parts(photos, split):
    with pytest.warns(UserWarning, match="2 of 16 images are not trained on, since the same files are held out"):
        data = load_file_list(list=written(photos, "\n".join(2 * rows(range(8)))), **split)
    assert (len(data.train), len(data.val), {*data.train.names} & {*data.val.names}) == (12, 2, set())


def test_images_without_labels_are_not_held_out_where_others_have_some(photos):
    lines = [*rows(range(4)), *(f"a photo/{n}.png" for n in range(4, 8))]
    data = load_file_list(list=written(photos, "\n".join(lines)), val_fraction=0.5)
    assert (data.train.labels.tolist().count(-1), data.val.labels.tolist()) == (4, [0, 1])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("no.csv", "file,label\na photo/0.png,fox\n", "Expected a column 'path' in data.list"),
        ("no.csv", "path,label,split\na photo/0.png,fox,test\n", "images of the split train"),
        ("no.txt", "", "images of the split train"),
        ("gone", None, "Expected a list of images at data.list=.*but there is none"),
        ("no.csv", 'path,label\na.png,fox\n"b.png,fox\nc.png,fox\n', r"row of '.*no\.csv' that begins at line 3 \("),
        ("no.csv", 'path,label\n"a.png"s,fox\nb.png,fox\n', r"row of '.*no\.csv' that begins at line 2 \("),
    ],
)
def test_a_list_that_cannot_be_understood_is_named(photos, name, text, said):
    file = str(photos / name) if text is None else written(photos, text, name)
    with pytest.raises(UserError, match=said):
        load_file_list(list=file)
