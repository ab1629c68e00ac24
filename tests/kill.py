"""Kill trainings at random moments of their saving: ``python tests/kill.py ROUNDS SEED``, or ``make kill``.

Each round a child goes on from the checkpoint, and makes a step and saves, again and again, until SIGKILL comes. What it leaves must load
and be, bit for bit, a training of some whole number of steps, none before those of the round before.
"""

import os
import random
import signal
import sys
import tempfile
import time

import numpy as np

import fastnn as fnn

X = np.random.default_rng(0).standard_normal((64, 100)).astype(np.float32)
Y = np.arange(64) % 10


def new_trainer():
    """Return a trainer whose file takes about a megabyte."""
    return fnn.Trainer(fnn.MLP([100, 700, 10], dropout=0.2, seed=0), "cross_entropy", "adam", seed=0)


def save_until_killed(path, started):
    """Step and save for ever; a byte written to the file descriptor ``started`` says that it begins."""
    trainer = fnn.Trainer.load(path)
    os.write(started, b"!")
    while True:
        trainer.step(X, Y)
        trainer.save(path)


def killed(path, seconds):
    """Let a child save for so long, and kill it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_until_killed(path, write)
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 1) == b"!", "the child could not begin"
    os.close(read)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), f"the child ended by itself, with status {status}"


def main(rounds, seed):
    """Kill and look, so many times."""
    rng, halves = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        path, copy = os.path.join(folder, "checkpoint"), os.path.join(folder, "copy")
        twin = new_trainer()
        twin.save(path)
        for number in range(rounds):
            killed(path, rng.uniform(0, 0.05))
            found = fnn.Trainer.load(path)
            assert found.steps_done >= twin.steps_done, f"round {number}: steps that had been saved are lost"
            while twin.steps_done < found.steps_done:
                twin.step(X, Y)
            twin.save(copy)
            with open(path, "rb") as left, open(copy, "rb") as whole:
                assert left.read() == whole.read(), f"round {number}: not the training of {found.steps_done} steps"
            for name in os.listdir(folder):
                if name.endswith(".tmp"):  # of a save that was cut short
                    os.unlink(os.path.join(folder, name))
                    halves += 1
    print(f"{rounds} killed, {halves} in the middle of a file, {twin.steps_done} steps saved, all checkpoints whole")
    return 0 if halves else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
