"""What an exercise is: a name, a grader that answers in words, and hints.

A grader runs the learner's function on fresh seeded inputs and compares it with the right answer,
and with wrong answers that people really write, so that a mistake can be named. A lesson's
`exercises.py` lists its exercises in `EXERCISES`; `find` looks through all of them.
"""

import functools
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-4  # float32 sums in another order differ by less; every mistake we name by more


@dataclass(frozen=True)
class Verdict:
    """What a grader says."""

    passed: bool
    message: str


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
        raise ValueError(f"no exercise named {name!r}; there are {list(known)}")
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


def is_stub(answer: Any) -> bool:
    """Whether this answer, or this error, is an untouched stub's."""
    return answer is None or (isinstance(answer, NotImplementedError) and not answer.args)


def as_numbers(answer: Any) -> Tensor | None:
    """A learner's result as a float64 tensor, or None if it is no array of numbers."""
    try:
        return torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return None


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same numbers in the same shape."""
    left, right = as_numbers(a), as_numbers(b)
    if left is None or right is None or left.shape != right.shape:
        return False
    return torch.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE)


def _in_words(value: Any) -> str:
    """An argument: numbers as they are, of a large tensor its shape, of boxes also the first."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_words, value))}]"
    if not isinstance(value, Tensor | np.ndarray):
        return f"{round(value, 3):g}" if isinstance(value, float) else str(value)
    if value.ndim < 2:
        return _in_words(value.tolist())
    shape = " x ".join(map(str, value.shape))
    boxes = value.ndim == 2 and value.shape[1] == 4 and len(value)
    return f"{shape}, the first {_in_words(value[0])}" if boxes else shape


def _describe_value(answer: Any, right: Any, *case: Any) -> str:
    """In what way one answer is not the right one."""
    if isinstance(answer, Exception):
        message = str(answer).strip().rstrip(".").split("\n")[0]
        return f"your function raised {type(answer).__name__}: {message}"
    numbers, right = as_numbers(answer), as_numbers(right)
    if numbers is None:
        return f"your function returned a {type(answer).__name__}, not numbers"
    if numbers.shape != right.shape:
        return f"the result has shape {list(numbers.shape)}, it should have {list(right.shape)}"
    gap = (numbers - right).abs()
    worst = torch.nan_to_num(gap, nan=torch.inf).flatten().argmax()
    index = [int(i) for i in torch.unravel_index(worst, right.shape)]
    at = f" at index {index}" if index else ""
    yours, expected = float(numbers.flatten()[worst]), float(right.flatten()[worst])
    return f"largest error{at}: yours {yours:.4f}, right {expected:.4f}"


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
    difference: Callable[..., str] = _describe_value  # of (answer, right, *case)

    def __call__(self, function: Any) -> Verdict:
        """Judge the learner's function; never raises because of it."""
        if refused := no_function(function):
            return refused
        cases = list(self.cases())
        answers = []
        for case in cases:
            answers.append(self.outcome(function, case))
            if is_stub(answers[-1]):
                return not_yet("the function")
        truths = [self.outcome(self.right, case) for case in cases]
        wrong = [i for i in range(len(cases)) if not self.same(answers[i], truths[i])]
        if not wrong:
            return Verdict(True, f"Passed: {self.praise.format(n=len(cases))}")
        return Verdict(False, self._explain(cases, answers, truths, wrong))

    def outcome(self, function: Callable[..., Any], case: Sequence[Any]) -> Any:
        """What a function gives in one case, or the exception it raises.

        It gets copies: a function that writes into its inputs must not spoil the next run.
        """
        observed = functools.partial(self.observe, function) if self.observe else function
        try:
            return observed(*(it.clone() if isinstance(it, Tensor) else it for it in case))
        except Exception as error:  # the learner's code may raise anything
            return error

    def _explain(self, cases: list, answers: list, truths: list, wrong: list[int]) -> str:
        """The known mistake that gives exactly these answers, else the first case that fails."""
        first = wrong[0]
        score = f"{len(cases) - len(wrong)} of {len(cases)} cases are right."
        names = inspect.signature(self.right).parameters
        told = ", ".join(f"{name} {_in_words(it)}" for name, it in zip(names, cases[first]))
        told = self.describe(*cases[first]) if self.describe else told
        example = (
            f"First wrong case: {told}{self.note and f' ({self.note})'};\n"
            f"{self.difference(answers[first], truths[first], *cases[first])}."
        )
        upto = min((tier for tier in self.tiers if tier > first), default=len(cases))
        seen = list(zip(cases, answers))[:upto]
        for mistake in self.mistakes:
            if all(self._alike(mistake, case, got) for case, got in seen):
                return f"Not right yet: {score}\nLikely: {mistake.message}\n{example}"
        return f"Not right yet: {score}\n{example}"

    def _alike(self, mistake: Mistake, case: Sequence[Any], answer: Any) -> bool:
        """Whether this mistake gives this answer; an error is like any other error."""
        made = self.outcome(mistake.function, case)
        if isinstance(answer, Exception) or isinstance(made, Exception):
            return isinstance(answer, Exception) and isinstance(made, Exception)
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
                if is_stub(error):
                    return not_yet("the function")
                fault = f"your function raised {type(error).__name__}: {error}"
            if fault is not None:
                what = self.describe(*case)
                return Verdict(False, f"Not right yet, for {what}:\n{fault}")
        return Verdict(True, f"Passed: {self.praise}")
