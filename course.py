#!/usr/bin/env python3
"""The course in one command; needs Python 3.11 or newer and installs the rest into .venv.

    python3 course.py                     set up, then open JupyterLab on the first notebook
    python3 course.py copy                make or update my_notebooks, without opening JupyterLab
    python3 course.py reset NAME...       a fresh copy of a notebook in my_notebooks
    python3 course.py test [ARGUMENT...]  set up, then run the tests (arguments go to pytest)
    python3 course.py test --all          the long proofs too
    python3 course.py run [NAME...]       execute the notebooks without a browser, HTML in build/run
    python3 course.py site                write the notebooks, as they are, as a site in build/site
    python3 course.py refresh [NAME...]   execute notebooks in place and clean them (for authors)

A NAME is the beginning of a notebook's name, such as 03. The set-up happens once; one that was
stopped goes on when the command is given again. What you write in my_notebooks stays there.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (the whole file parses with Python 3.6, to say this)
    sys.exit(
        "The course needs Python 3.11 or newer, and this is Python %d.%d: install a newer one "  # noqa: UP031
        "and start the course with it, for example `python3.12 course.py`." % sys.version_info[:2]
    )

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course.stamp"  # written last: a set-up without it did not finish
LOCK = ROOT / ".course.lock"
TEMPORARY = ROOT / "build" / "set-up"  # where a killed pip leaves what it was unpacking
CELL_SECONDS = 1200  # no cell takes as long, on a slow laptop either
NEED_TRITON = ("16_", "17_")  # notebooks that cannot run where it does not exist: outside Linux

NBVAL = (
    "--nbval",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    f"--nbval-cell-timeout={CELL_SECONDS}",
)
# Three, for one often waits for a kernel or the browser; each file in one, in conftest.py's order.
AT_ONCE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")

# Written into .venv, so that it touches no other JupyterLab: no question about news, no calls home,
# and a notebook that was saved and opened again shows its explorers' last pictures.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
}

CHECK = """
import torch, torchvision, jupyterlab, ipywidgets, mrcnn_lite
device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, the CPU is enough"
print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, GPU: {device}")
"""

# What to say when a step fails: the first pattern found in its error output decides.
REASONS = (
    (
        r"No space left on device|Errno 28|Disk quota exceeded",
        f"The disk is full: the set-up needs about 10 GB free; make room in {ROOT} (and in pip's "
        "cache) and run it again.",
    ),
    (
        r"Read-only file system|Permission denied|Errno 13|Errno 30",
        f"The set-up may not write in {ROOT}: copy the course to a folder of your own and "
        "run it there.",
    ),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out"
        r"|ProxyError|Network is unreachable|Connection refused|ConnectionResetError|SSLError",
        "The set-up cannot reach the package index: connect to the network and run it again; "
        "finished downloads are kept.",
    ),
    (
        r"No matching distribution found|ResolutionImpossible",
        "A package has no version for this Python and system that fits constraints.txt: "
        "use Python 3.11 to 3.13 on a 64-bit Linux, macOS or Windows.",
    ),
)


def explain(errors: str) -> str:
    """One sentence on what failed and what to do, from a step's error output."""
    for pattern, sentence in REASONS:
        if re.search(pattern, errors):
            return sentence
    tail = "\n".join(errors.strip().splitlines()[-12:])
    return f"{tail}\nThe set-up failed: run it again, and if this comes back, delete .venv first."


def say(sentence: str) -> None:
    """Print at once, also into a pipe."""
    print(sentence, flush=True)


# --- Set-up -------------------------------------------------------------------------------------


def fingerprint() -> str:
    """What the finished set-up depends on: the requirements, and the folder it was made in."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"".join([*parts, str(ROOT).encode()])).hexdigest()


def is_set_up() -> bool:
    """Whether .venv is finished and made from the present requirements."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == fingerprint()


@contextlib.contextmanager
def one_at_a_time():
    """Wait until no other set-up works in this folder; the lock ends with its processes."""
    with open(LOCK, "w") as file:
        with contextlib.suppress(ImportError):  # Windows has no fcntl and goes without
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another set-up is running in this folder: waiting for it to end.")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def step(command: list, lock) -> str:
    """Run one command of the set-up, its progress shown, its errors turned into one sentence."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # The child holds the lock too: when this process is killed, nobody else starts beside it.
        pass_fds=() if os.name == "nt" else (lock.fileno(),),
        env={**os.environ, "TMPDIR": str(TEMPORARY)},
    )
    errors = process.communicate()[1]
    if process.returncode:
        raise SystemExit(explain(errors))
    return errors


def make_venv(lock) -> None:
    """Make .venv, or make it again where an interrupted set-up left it unusable."""
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        raise SystemExit(
            "This Python comes without its venv module: install it (on Debian and Ubuntu with "
            "`sudo apt install python3-venv`) and run the set-up again."
        )
    drop_half_installed()
    if PYTHON.exists():
        pip = subprocess.run([str(PYTHON), "-m", "pip", "show", "pip"], capture_output=True)
        if pip.returncode == 0:  # it runs, and its own installation was finished
            return
    made = VENV / "pyvenv.cfg"
    if made.exists() and "--clear" not in made.read_text(errors="replace"):
        raise SystemExit(f"{VENV} has no pip, and the course did not make it: rename it.")
    step([sys.executable, "-m", "venv", "--clear", VENV], lock)


def drop_half_installed() -> None:
    """Remove what a killed pip left; pip writes a package's RECORD last and trusts its folder."""
    for site in [*VENV.glob("lib/python*/site-packages"), *VENV.glob("Lib/site-packages")]:
        half = [info for info in site.glob("*.dist-info") if not (info / "RECORD").exists()]
        for folder in [*half, *site.glob("~*")]:  # ~: set aside while a package was replaced
            shutil.rmtree(folder, ignore_errors=True)


