"""The thin layer between an explorer's state and the page.

An explorer is a plain class: its attributes are what the reader can move, and `render()` gives the
figure and the numbers for them. `Explorer` puts labelled controls, the figure and the numbers
on the page, and draws anew whenever an attribute changes. There is no other logic here, so that
everything worth testing can be tested without a browser.

    class Ramp:
        def __init__(self):
            self.slope = 2
        def render(self) -> tuple[bytes, str]:
            return png, f"slope {self.slope}"

    Explorer(Ramp(), [slider("slope", "slope", 1, 8)], alt="a ramp")
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import anywidget
import ipywidgets as ipw
import traitlets as t

from .style import few_colours

LABEL_WIDTH = "140px"
CONTROL_WIDTH = "300px"  # of the narrowest; two stand side by side in a small window
READABLE = 560  # px; no figure is shown smaller, a narrow page scrolls it
DARK = """
[data-jp-theme-light="false"] .mrcnn-explorer img { filter: brightness(0.84); border-radius: 6px; }
"""
NUMBERS = "line-height:1.35;margin:0"  # the style of the lines below the figure


class State(Protocol):
    """What an explorer needs: attributes to set, and a way to draw them."""

    def render(self) -> tuple[bytes, str]:
        """The figure (PNG) and the numbers (plain text, its first line the most important)."""
        ...


@dataclass(frozen=True)
class Control:
    """One thing that the reader can move: an attribute of the state, and the widget for it."""

    name: str  # the attribute
    widget: type[ipw.ValueWidget]
    settings: dict[str, Any]


def slider(name: str, label: str, low: float, high: float, step: float = 1) -> Control:
    """A slider, moved with the mouse or the arrow keys."""
    whole = all(isinstance(number, int) for number in (low, high, step))
    settings = {"description": label, "min": low, "max": high, "step": step}
    return Control(name, ipw.IntSlider if whole else ipw.FloatSlider, settings)


def toggle(name: str, label: str) -> Control:
    """A check box, switched with the mouse or the space bar."""
    return Control(name, ipw.Checkbox, {"description": label, "indent": True})


def choice(name: str, label: str, options: Sequence[Any]) -> Control:
    """A drop-down list."""
    return Control(name, ipw.Dropdown, {"description": label, "options": list(options)})


class Names(anywidget.AnyWidget):
    """Nothing to see: it names the sliders and the figure of its explorer for screen readers."""

    _esm = Path(__file__).with_suffix(".js").read_text("utf-8")
    _css = DARK
    alt = t.Unicode().tag(sync=True)


class Explorer:
    """Controls, a figure and its numbers, shown as one output that is also a still figure."""

    def __init__(self, state: State, controls: Sequence[Control], alt: str, width: int = 760):
        """Build the page from a state; nothing is shown until the explorer is displayed."""
        self.state = state
        self.alt = alt
        self.width = width
        self.controls = {control.name: self._build(control) for control in controls}
        size = {
            "width": f"{width}px",
            "max_width": "100%",
            "min_width": f"{min(width, READABLE)}px",
        }
        self.image = ipw.Image(format="png", layout=size)
        self.numbers = ipw.HTML()
        begin = {name: control.value for name, control in self.controls.items()}
        reset = ipw.Button(description="Reset", layout={"width": "80px"})
        reset.on_click(lambda _: self.set(**begin))
        columns = f"repeat(auto-fit, minmax({CONTROL_WIDTH}, 390px))"  # as the page allows
        layout = {"grid_template_columns": columns}
        controls_area = ipw.GridBox([*self.controls.values(), reset], layout=layout)
        parts = [controls_area, self.image, self.numbers, Names(alt=alt)]
        self.box = ipw.VBox(parts, layout={"overflow": "auto"})
        self.box.add_class("mrcnn-explorer")
        self._held = False  # while several controls are moved at once
        self._redraw()

    def _build(self, control: Control) -> ipw.ValueWidget:
        """One control, wired to its attribute; the label is for everybody, screen readers too."""
        widget = control.widget(
            value=getattr(self.state, control.name),
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
            **control.settings,
        )
        widget.observe(lambda change: self._moved(control.name, change["new"]), names="value")
        return widget

    def _moved(self, name: str, value: Any) -> None:
        setattr(self.state, name, value)
        if not self._held:
            self._redraw()

    def _redraw(self) -> None:
        """Ask the state for its figure; the browser sends no second change before this is done."""
        self.png, self.text = self.state.render()
        self.image.value = self.png
        # A screen reader says the first line at every step; the others wait until they are read.
        first, _, others = html.escape(self.text).partition("\n")
        self.numbers.value = (
            f'<pre role="status" aria-live="polite" style="{NUMBERS}">{first}</pre>'
            f'<pre style="{NUMBERS}">{others}</pre>'
        )

    def set(self, **values: Any) -> "Explorer":
        """Move controls from Python, as the reader would with the mouse."""
        unknown = sorted(set(values) - set(self.controls))
        if unknown:
            raise ValueError(f"no control named {unknown[0]!r}; there are {sorted(self.controls)}")
        self._held = True  # several changes, one figure
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
            self._redraw()
        return self

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        """The live view where it can live, else the figure, else the numbers."""
        bundle = self.box._repr_mimebundle_() or {}
        bundle["image/png"] = base64.b64encode(few_colours(self.png)).decode("ascii")
        bundle["text/plain"] = f"{self.alt}\n{self.text}"
        return bundle, {"image/png": {"width": self.width, "alt": self.alt}}
