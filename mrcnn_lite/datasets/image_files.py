"""Where the image files of a data set lie, though every tool writes their names in another way.

Looked for, in this order, until a file is there:

1. the name as written, in ``images/`` beside the annotation file, beside the file, and in both
   of the folder above (for ``annotations/instances.json`` beside ``images/``);
2. the same with ``/`` for ``\\``, in any Unicode form, in small or capital letters, and with the
   letters that ``%20`` and the like stand for;
3. the name without its folders, in these folders;
4. a file of that name anywhere below them; of several the one with most of the name's folders.

A folder that the user names is the only one, and there even an absolute path is looked for by its
last name. Nothing outside of these folders is ever read.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from .images import image_size
from .values import is_name, one_form

# How folders begin that hold annotations; only then are the images anywhere in the folder above.
ANNOTATIONS = ("ann", "label", "json", "coco")
REMEDY = "say where they lie: --images FOLDER (image_folder)"


def stays_inside(name: object) -> bool:
    """Whether a file name is one, and leaves no folder that it is looked for in."""
    return (
        is_name(name)
        and bool(name.strip("./\\ "))
        and not PurePosixPath(name).is_absolute()
        and not PureWindowsPath(name).drive
        and not name.startswith("\\")
        and ".." not in _plain(name).split("/")
    )


class ImageFiles:
    """The files of a data set's images, by name.

    Args:
        names: As the annotations write them; those that leave their folder are passed over, unless
            the folder is named.
        file: The annotation file.
        folder: The only folder to look in; None for those around the annotation file.
    """

    def __init__(self, names: Iterable[object], file: Path, folder: Path | None) -> None:
        home, above = file.parent, file.absolute().parent.parent
        self.folders = [folder] if folder else [home / "images", home, above / "images", above]
        self._roots = [folder] if folder else [home, *self.folders[:3:2]]
        if not folder and file.absolute().parent.name.lower().startswith(ANNOTATIONS):
            self._roots.append(above)
        self._usual = self.folders[:2]
        self._paths: dict[str, Path | str] = {}  # or why there is none
        self._guessed: dict[Path, list[str]] = defaultdict(list)  # by base name alone
        for name in dict.fromkeys(n for n in names if stays_inside(n) or (folder and _ends(n))):
            self._paths[name] = self._as_written(name) or self._search(name)
        users = defaultdict(list)
        for name, path in self._paths.items():
            users[path].append(name)
        for path, guessed in self._guessed.items():
            for name in guessed:
                others = [other for other in users[path] if _plain(other) != _plain(name)]
                if others:
                    self._paths[name] = f"and {others[0]!r} would both be {path}; {REMEDY}"

    def take(self, name: object) -> bool:
        """Whether a file name is one that is looked for."""
        return isinstance(name, str) and name in self._paths

    def path(self, name: str) -> Path:
        """The file of a name.

        Raises:
            ValueError: There is none, or it is not clear which; the message says where it was
                looked for.
        """
        found = self._paths[name]
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def size(self, name: object) -> tuple[int, int] | None:
        """Height and width of a name's image; None where that cannot be read."""
        try:
            return image_size(self.path(name))
        except (KeyError, TypeError, ValueError):
            return None

    def missing(self) -> dict[str, str]:
        """The names without a file, and why."""
        return {name: found for name, found in self._paths.items() if isinstance(found, str)}

    def told(self) -> str:
        """Where the images were found, in words; "" where they lie as usual."""
        counts = Counter(
            _folder_of(name, path) for name, path in self._paths.items() if isinstance(path, Path)
        )
        if counts.keys() <= set(self._usual) and not self._guessed:
            return ""
        return "images in " + ", ".join(f"{folder} ({n})" for folder, n in counts.most_common(5))

    def _as_written(self, name: str) -> Path | None:
        paths = (folder / name for folder in self.folders if stays_inside(name))
        return next((path for path in paths if path.is_file()), None)

    def _search(self, name: str) -> Path | str:
        plain, base = _plain(name), _base(name)
        files = self._files[_key(base)]
        for wanted in (plain, base):
            for folder in self.folders:
                whole = _plain(str(folder / wanted))
                found = [path for path in files if _key(str(path)) == _key(whole)]
                if len(found) == 1:
                    same = wanted is plain and _plain(str(found[0])) == whole
                    return found[0] if same else self._guess(name, found[0])
        shared = [_shared_parts(plain, path) for path in files]
        best = [path for path, n in zip(files, shared, strict=True) if n == max(shared)]
        if len(best) == 1:
            return self._guess(name, best[0])
        if best:
            return f"may be {best[0]} or {best[1]}; {REMEDY}"
        folders = ", ".join(str(folder) for folder in self.folders if folder.is_dir())
        return f"is nowhere in {folders or self.folders[0]}; {REMEDY}"

    def _guess(self, name: str, path: Path) -> Path:
        self._guessed[path].append(name)
        return path

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """All files by base name."""
        files: dict[str, dict[str, Path]] = defaultdict(dict)
        for root in self._roots:
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in names:
                    path = Path(folder, name)
                    files[_key(name)][str(path.absolute())] = path
        return defaultdict(list, {name: list(paths.values()) for name, paths in files.items()})


def _plain(name: str) -> str:
    return one_form(str(PurePosixPath(name.replace("\\", "/"))))


def _key(name: str) -> str:
    """What two names have in common that mean the same file."""
    return unquote(_plain(name)).casefold()


def _ends(name: object) -> bool:
    """Whether the last part of a path is a file name."""
    return is_name(name) and stays_inside(_base(name))


def _base(name: str) -> str:
    return _plain(name).rpartition("/")[2]


def _shared_parts(name: str, path: Path) -> int:
    """How many parts a name and a path share, counted from their ends."""
    pairs = zip(reversed(name.split("/")), reversed(path.absolute().parts), strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != one_form(b)), len(name.split("/")))


def _folder_of(name: str, path: Path) -> Path:
    """The folder that a name was looked for in."""
    parts = len(PurePosixPath(_plain(name)).parts)
    whole = parts <= len(path.parents) and _shared_parts(_plain(name), path) == parts
    return path.parents[parts - 1] if whole else path.parent
