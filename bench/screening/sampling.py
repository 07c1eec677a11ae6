"""Top-k sampling of a PTB model on the array with its screen unit, through the driver.

``python -m bench.screening.sampling --ptb FILE --target sim`` takes a network (or trains it
briefly), prunes and packs it, writes text on the processor from all logits and from planes, and on
a board through the driver; all texts must be the same for the same seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

import sparseflow as sf
from boards.host.driver import Accelerator
from compiler.array.design import Design
from compiler.array.needs import design_for
from csb_format import Model
from csb_format.fixed import IntArray
from csb_format.screening.layer import ScreenedLayer
from engine.native.model import NativeModel
from engine.sampling import sampled
from engine.screened import of_all
from pruning.tasks.data.corpora import Corpus
from pruning.tasks.networks.language import LanguageModel, LanguageShape
from pruning.tasks.training.longrun import Plan

from ..accuracy.training import Place
from ..record import Smallest, write_record
from .networks import NAMES, Text, corpus_of, network_of

__all__ = ["TEXTS", "main"]

BANKS, SPARSITY = 8, 0.875
CALIBRATION = 200  # tokens
#: Those of bench.screening, and one that is trained for some minutes.
TEXTS = {
    "ptb200-brief": Text(500, False, replace(NAMES["ptb200"].network, dense=Plan(0.05, 20.0))),
    **NAMES,
}


def main(
    ptb: Annotated[Path | None, typer.Option(help="Zip of the Penn Treebank.")] = None,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    network: Annotated[str, typer.Option(help=f"Of {', '.join(TEXTS)}.")] = "ptb200-brief",
    target: Annotated[str, typer.Option(help="model, sim or serial:PORT.")] = "model",
    k: Annotated[int, typer.Option(min=1, max=8, help="Likeliest words to draw from.")] = 5,
    words: Annotated[int, typer.Option(min=1, help="That are written.")] = 40,
    pes: Annotated[int, typer.Option(help="M of the array.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Results.")] = None,
    smallest: Smallest = False,
) -> None:
    """Write texts, and compare them."""
    torch.set_num_threads(1)
    banks = BANKS
    if smallest:
        corpus, module = _tiny()
        network, words, pes, banks = "smallest", 4, 4, 1
    else:
        if ptb is None:
            raise typer.BadParameter("give --ptb, a zip of the Penn Treebank")
        if network not in TEXTS:
            raise typer.BadParameter(f"--network {network}: give one of {', '.join(TEXTS)}")
        text = TEXTS[network]
        corpus = corpus_of(text, ptb, None)
        module = network_of(network, corpus, Place(work, {"ptb": ptb}, "cpu"), text)
    model, table = packed(module, corpus, banks)
    design = design_for(model, pes, banks, largest=k)
    beginning = corpus.test[:10].tolist()
    texts = _texts(model, design, table, beginning, words, k, seed, target)
    for name, tokens in texts.items():
        print(f"{name}: {' '.join(corpus.vocabulary[n] for n in tokens)}", flush=True)
    if len({tuple(tokens) for tokens in texts.values()}) > 1:
        raise SystemExit("the texts differ")
    print(f"{len(texts)} texts of {words} words are the same")
    if json:
        rows = [_row(name, tokens, network, k, design) for name, tokens in texts.items()]
        command = f"python -m bench.screening.sampling --ptb ptb.zip --target {target}"
        write_record(json, "bench.screening.sampling", seed, rows, command=command)


def packed(module: LanguageModel, corpus: Corpus, banks: int) -> tuple[Model, Any]:
    """Its LSTM pruned at once, without training, and its head in planes; frames of all words."""
    table = module.embedding.weight.detach().double().numpy()
    text = table[corpus.train[:CALIBRATION]].astype(np.float32)
    pruner = sf.prune(module.lstm, banks=banks, sparsity=SPARSITY)
    model = sf.quantise(pruner, module.head, [text], pool="every").model
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    return model, model.layers[0].input.quantise(table)


def _texts(
    model: Model,
    design: Design,
    table: IntArray,
    beginning: list[int],
    words: int,
    k: int,
    seed: int,
    target: str,
) -> dict[str, list[int]]:
    """What each writes."""
    assert model.head is not None
    last_bit = model.head.last_bit
    full, planes = NativeModel(model).start(), NativeModel(model).start()

    def from_all(word: int) -> tuple[IntArray, IntArray]:
        assert model.head is not None
        return of_all(model.head.logits(full.step(table[[word]])[0]), k)

    def from_planes(word: int) -> tuple[IntArray, IntArray]:
        found = planes.model.top(planes.step(table[[word]]), k)
        return found.indices[0], found.logits[0]

    with Accelerator.open(target, design) as board:
        board.load(model)
        stream = board.stream()

        def on_board(word: int) -> tuple[IntArray, IntArray]:
            found = stream.step(table[[word]], given="integers").largest
            assert found is not None
            return found.indices[0], found.logits[0]

        ways = {"all logits": from_all, "planes on this CPU": from_planes, target: on_board}
        return {
            name: sampled(way, beginning, words, last_bit=last_bit, seed=seed)
            for name, way in ways.items()
        }


def _row(name: str, tokens: list[int], network: str, k: int, design: Design) -> dict[str, Any]:
    digest = hashlib.sha256(np.asarray(tokens, "<u4").tobytes()).hexdigest()
    assert design.screen is not None
    return {
        "network": network, "from": name, "k": k, "words": len(tokens), "text": digest,
        "vocabulary": design.screen.rows, "pes": design.pes, "lanes": design.lanes,
    }  # fmt: skip


def _tiny() -> tuple[Corpus, LanguageModel]:
    """An untrained network over a few words."""
    tokens = np.random.default_rng(0).integers(0, 40, 400)
    corpus = Corpus("none", tokens, tokens, tokens, tuple(map(str, range(40))))
    return corpus, LanguageModel(40, LanguageShape(8, 8, 1), 0).eval()


if __name__ == "__main__":
    typer.run(main)
