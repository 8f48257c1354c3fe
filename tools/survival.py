"""What happens to a training run when the machine fails it: killed, flipped, cut off.

    python -m tools.survival kills --count 50 --in-save 15   kill -9 at random moments, then resume
    python -m tools.survival flips --count 300               one bit of the last checkpoint changed
    python -m tools.survival truncations --count 100         the last checkpoint cut off

Everything is seeded but the moments at which the operating system lets processes run. A killed run
is compared with an unbroken one: weights, averaged weights, optimiser, random numbers and log must
be equal bit by bit. A damaged file must be seen, and the checkpoint before it used. The exit status
is 1 when one case fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mrcnn_lite.cli import main as command_line
from mrcnn_lite.files import PART
from mrcnn_lite.training.checkpoint import LAST, PREVIOUS, load_checkpoint, save_checkpoint

STEPS, SAVE_EVERY = 12, 2
TRIES = 20  # to meet a save, which takes a small part of the run


def start_run(out: Path, resume: bool) -> int:
    """Start a training in a process of its own and return its number.

    It is forked, so that PyTorch is imported once and not a hundred times; nothing that starts
    threads has run in this process.
    """
    child = os.fork()
    if child:
        return child
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        with contextlib.redirect_stdout(nowhere):
            arguments = f"train --data shapes --out {out} --steps {STEPS} --batch-size 2 "
            arguments += f"--save-every {SAVE_EVERY} --workers 1 "
            arguments += "--resume" if resume else "--overwrite"
            torch.set_num_threads(1)
            os._exit(command_line(arguments.split()))


def wait(child: int) -> int:
    """Wait for a process and return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(child: int, seconds: float) -> None:
    """Kill -9 after some seconds, if it still runs."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def kill_in_save(child: int, out: Path, skip: int) -> bool:
    """Kill -9 while a file is half written; say whether one was left behind.

    Args:
        child: the process.
        out: its folder.
        skip: how many saves to let pass.
    """
    parts = [out / PART.format(name) for name in (LAST, "last.safetensors")]
    seen, inside = -1, False
    while not os.waitpid(child, os.WNOHANG)[0]:
        now = any(part.exists() for part in parts)
        seen, inside = seen + (now and not inside), now
        if inside and seen >= skip:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return any(part.exists() for part in parts)
    return False


def differences(out: Path, whole: Path) -> list[str]:
    """Names of what differs between two finished runs; clock times are left out."""
    one, two = _flat(load_checkpoint(out)), _flat(load_checkpoint(whole))
    names = [n for n in one.keys() | two.keys() if not _same(one.get(n), two.get(n))]
    if _log(out) != _log(whole):
        names.append("metrics.jsonl")
    return [name for name in names if name != "seconds"]


def _flat(state: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one dict of leaves."""
    if isinstance(state, dict | list | tuple):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        return {k: v for key, value in pairs for k, v in _flat(value, f"{name}.{key}").items()}
    return {name.strip("."): state}


def _same(a: Any, b: Any) -> bool:
    if torch.is_tensor(a) and torch.is_tensor(b):
        return a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a == b


def _log(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def kills(folder: Path, count: int, in_save: int, seed: int) -> int:
    """Kill runs and resume them; return how many were not as if nothing had happened."""
    chance, whole = random.Random(seed), folder / "whole"
    begin = time.perf_counter()
    assert wait(start_run(whole, resume=False)) == 0
    length, failed = time.perf_counter() - begin, 0
    for number in range(count):
        out = folder / f"run{number}"
        for attempt in range(TRIES):
            resume = attempt > 0 and (out / LAST).exists()
            child = start_run(out, resume)
            if number >= in_save:
                kill_at(child, chance.uniform(0, 1.1 * length))
                break
            if kill_in_save(child, out, chance.randrange(2 * STEPS // SAVE_EVERY)):
                break
            for file in out.iterdir():  # the run ended first: once more from the start
                file.unlink()
        else:
            raise RuntimeError("no save could be met; is the disk too fast?")
        again = (out / LAST).exists() or (out / PREVIOUS).exists()
        finished = again and load_checkpoint(out)["steps"] == STEPS
        status = wait(start_run(out, resume=again))
        wrong = differences(out, whole)
        if status != (2 if finished else 0):  # 2 where nothing was left to do
            wrong.append(f"exit status {status}")
        failed += bool(wrong)
        if wrong:
            print(f"  run {number}: {', '.join(wrong[:5])} differ")
    good = count - failed
    print(f"{good} of {count} runs resume bit-identically ({in_save} killed inside a save)")
    return failed


def damage(folder: Path, count: int, seed: int, flip: bool) -> int:
    """Damage the last checkpoint; return how often that was not seen."""
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    for step in (1, 2):
        weights = torch.randn(64, 300, generator=generator)
        save_checkpoint(folder, {"steps": step, "model": {"w": weights, "b": weights[0]}})
    good, seen = (folder / LAST).read_bytes(), 0
    for _ in range(count):
        data = bytearray(good)
        place = chance.randrange(len(data))
        if flip:
            data[place] ^= 1 << chance.randrange(8)
        else:
            del data[place:]
        (folder / LAST).write_bytes(data)
        words: list[str] = []
        state = load_checkpoint(folder, words.append)
        seen += state["steps"] == 1 and len(words) == 1 and LAST in words[0]
    kind = "one-bit changes" if flip else "truncations"
    print(f"{seen} of {count} {kind} of {len(good)} bytes detected, the checkpoint before used")
    return count - seen


def main(arguments: list[str] | None = None) -> int:
    """Run one of the trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trial", choices=["kills", "flips", "truncations"])
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--in-save", type=int, default=15, help="of the kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.trial == "kills":
            inside = min(options.in_save, options.count)
            return int(kills(folder, options.count, inside, options.seed) > 0)
        return int(damage(folder, options.count, options.seed, options.trial == "flips") > 0)


if __name__ == "__main__":
    sys.exit(main())
