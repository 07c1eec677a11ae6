"""A sensor that never stops: a frame in, a forecast out, the state kept on the array.

The forecast is made three ways: frame by frame on the integer model, frame by frame on a board or
what stands for it, and of the whole sequence at once. All bits are equal.
"""

import argparse

import numpy as np
import torch
from torch import nn

import sparseflow as sf
from csb_format import Model
from engine.exact import FastModel
from engine.reference import IntegerModel

FRAMES = 40


def main(target: str = "model") -> int:
    """Print forecasts as frames come; the number of values that differ between the ways."""
    model = trained()
    image = sf.compile(model, pes=4, lanes=2)
    sensor = signals(1)[0][:FRAMES]

    # The whole sequence at once, as in training: what the streams are held against.
    whole = IntegerModel(model).run([model.layers[0].input.quantise(sensor)])[0]
    expected = model.numbers(whole.output)

    # In Python alone: the state is a value, and every step gives the next one.
    fast, differ = FastModel(model), 0
    state = fast.start()

    # On a board, which keeps the state; the same lines whatever is at the other end.
    with sf.open(target, image) as board:
        board.load(image)
        stream = board.stream()
        for at, frame in enumerate(sensor):
            states = stream.step(frame)  # the state stays where it is
            forecast = stream.numbers(states)
            state = fast.step(fast.input.quantise(frame[None]), state)
            differ += int((states.output[0] != whole.output[at]).sum())
            differ += int((state.output[0] != whole.output[at]).sum())
            differ += int((forecast != expected[at]).sum())
            if at % 8 == 7:
                print(f"frame {at}: {frame[0]:+.3f}, next {forecast[0]:+.3f}")
    print(f"{stream.frames} frames on {target!r}, {differ} values differ from the whole sequence")
    return differ


def signals(seed: int, count: int = 1) -> list[np.ndarray]:
    """Four tones each, on four channels, float32 (101, 4)."""
    random, time = np.random.default_rng(seed), np.arange(101)[:, None]
    tones = random.uniform(0.1, 0.4, (count, 4)), random.uniform(0, 6, (count, 4))
    return [
        np.sin(speed * time + phase).astype(np.float32) for speed, phase in zip(*tones, strict=True)
    ]


def trained() -> Model:
    """A network that says the next frame at every frame, pruned and packed."""
    torch.manual_seed(0)
    lstm, head = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 4)
    frames = torch.from_numpy(np.stack(signals(0, 64)))
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    pruner = None
    for step in range(120):
        if step == 80:
            pruner = sf.prune(lstm, banks=2, sparsity=0.5)
            pruner.attach(optimizer)
        loss = nn.functional.mse_loss(head(lstm(frames[:, :-1])[0]), frames[:, 1:])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    print(f"mean squared error while training: {loss.item():.4f}")
    assert pruner is not None
    return sf.quantise(pruner, head, list(frames.numpy()), pool="every").model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Forecasts of an LSTM, frame by frame.")
    parser.add_argument("--target", default="model", help="model, sim, serial:PORT, pynq:FILE.bit")
    try:
        raise SystemExit(main(parser.parse_args().target) > 0)
    except (OSError, ValueError) as error:  # no such target, or nobody answers there
        raise SystemExit(f"error: {error}") from None
