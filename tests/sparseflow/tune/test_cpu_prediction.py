"""``predict --board cpu``: terms asked of the library, times learned of them, and its commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import save_model
from csb_format.random_models import random_model, random_network
from engine.native.model import NativeModel
from sparseflow.commands.cli import app
from sparseflow.tune.network import Network
from sparseflow.tune.prediction import timing
from sparseflow.tune.prediction.cpu import predicted
from sparseflow.tune.prediction.steps import (
    Step,
    Timed,
    by_multiplications,
    errors,
    fitted,
    left_out,
    parse,
    terms,
)
from sparseflow.tune.prediction.timing import drawn, gathered, near

US = {"a step": 0.1, "entries": 2e-5, "blocks": 0.05, "bytes beyond": 1e-6}


def made(count: int, seed: int, us: dict[str, float]) -> list[Timed]:
    """Networks whose times are sums of what their terms take."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        entries = float(np.exp(rng.uniform(5, 13)))
        parts = {"a step": 1.0, "entries": entries, "blocks": float(rng.integers(1, 40)),
                 "bytes beyond": max(0.0, 3 * entries - 48_000)}  # fmt: skip
        time = sum(us[name] * n for name, n in parts.items())
        found.append(Timed(parts, time, int(entries)))
    return found


def test_times_that_are_sums_are_learned_and_multiplications_alone_do_not_say_them() -> None:
    taught, judged = made(30, 0, US), made(20, 1, US)
    step = fitted(taught)
    assert step.microseconds == pytest.approx(US, rel=1e-6)
    assert np.abs(errors(step, judged)).max() < 1e-6
    assert np.abs(left_out(taught)).max() < 1e-6
    assert np.abs(by_multiplications(taught, judged)).max() > 0.2
    assert step.unknown({"entries": 1.0, "plain": 2.0}) == ["plain"]


def test_few_samples_tell_how_another_machine_differs() -> None:
    """Twice as slow, but its sums of blocks five times."""
    other = {name: us * (5 if name == "blocks" else 2) for name, us in US.items()}
    few, judged = made(5, 2, other), made(40, 3, other)
    rng = np.random.default_rng(4)
    noisy = [
        Timed(one.terms, one.microseconds * rng.uniform(0.95, 1.05), one.multiplications)
        for one in few
    ]
    base = fitted(made(30, 0, US))
    off, alone = (np.abs(errors(s, judged)) for s in (fitted(noisy, base), base))
    assert np.mean(off <= 0.1) >= 0.85
    assert off.mean() < alone.mean() / 4


def test_a_table_is_read_back_and_others_are_refused() -> None:
    step = fitted(made(12, 5, US))
    again = parse(json.dumps(step.plain), "cpu.json")
    assert again.microseconds == pytest.approx(step.microseconds, rel=1e-3)
    assert again.models == 12
    assert again.low == pytest.approx(step.low, rel=1e-3)
    for text in ("{}", '{"cpu": 1}', json.dumps(step.plain).replace("0.1", "-1"), "x"):
        with pytest.raises(ValueError, match=r"^other: no times of a processor .*--board cpu"):
            parse(text, "other")


def test_terms_are_what_the_library_does() -> None:
    rng = np.random.default_rng(0)
    model = random_network(rng, 20, 40, 2, (2, 3, 2), layers=2, projection=18)
    native = NativeModel(model)
    found = terms(native, model, (1000, 10_000))
    plans, read = native.layers, sum(plan.bytes for plan in native.layers)
    assert found["a layer"] == 2
    assert sum(n for name, n in found.items() if name.endswith(": entries")) == sum(
        plan.entries for plan in plans
    )
    assert sum(n for name, n in found.items() if name.endswith("blocks of lstm")) == 2 * 3
    columns = 20 + 18 + 40 + 18 + 18 + 40
    assert sum(n for name, n in found.items() if name.endswith(": columns")) == columns
    assert found["bytes beyond 100% of cache 1"] == max(0, read - 1000)
    widths = {plan.sum_bits for plan in plans}
    assert {name for name in found if "sums of" in name} == {
        f"{plan.state_digits} x {plan.weight_digits} bytes: blocks, sums of {plan.sum_bits} bits"
        for plan in plans
    }
    assert widths <= {32, 40, 64}


