"""Build the live page, one file that needs no network; `course.py site` calls this.

The page (docs/live) is bundled with its runtime, which npm brings, and with the shipped network and
its stages. Both are in the page as gzip in base64: a page that is opened from a file loads nothing.

`python -m tools.build_live` writes build/site/live.html, and in build/live the network and what the
page knows of it.
"""

import base64
import gzip
import hashlib
import html
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
from filelock import FileLock

from mrcnn_lite.export import export_stages
from mrcnn_lite.files import write_whole
from mrcnn_lite.models import load_weights

ROOT = Path(__file__).resolve().parent.parent
SOURCES, BUILD = ROOT / "docs" / "live", ROOT / "build" / "live"
PAGE = ROOT / "build" / "site" / "live.html"
MODULES = SOURCES / "node_modules"
RUNTIME = MODULES / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.wasm"
WEIGHTS = ROOT / "data" / "weights" / "shapes_lite.safetensors"
SIZE = (128, 128)
# Nothing is loaded and nothing is sent, whatever a script tries.
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
)

ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Mask R-CNN, live</title>
<p>The live page was not built: {reason}. Install Node.js with npm, and run
<code>python3 course.py site</code> again. <a href="index.html">The course</a></p></html>
"""


def write_network(folder: Path = BUILD) -> dict:
    """Write the network and its metadata, if they are not those of the sources.

    Returns:
        The metadata, see `export_stages`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "stages.lock"):
        return _write_network(folder)


def _write_network(folder: Path) -> dict:
    model, said = folder / "stages.onnx", folder / "stages.json"
    sources = [WEIGHTS, Path(__file__), *(ROOT / "mrcnn_lite").glob("*.py")]
    for part in ("export", "models", "ops"):
        sources += (ROOT / "mrcnn_lite" / part).glob("*.py")
    marks = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    known = json.loads(said.read_text()) if said.exists() and model.exists() else {}
    if known.get("sources") != marks:
        exported = folder / "exported.onnx"
        known = export_stages(*load_weights(WEIGHTS), exported, SIZE) | {"sources": marks}
        optimise(exported, model)
        write_whole(said, json.dumps(known, indent=1).encode())
    return known


def optimise(exported: Path, model: Path) -> None:
    """Let onnxruntime fold constants and fuse operations now, not whenever the page is opened."""
    options = onnxruntime.SessionOptions()
    # More than "extended" is for the processor of this machine.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(model)
    onnxruntime.InferenceSession(str(exported), options)


def missing() -> str:
    """Fetch what npm brings, if it is not there; a sentence where that fails, else nothing."""
    if RUNTIME.exists():
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    command = [npm, "ci", "--ignore-scripts"]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True)
    if done.returncode:
        return f"npm ci failed: {'; '.join(done.stderr.splitlines()[:2])}"
    return ""


def bundled(name: str) -> str:
    """A module or a style sheet of the page with all that it imports, as one text."""
    esbuild = shutil.which("esbuild", path=MODULES / ".bin")
    command = [esbuild, name, "--bundle", "--minify", "--format=esm", "--charset=utf8"]
    command += ["--log-level=warning", "--legal-comments=inline"]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"esbuild: {done.stderr}")
    return done.stdout


def data(name: str, content: bytes) -> str:
    """Bytes as an element of the page, which no browser runs."""
    text = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")
    return f'<script type="application/gzip" id="{name}">{text}</script>\n'


def assembled(page: str, meta: dict) -> str:
    """The page as one file.

    Args:
        page: docs/live/index.html.
        meta: of the network.
    """
    script, style = bundled("main.js"), bundled("live.css")
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    licences = html.escape((SOURCES / "licences.txt").read_text(encoding="utf-8"), quote=False)
    known = json.dumps(meta).replace("<", "\\u003c")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(script=hashed)}">'
    parts = [
        f'<script type="text/plain" id="licences">{licences}</script>\n',
        f'<script type="application/json" id="meta">{known}</script>\n',
        data("runtime", RUNTIME.read_bytes()),
        data("model", (BUILD / "stages.onnx").read_bytes()),
        f'<script type="module">{script}</script>',
    ]
    for place, part in {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n{policy}',
        '<link rel="stylesheet" href="live.css">': f"<style>{style}</style>",
        '<script type="module" src="main.js"></script>': "".join(parts),
    }.items():
        if page.count(place) != 1:
            raise RuntimeError(f"docs/live/index.html: {place} is there {page.count(place)} times")
        page = page.replace(place, part)
    return page


def build(page: Path = PAGE) -> str:
    """Write the page; where it cannot be built, one that says so, since others lead to it.

    Returns:
        Why it could not be built, or nothing.
    """
    reason = missing()
    if reason:
        text = ABSENT.format(reason=html.escape(reason))
    else:
        text = assembled((SOURCES / "index.html").read_text(encoding="utf-8"), write_network())
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, text.encode())
    return reason


if __name__ == "__main__":
    if reason := build():
        sys.exit(f"the live page was not built: {reason}")
    print(f"{PAGE}: {PAGE.stat().st_size / 1e6:.1f} MB")
