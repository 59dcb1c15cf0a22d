"""From a matplotlib figure to clean SVG: small, deterministic, able to wear a page's colours."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from normwise.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMESPACE = "http://www.w3.org/2000/svg"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TOKENS = {colour: name for name, colour in LIGHT.items()}
REFERENCE = re.compile(r"(?<=#)[\w-]+(?=\)$|$)")  # url(#clip) or #marker
LONG = re.compile(r"-?\d+\.\d{2,}")
DRAWN_UPRIGHT = re.compile(r"rotate\(-?0 [^)]*\)")


def standalone(figure: Figure) -> str:
    """Return the figure as an SVG document in the light theme's colours."""
    root = _clean(figure, "figure")
    root.set("xmlns", NAMESPACE)
    _, _, width, height = root.attrib["viewBox"].split()
    root.set("width", width)
    root.set("height", height)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def inline(figure: Figure, name: str, label: str) -> str:
    """Return the figure as an element for an HTML page whose CSS defines the theme's colours.

    Args:
        figure: what to show.
        name: unique on the page; ids begin with it.
        label: what a reader who cannot see it is told.
    """
    root = _clean(figure, name)
    root.set("role", "img")
    root.set("aria-label", label)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    return ElementTree.tostring(root, encoding="unicode")


def _clean(figure: Figure, name: str) -> ElementTree.Element:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    ids = _numbered(root, name)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.tail = None
        if element.tag != "text":
            element.text = None
        pairs = [_attribute(_local(key), value, ids) for key, value in element.items()]
        element.attrib = {key: value for key, value in pairs if value}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "font-family": FONTS,
        "stroke-linejoin": "round",
    }
    return root


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _numbered(root: ElementTree.Element, name: str) -> dict[str, str]:
    """Rename the ids that something refers to, in order of appearance."""
    found = [
        match[0]
        for element in root.iter()
        for key, value in element.items()
        if _local(key) in ("href", "clip-path") and (match := REFERENCE.search(value))
    ]
    return {old: f"{name}-{number}" for number, old in enumerate(dict.fromkeys(found))}


def _attribute(key: str, value: str, ids: dict[str, str]) -> tuple[str, str]:
    """Return an attribute as it should be; an empty value drops it."""
    if key == "id":
        if value.startswith("variant-"):
            return "data-variant", value.removeprefix("variant-")
        return "id", ids.get(value, "")
    if key in ("href", "clip-path"):
        return key, REFERENCE.sub(lambda match: ids[match[0]], value)
    if key == "style":
        return key, re.sub(r"font-family: [^;]*;? ?", "", value)
    if key == "transform" and DRAWN_UPRIGHT.fullmatch(value):
        return key, ""
    value = LONG.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
    return key, re.sub(r"\s+", " ", value).strip()


def _themed(style: str) -> str:
    def token(match: re.Match[str]) -> str:
        return f"var(--{TOKENS[match[0]]})" if match[0] in TOKENS else match[0]

    return re.sub(r"#[0-9a-f]{6}", token, style)