def check_installation() -> None:
    """Import what matters, once; torch and torchvision of different origins do not fit together."""
    result = subprocess.run([str(PYTHON), "-c", CHECK], capture_output=True, text=True, cwd=ROOT)
    if result.returncode:
        raise SystemExit(
            f"{result.stderr.strip().splitlines()[-1]}\n"
            "The installed packages do not work together. torchvision's import fails when torch "
            "comes from elsewhere (such as a CPU-only build): take other package sources out of "
            "pip's configuration, delete .venv and run the set-up again."
        )
    say(result.stdout.strip())


def set_up() -> None:
    """Make .venv, install the package and what it needs, check it; at once when all is done."""
    if is_set_up():
        return
    with one_at_a_time() as lock:
        if is_set_up():
            return
        STAMP.unlink(missing_ok=True)
        shutil.rmtree(TEMPORARY, ignore_errors=True)
        TEMPORARY.mkdir(parents=True)
        say(f"Set-up 1/3: {VENV}")
        make_venv(lock)
        say("Set-up 2/3: packages (the first time several GB, most of it PyTorch)")
        install = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
        install += ["--constraint", "constraints.txt", "--editable", ".[test,site,export]"]
        step(install, lock)
        say("Set-up 3/3: check")
        check_installation()
        overrides = VENV / "share/jupyter/lab/settings/overrides.json"
        overrides.parent.mkdir(parents=True, exist_ok=True)
        overrides.write_text(json.dumps(LAB_SETTINGS, indent=2))
        shutil.rmtree(TEMPORARY, ignore_errors=True)
        STAMP.write_text(fingerprint())


# --- What is done with it -----------------------------------------------------------------------


def become(arguments: list) -> None:
    """Go on as .venv's Python: its exit code, its Ctrl-C."""
    os.chdir(ROOT)
    command = [str(PYTHON), *arguments]
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


def has_browser() -> bool:
    """Whether a browser window can open here."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return False
    with contextlib.suppress(webbrowser.Error):
        return webbrowser.get() is not None
    return False


def lab_command(folder: str, arguments: list) -> list:
    """JupyterLab on the first notebook: a token, this machine only, the next port when taken."""
    first = f"--LabApp.default_url=/lab/tree/{folder}/00_start_here.ipynb"
    words = f"--LabApp.extra_labextensions_path={ROOT / 'tools' / 'labextension'}"
    options = [first, words, "--LabApp.extension_manager=readonly", "--log-level=WARN"]
    return ["-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", *options, *arguments]


def lab(arguments: list) -> None:
    """Open JupyterLab on the learner's copies; without a browser, say how to go on."""
    copied = subprocess.call([str(PYTHON), *COMMANDS["copy"]], cwd=ROOT) == 0
    if not has_browser() and "--no-browser" not in arguments:
        arguments = ["--no-browser", *arguments]
        say(
            "No browser can open here. Open the address that follows in one on this machine (from "
            "elsewhere by `ssh -L 8888:127.0.0.1:8888`), or do without: python3 course.py run"
        )
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in arguments:
        arguments = ["--allow-root", *arguments]
        say("You are root, and so will be what the notebooks run: fine in a container of yours.")
    become(lab_command("my_notebooks" if copied else "notebooks", arguments))


def test(arguments: list) -> None:
    """Run pytest on the paths given, or on all (tests, notebooks, browser) several at once."""
    if any((ROOT / part.split("::")[0]).exists() for part in arguments):
        become(["-m", "pytest", *NBVAL, *arguments])
    else:
        become(["-m", "pytest", *NBVAL, *AT_ONCE, *arguments, "tests", "notebooks"])


COMMANDS = {
    "lab": lab,
    "test": test,
    "copy": ["-m", "tools.my_notebooks", "copy"],
    "reset": ["-m", "tools.my_notebooks", "reset"],
    "run": ["-m", "tools.notebooks", "run"],
    "refresh": ["-m", "tools.notebooks", "refresh"],
    "site": ["-m", "tools.build_site"],
}


def main(words: list) -> None:
    """Set up where needed, then do what the first word says."""
    if words[:1] in (["-h"], ["--help"]):
        sys.exit(print(__doc__))
    if not words or words[0].startswith("-"):
        words = ["lab", *words]
    if words[0] not in COMMANDS:
        sys.exit(f"There is no {words[0]!r}.\n\n{__doc__}")
    try:
        set_up()
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same command goes on from here.")
    except OSError as error:
        sys.exit(explain(str(error)))
    command = COMMANDS[words[0]]
    command(words[1:]) if callable(command) else become([*command, *words[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
