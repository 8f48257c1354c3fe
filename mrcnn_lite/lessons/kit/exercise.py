"""What an exercise is: a name, a grader that answers in words, and hints.

A grader runs the learner's function on fresh seeded inputs and compares it with the right answer,
and with wrong answers that people really write, so that a mistake can be named. A lesson's
`exercises.py` lists its exercises in `EXERCISES`; `find` looks through all of them.
"""

import difflib
import functools
import importlib
import inspect
import itertools
import math
import pkgutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from .feedback import (
    NOTHING,
    as_numbers,
    error_in_words,
    in_words,
    is_empty,
    raised_in,
    relation,
    same,
    size_of,
    value_in_words,
)

__all__ = ["as_numbers", "same"]


@dataclass(frozen=True)
class Verdict:
    """What a grader says."""

    passed: bool
    message: str
    case: tuple[Any, ...] = ()  # the arguments that went wrong


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give, and the message that leads out of it."""

    message: str
    function: Any  # the answer itself: a function, or a map where the exercise asks for one
    several: bool = False  # whether it is made of others


@dataclass(frozen=True)
class Exercise:
    """An exercise: `grade(answer)` judges, `hints` help one after the other."""

    name: str
    grade: Callable[[Any], Verdict]
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()  # where the grader does not hold them itself

    @property
    def known(self) -> tuple[Mistake, ...]:
        """The single mistakes that this exercise can name."""
        every = self.mistakes or getattr(self.grade, "mistakes", ())
        return tuple(mistake for mistake in every if not mistake.several)


def switches(**right: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of a function with steps that people get wrong, `how`: each a keyword, here the right one."""

    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def variant(*case: Any, **wrong: Any) -> Any:
            return function(*case, how=SimpleNamespace(**{**right, **wrong}))

        return variant

    return of


def combine(
    variant: Callable[..., Any], known: Collection[tuple[str, dict[str, Any]]], most: int = 3
) -> tuple[Mistake, ...]:
    """Mistakes alone and up to `most` together, for people rarely make only one.

    `known` are a message and the switches of the variant that it changes. Single mistakes come
    first; none sets one switch twice.
    """
    mistakes = []
    for count in range(1, most + 1):
        for group in itertools.combinations(known, count):
            keywords = {key: value for _, change in group for key, value in change.items()}
            if len(keywords) == sum(len(change) for _, change in group):
                message = "\n   and: ".join(text for text, _ in group)
                function = functools.partial(variant, **keywords)
                mistakes.append(Mistake(message, function, several=count > 1))
    return tuple(mistakes)


def every() -> dict[str, Exercise]:
    """All exercises of the course by name, in the order of the names."""
    lessons = importlib.import_module("..", __package__)
    known: dict[str, Exercise] = {}
    for module in pkgutil.walk_packages(lessons.__path__, f"{lessons.__name__}."):
        if module.name.endswith(("exercise", "exercises")) and ".kit." not in module.name:
            loaded = importlib.import_module(module.name)
            known.update({exercise.name: exercise for exercise in loaded.EXERCISES})
    return dict(sorted(known.items()))


def find(name: str) -> Exercise:
    """The exercise of that name, such as "03-bilinear"; ValueError if there is none."""
    known = every()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no exercise named {name!r}{meant} There are {list(known)}")
    return known[name]


def not_yet(what: str) -> Verdict:
    """The verdict for an untouched stub."""
    return Verdict(False, f"Not yet: {what} is still empty. Write it, run the cell, check again.")


def no_function(answer: Any) -> Verdict | None:
    """The verdict for an answer that is no function; None for a function."""
    if answer is None:
        return not_yet("the function")
    if not callable(answer):
        return Verdict(False, "Hand over the function itself, without calling it.")
    return None


def is_stub(answer: Any, function: Any) -> bool:
    """Whether this answer, or this error, is an untouched stub's."""
    if isinstance(answer, NotImplementedError) and not answer.args:
        return is_empty(function) or raised_in(function, answer)
    return answer is None and is_empty(function)


