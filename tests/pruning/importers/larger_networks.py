"""Networks that hold more than the array takes, as people write them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["KINDS", "Attention", "Cells", "Crnn", "Seq2Seq", "States", "Tagger", "Words"]

WORDS, WIDTH, HIDDEN, CLASSES = 20, 8, 16, 3


class Tagger(nn.Module):
    """Embedding, LSTM, LayerNorm, MLP on the last output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.norm = nn.LayerNorm(HIDDEN)
        self.mlp = nn.Sequential(nn.Linear(HIDDEN, 12), nn.ReLU(), nn.Linear(12, CLASSES))

    def forward(self, words: Tensor) -> Tensor:
        outputs = self.lstm(self.embedding(words))[0]
        logits: Tensor = self.mlp(self.norm(outputs[:, -1]))
        return logits


class Words(nn.Module):
    """Embedding, LSTM, and a head on the last output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.fc = nn.Linear(HIDDEN, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        outputs = self.lstm(self.embedding(words))[0]
        return torch.log_softmax(self.fc(outputs[:, -1]), -1)


class States(nn.Module):
    """The last states of the top of two layers into an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(HIDDEN, 6), nn.Tanh(), nn.Linear(6, CLASSES))

    def forward(self, words: Tensor) -> Tensor:
        _, (hidden, cell) = self.lstm(self.embedding(words))
        logits: Tensor = self.mlp(hidden[-1] + cell[-1])
        return logits


class Attention(nn.Module):
    """Attention over the outputs of two layers and both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.rnn = nn.LSTM(WIDTH, HIDDEN, 2, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * HIDDEN, 1)
        self.out = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        outputs = self.rnn(self.embedding(words))[0]
        weights = torch.softmax(self.score(outputs), 1)
        logits: Tensor = self.out((weights * outputs).sum(1))
        return logits


class Seq2Seq(nn.Module):
    """An encoder whose states are where the decoder begins."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.encoder = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.decoder = nn.LSTM(WIDTH, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, WORDS)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        state = self.encoder(self.words(source))[1]
        logits: Tensor = self.out(self.decoder(self.words(target), state)[0])
        return logits


class Crnn(nn.Module):
    """Convolutions over a spectrogram, both directions, a head for CTC at every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d((2, 1))
        )
        self.rnn = nn.LSTM(4 * WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.ctc = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.conv(image).flatten(1, 2).transpose(1, 2)
        return torch.log_softmax(self.ctc(self.rnn(maps)[0]), -1)


class Cells(nn.Module):
    """Two cells in a loop, a head at every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(WIDTH, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)])
        self.scale = nn.Parameter(torch.ones(WIDTH))
        self.out = nn.Linear(HIDDEN, CLASSES)

    def forward(self, frames: Tensor) -> Tensor:
        zero = frames.new_zeros(len(frames), HIDDEN)
        states = [(zero, zero) for _ in self.cells]
        outputs = []
        for frame in frames.unbind(1):
            below = frame * self.scale
            for number, cell in enumerate(self.cells):
                states[number] = cell(below, states[number])
                below = states[number][0]
            outputs.append(self.out(below))
        return torch.stack(outputs, 1)


KINDS = {kind.__name__: kind for kind in (Tagger, Attention, Seq2Seq, Crnn, Cells)}
