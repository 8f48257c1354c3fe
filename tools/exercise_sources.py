"""The exercises as the notebooks hold them: the untouched stub, and the folded solution."""

from typing import Any

from mrcnn_lite.lessons.kit import sources


class Chapter(sources.Chapter):
    """One notebook's exercises, executed."""

    def stub(self, exercise: str) -> Any:
        """What the untouched cell hands to `check`.

        Args:
            exercise: its name.

        Returns:
            The answer.

        Raises:
            ValueError: if not exactly one cell checks this exercise.
        """
        source = self.cells[self.place(exercise)][1]
        handed: list[Any] = []
        exec(source, self.scope(source) | {"check": lambda name, answer: handed.append(answer)})
        return handed[0]

    def solution(self, exercise: str) -> Any:
        """What the folded solution below the cell makes.

        Args:
            exercise: its name.

        Returns:
            The answer.

        Raises:
            ValueError: if there is no folded solution between this check and the next.
        """
        name, block = self.folded(exercise)
        scope = self.scope(block)
        exec(block, scope)
        return scope[name]


def chapter_of(exercise: str) -> Chapter:
    """The notebook of an exercise.

    Args:
        exercise: its name; it begins with the notebook's number.

    Returns:
        The notebook.

    Raises:
        ValueError: if there is no such notebook.
    """
    return Chapter(sources.notebook_of(exercise))