@dataclass(frozen=True)
class FunctionGrader:
    """Grades a function against the right one, on many inputs."""

    right: Callable[..., Any]
    cases: Callable[[], Iterable[tuple[Any, ...]]]  # the same cases at every call: seeded
    mistakes: tuple[Mistake, ...]
    praise: str
    describe: Callable[..., str] | None = None  # a case in words, where its arguments say too much
    note: str = ""  # what the numbers are that are compared
    tiers: tuple[int, ...] = ()  # where the cases become harder; help is for the first hard tier
    observe: Callable[..., Any] | None = None  # of (function, *case): what is compared instead
    same: Callable[[Any, Any], bool] = same
    difference: Callable[..., str] = value_in_words  # of (answer, right, *case)

    def __call__(self, function: Any) -> Verdict:
        """Judge the learner's function; never raises because of it."""
        if refused := no_function(function):
            return refused
        cases = list(self.cases())
        answers = []
        for case in cases:
            answers.append(self.outcome(function, case))
            if is_stub(answers[-1], function):
                return not_yet("the function")
        truths = [self.outcome(self.right, case) for case in cases]
        wrong = [i for i in range(len(cases)) if not self.same(answers[i], truths[i])]
        if not wrong:
            return Verdict(True, f"Passed: {self.praise.format(n=len(cases))}")
        upto = min((tier for tier in self.tiers if tier > wrong[0]), default=len(cases))
        first = [i for i in wrong if i < upto]
        errors = [i for i in wrong if isinstance(answers[i], Exception)]
        score = f"Not right yet: {len(cases) - len(wrong)} of {len(cases)} cases are right."
        mostly = 2 * len(errors) > len(cases)  # what would come out is not known: no guess from it
        likely = self._named(list(zip(cases, answers))[:upto], any_error=not mostly)
        if mostly:
            score += f" {len(errors)} raise an error."
            first = errors
        else:
            likely = likely or relation([(answers[i], truths[i]) for i in first])
        told = min(first, key=lambda i: size_of(cases[i]) or math.inf)
        example = self._example(function, cases[told], answers[told], truths[told])
        return Verdict(False, "\n".join(filter(None, (score, likely, example))), cases[told])

    def outcome(self, function: Callable[..., Any], case: Sequence[Any]) -> Any:
        """What a function gives in one case, or the exception it raises.

        It gets copies: a function that writes into its inputs must not spoil the next run.
        """
        observed = functools.partial(self.observe, function) if self.observe else function
        try:
            return observed(*(it.clone() if isinstance(it, Tensor) else it for it in case))
        except Exception as error:  # the learner's code may raise anything
            return error

    def _named(self, seen: Sequence[tuple[Any, Any]], any_error: bool) -> str:
        """The known mistake that gives exactly these answers."""
        for mistake in self.mistakes:
            if all(self._alike(mistake, case, answer, any_error) for case, answer in seen):
                return f"Likely: {mistake.message}"
        return ""

    def _example(self, function: Any, case: Sequence[Any], answer: Any, right: Any) -> str:
        """One wrong case: its arguments, and how the two results differ."""
        arguments = dict(zip(inspect.signature(self.right).parameters, case))
        told = ", ".join(f"{name} {in_words(it)}" for name, it in arguments.items())
        told = self.describe(*case) if self.describe else told
        note = f" ({self.note})" if self.note else ""
        if isinstance(answer, Exception):
            words = error_in_words(answer, function, arguments)
        else:
            words = NOTHING if answer is None else self.difference(answer, right, *case)
        stop = "" if words.endswith(("?", ".")) else "."
        return f"Smallest wrong case: {told}{note};\n{words}{stop}"

    def _alike(self, mistake: Mistake, case: Sequence[Any], answer: Any, any_error: bool) -> bool:
        """Whether this mistake gives this answer; an error is like any other, or like its like."""
        made = self.outcome(mistake.function, case)
        if isinstance(answer, Exception) or isinstance(made, Exception):
            both = isinstance(answer, Exception) and isinstance(made, Exception)
            return both and (any_error or repr(made) == repr(answer))
        return self.same(made, answer)


@dataclass(frozen=True)
class FaultGrader:
    """Grades a function by looking for a fault in what it gives, case by case, up to the first."""

    fault: Callable[..., str | None]  # of (function, *case): what is wrong; None for nothing
    cases: Callable[[], Iterable[tuple[Any, ...]]]
    describe: Callable[..., str]  # a case in words
    praise: str

    def __call__(self, function: Any) -> Verdict:
        """Judge the learner's function; never raises because of it."""
        if refused := no_function(function):
            return refused
        for case in self.cases():
            try:
                fault = self.fault(function, *case)
            except Exception as error:  # the learner's code may raise anything
                if is_stub(error, function):
                    return not_yet("the function")
                names = list(inspect.signature(self.fault).parameters)[1:]
                fault = f"{error_in_words(error, function, dict(zip(names, case)))}."
                if isinstance(error, NotImplementedError) and not error.args:
                    fault = f"{NOTHING}."
            if fault is not None:
                what = self.describe(*case)
                return Verdict(False, f"Not right yet, for {what}:\n{fault}", case)
        return Verdict(True, f"Passed: {self.praise}")