def test_networks_that_are_drawn_can_be_made() -> None:
    every = list(drawn(60, 0))
    assert every == list(drawn(60, 0)) != list(drawn(60, 1))
    assert {one.cell for one in every} == {"lstm", "gru", "gru0"}
    assert any(one.projection for one in every)
    rng = np.random.default_rng(0)
    for one in every:
        for each in (one, *near(one, 2, rng)):
            assert each.shape.layers  # or an error
            assert each.k <= -(-(each.projection or each.hidden) // each.banks)


def test_more_are_timed_about_those_that_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide networks take ten times as long here, which no term says."""
    asked: list[Network] = []

    def fake(networks: Any, seed: int) -> list[Timed]:
        asked.extend(networks)
        return [
            Timed({"a step": 1.0, "units": float(n.hidden)}, n.hidden * (10 if n.banks > 9 else 1),
                  n.hidden)
            for n in networks
        ]  # fmt: skip

    monkeypatch.setattr(timing, "timed", fake)
    plain = [Network(16, 16 + n, 1, 1, 1) for n in range(20)]
    assert len(gathered(plain, 2, 0, lambda text: None)) == 20
    odd = Network(40, 60, 10, 1, 1)
    told: list[str] = []
    asked.clear()
    found = gathered([*plain, odd], 1, 0, told.append)
    assert len(found) > 21
    assert asked[21] == odd  # again, it may have been the machine
    assert "off by more than 10%" in told[-1]


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    return int(ended.value.code or 0)


def test_the_commands_time_keep_judge_and_predict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [Network(8, 16 + n, 1, 1, 1, value_bits=8, act_bits=8) for n in (0, 1, 2, 20)]
    monkeypatch.setattr("sparseflow.tune.prediction.cpu.drawn", lambda count, seed: small[:count])
    table, model, told = (str(tmp_path / name) for name in ("cpu.json", "m.safetensors", "t.json"))
    save_model(model, random_model(np.random.default_rng(0), 12, 32, 8, 1, 2, 8, 8))
    cpu = ("--board", "cpu")
    assert command("predict", "build", *cpu, "--designs", "4", "--rounds", "0", "--out", table) == 0
    assert json.loads(Path(table).read_text())["cpu"]["models"] == 4
    assert command("predict", "check", *cpu, "--designs", "2", "--learned", table) == 0
    assert "multiplications alone" in capsys.readouterr().out
    assert command("predict", model, *cpu, "--learned", table, "--json", told) == 0
    found = json.loads(Path(told).read_text())
    assert found["microseconds"] == pytest.approx(sum(p["microseconds"] for p in found["parts"]))
    assert f"{found['microseconds']:.2f} us a step" in capsys.readouterr().out
    for words, wrong in (
        (("predict", model, *cpu, "--pes", "4"), "--pes is of an array"),
        (("predict", "build", *cpu, "--board", "ulx3s"), "cpu stands alone"),
        (("predict", "check", *cpu), "--learned: give what"),
        (("predict", model, *cpu, "--learned", model), "no times of a processor|codec"),
        (("predict", "build", "--board", "ulx3s", "--prior", table), "--prior is of a processor"),
    ):
        with pytest.raises((ValueError, SystemExit), match=wrong):
            app(list(words))


def test_a_model_without_steps_is_refused() -> None:
    model = random_network(np.random.default_rng(0), 6, 8, 1, (1, 1, 0), directions=2)
    with pytest.raises(ValueError, match="two directions runs whole sequences"):
        predicted(model, Step({"a step": 1.0}, 1))
