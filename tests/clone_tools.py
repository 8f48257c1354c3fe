"""The course as a learner has it: cloned from a code host to which its author pushes updates."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import relative, tracked_files

# `course.py` in the clone, without a set-up of its own: this Python has everything.
START = """
import pathlib, sys, course
course.PYTHON, course.set_up = pathlib.Path(sys.executable), lambda: None
course.main(sys.argv[1:])
"""
NAMES = {
    f"GIT_{who}_{what}": "a@b.invalid"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


class Clones:
    """An author's folder with the files of this repository, a bare clone, a learner's clone."""

    def __init__(self, home: Path):
        if shutil.which("git") is None:
            pytest.skip("git is not installed")
        self.author, self.host, self.learner = (
            home / name for name in ("author", "host.git", "my course")
        )
        self.environment = {
            name: value for name, value in os.environ.items() if name != "MRCNN_LITE_PROGRESS"
        }
        self.environment |= {**NAMES, "GIT_CONFIG_GLOBAL": os.devnull}
        inherited = os.environ.get("PYTHONPATH", "")
        self.environment["PYTHONPATH"] = os.pathsep.join([str(self.learner), inherited])
        for path in tracked_files():
            target = self.author / relative(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        self.git("init", "--quiet", at=self.author)
        self.publish("The course")
        self.git("clone", "--quiet", "--bare", self.author, self.host, at=home)
        self.git("remote", "add", "host", self.host, at=self.author)
        self.git("clone", "--quiet", self.host, self.learner, at=home)

    def git(self, *arguments: object, at: Path) -> str:
        """What git prints in a folder; an error is an error."""
        command = ["git", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=at, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def publish(self, message: str) -> None:
        """Commit all that the author changed and, once there is a host, push it."""
        self.git("add", "--all", at=self.author)
        self.git("commit", "--quiet", "--message", message, at=self.author)
        if self.host.exists():
            self.git("push", "--quiet", "host", "HEAD", at=self.author)

    def changed_files(self) -> str:
        """What git would tell the learner."""
        return self.git("status", "--porcelain", at=self.learner)

    def course(self, *words: str) -> list[str]:
        """The command that starts the learner's `course.py`."""
        return [sys.executable, "-c", START, *words]

    def say(self, *words: str) -> str:
        """What the learner's `course.py` prints."""
        done = subprocess.run(
            self.course(*words),
            cwd=self.learner,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout
