"""The site: every notebook a page, every picture with words, every link leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from site_pages import COPIES, MIME, NAME, STATE, build, built_site, of_the_tests, parsed
from source_tree import NOTEBOOKS

from mrcnn_lite.lessons.kit.roi_explorer.explorer import ALT, RoIExplorer
from mrcnn_lite.lessons.kit.roi_explorer.state import STATE as TRAITS
from tools.build_site import literal_keywords, prepare_notebook, script
from tools.site_outputs import ANSWER, NOTE, picture_tag

STEMS = [*(path.stem for path in NOTEBOOKS), NAME]
OUTSIDE = re.compile(r"(https?:)?//", flags=re.IGNORECASE)
LOADED_BY_CSS = re.compile(r"""(?:url\(|@import)\s*['"]?\s*(?:https?:)?//""")


def test_a_page_for_every_notebook():
    assert {f"{stem}.html" for stem in STEMS} | {"index.html", "roi_explorer.html"} <= set(parsed())


def test_previous_and_next_follow_the_course():
    order = ["index.html", *(f"{stem}.html" for stem in STEMS), "roi_explorer.html"]
    pages = [parsed()[name].beside for name in order]
    assert [beside.get("next") for beside in pages] == [*order[1:], None]
    assert [beside.get("prev") for beside in pages] == [None, *order[:-1]]


def test_every_image_has_words():
    images = [image for page in parsed().values() for image in page.images]
    assert len(images) > len(NOTEBOOKS)
    assert [image for image in images if not (image.get("alt") or "").strip()] == []


@pytest.mark.parametrize("stem", STEMS)
def test_every_picture_has_its_own_words(stem):
    cells = nbformat.read(COPIES / f"{stem}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    wanted = [o.metadata[MIME]["alt"] for o in outputs if MIME in o.get("data", {})]
    images = parsed()[f"{stem}.html"].images
    assert [image["alt"] for image in images] == [" ".join(alt.split()) for alt in wanted]
    assert len({image["src"] for image in images}) == len(images)
    for image in images:
        assert (built_site() / image["src"]).is_file()
        assert int(image["width"]) > 0 and int(image["height"]) > 0


def test_nothing_is_loaded_from_outside():
    for page in parsed().values():
        assert page.loads
        outside = [address for address in page.loads if OUTSIDE.match(address)]
        assert not outside, page.path.name
    for sheet in built_site().rglob("*.css"):
        assert not LOADED_BY_CSS.search(sheet.read_text(encoding="utf-8")), sheet.name


def test_every_link_and_anchor_leads_somewhere():
    broken = []
    for page in parsed().values():
        for link in page.links:
            if re.match(r"\w+:", link):
                continue
            address, anchor = urldefrag(link.split("?")[0])
            target = page.path if not address else page.path.parent / unquote(address)
            known = parsed()[target.name].ids if anchor and target.name in parsed() else [anchor]
            if not target.is_file() or unquote(anchor) not in known:
                broken.append((page.path.name, link))
    assert not broken


def test_every_id_is_unique():
    for page in parsed().values():
        assert len(page.ids) == len(set(page.ids)), page.path.name


def test_anchors_are_the_sections_ids():
    text = parsed()[f"{NAME}.html"].path.read_text(encoding="utf-8")
    assert '<section id="explore">' in text and '<a id="explore">' not in text
    assert re.search(r"<details>\s*<summary>A solution</summary>\s*<div class=\"highlight", text)
    assert 'href="03_roi_align.html#agree"' in text
    assert (built_site() / "_static/files/data/README.md").is_file()


def test_the_explorers_state_is_the_packages():
    (state,) = parsed()["roi_explorer.html"].states
    explorer = RoIExplorer()
    assert state == {name: getattr(explorer, name) for name in TRAITS}


def test_a_cells_explorer_begins_where_the_cell_says():
    page = parsed()[f"{NAME}.html"]
    (state,) = page.states  # the call with a variable stays a picture, as its state is not known
    assert {name: state[name] for name in STATE} == STATE
    text = page.path.read_text(encoding="utf-8")
    assert text.count(NOTE) == 2
    still = re.search(r"<noscript>(.*?)</noscript>", text, flags=re.DOTALL)[1]
    assert ALT in still


def test_committed_calls_come_to_life():
    """Every cell that ends with `explore_roi(...)`, its keywords written out, is alive."""
    for path in NOTEBOOKS:
        codes = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        calls = [literal_keywords(c.source) for c in codes if c.outputs]
        wanted = [call for call in calls if call is not None]
        states = parsed()[f"{path.stem}.html"].states
        assert len(states) == len(wanted), path.name
        for call, state in zip(wanted, states):
            assert {name: state[name] for name in call} == call


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("explore_roi()", {}),
        ("x = 1\nwidgets.explore_roi(size=3, aligned=True)", {"size": 3, "aligned": True}),
        ("explore_roi(box=[1.5, -2, 3, 4])", {"box": [1.5, -2, 3, 4]}),
        ("explore_roi(size=n)", None),
        ("explore_roi(size=print('never called'))", None),
        ("explore_roi(**state)", None),
        ("explore_pyramid(width=3)", None),
        ("explore_roi()\nx = 1", None),
        ("explore_roi", None),
        ("", None),
    ],
)
def test_literal_keywords(code, found, capsys):
    assert literal_keywords(code) == found
    assert not capsys.readouterr().out


def test_a_picture_without_words_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="without words"):
        picture_tag(b"", tmp_path / "_static" / "x.png", " ", 100)


def test_what_answers_a_prediction_waits_behind_a_line(tmp_path):
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    printed = new_output("stream", text="1 < 2\nYou predicted: nothing yet.\nThe result: 3\n")
    cells = [new_code_cell(code, outputs=[printed]) for code in ("x = 1\nreveal('a', 3)", "x")]
    path, source = tmp_path / "01_a.ipynb", tmp_path / "source"
    nbformat.write(new_notebook(cells=cells), path)
    source.mkdir()
    prepare_notebook(path, source)
    hidden, open_ = (cell.outputs[0] for cell in nbformat.read(source / path.name, 4).cells)
    page = hidden.data["text/html"]
    assert page.startswith("<details") and ANSWER in page and "1 &lt; 2\n" in page
    assert 'id="answer-a">You predicted: nothing yet.\nThe result: 3</span>' in page
    assert open_.text == printed.text


def test_the_scripts_are_no_modules():
    for name in ("roi_explorer.js", "course.js"):
        lines = (built_site() / "_static" / name).read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.startswith(("import ", "export "))]
    with pytest.raises(ValueError, match="names"):
        script("both", "const a = 1;\nconst a = 2;", "a")


def test_a_questions_code_gives_nothing_away():
    """The source of a `why` holds its answer; a notebook's own code stays."""
    text = parsed()[f"{NAME}.html"].path.read_text(encoding="utf-8")
    assert "The hidden reason" in text and "why(" not in text and "recall(" not in text
    assert "def my_sample" in text and "Your own code runs in JupyterLab" in text


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.slow
def test_built_again_it_is_the_same_and_the_notebook_is_unchanged(tmp_path):
    path = tmp_path / "notebooks" / f"{NAME}.ipynb"
    path.parent.mkdir()
    for part in ("00_a", "07_b", "10_c", "12_d", "16_e"):  # one of each part of the contents
        heading = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {part}")])
        nbformat.write(heading, path.with_name(f"{part}.ipynb"))
    nbformat.write(of_the_tests(), path)
    before = path.read_bytes()
    first, again = (files_of(build(path.parent, tmp_path / "site")[0]) for _ in range(2))
    assert "index.html" in first
    assert first == again
    assert path.read_bytes() == before
