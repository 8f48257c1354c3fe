"""What `check` says of an answer that nobody foresaw: an error's likely cause, what two results
have in common, and a small input on which they differ."""

import difflib
import dis
import itertools
import linecache
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-4  # float32 sums in another order differ by less; every mistake we name by more
WHOLE = 36  # numbers at most of a result or an argument that is printed whole
NOTHING = (
    "your function returned None. Is a `return` missing, or does it still end with the stub's "
    "`return None`"
)

# What people meet most often: (in the message of the error, its likely cause).
CAUSES = (
    (r"positional argument|unexpected keyword|required keyword",
     "`check` calls your function with ({names}): keep the parameters of the stub."),
    (r"'(list|tuple)' object has no attribute|multiply sequence|for .*: '(list|tuple)'|"
     r"'(list|tuple)' and '|(list indices must be|not) (list|tuple)",
     "a plain list does no arithmetic ({lists}). torch.tensor(...) makes numbers of it."),
    (r"valid indices|integer scalar|slice indices|interpreted as an integer|"
     r"indices must be integers|tensors used as indices|converted to an index",
     "an index must be a whole number: int(...) of a number, .long() of a tensor."),
    (r"must match|shapes cannot be multiplied|not broadcastable|broadcast",
     "two shapes do not go together. Print both `.shape` before that line; [:, None] gives an "
     "axis more."),
    (r"out of (range|bounds)", "an index leaves its axis. The last one is the length minus 1."),
    (r"too many indices|Dimension out of range|dimension specified as",
     "the tensor has fewer axes than that line thinks. Print its `.shape`."),
    (r"same dtype|scalar type|Found dtype|not implemented for '(Long|Bool|Byte|Int)'|"
     r"floating point|must be.*float",
     "whole numbers or bools meet fractions there: use .float() first."),
    (r"Boolean value of Tensor|truth value",
     "`if` wants one yes or no and gets a whole tensor: torch.where chooses for each number."),
    (r"cannot be converted to Scalar|only one element tensors",
     "one number is needed there, and the tensor holds several."),
    (r"no elements|empty (sequence|iterable)|arg is an empty|non-zero size|identity for",
     "something is empty there, and an empty piece has no maximum. Ask for that case first."),
    (r"not associated with a value|referenced before assignment",
     "the name gets its value only on some way through the function."),
    (r"can't call numpy|requires grad", "the tensor has a graph: .detach() takes it away."),
    (r"leaf Variable|modified by an inplace", "do not write into an input: make a new tensor."),
    (r"division by zero", "a length or a count of 0 is possible. What should come out then?"),
)  # fmt: skip


def is_empty(function: Any) -> bool:
    """Whether a function does nothing: an untouched stub, whatever constant it returns."""
    code = getattr(function, "__code__", None)
    idle = {"RESUME", "RETURN_CONST", "LOAD_CONST", "RETURN_VALUE", "NOP", "COPY_FREE_VARS"}
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= idle


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


def size_of(value: Any) -> int:
    """How many numbers a case holds."""
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return value.numel() if isinstance(value, Tensor) else int(np.size(value))


def in_words(value: Any) -> str:
    """An argument: numbers as they are, of a large tensor its shape, of boxes also the first."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_words, value))}]"
    if not isinstance(value, Tensor | np.ndarray):
        return f"{round(value, 3):g}" if isinstance(value, float) else str(value)
    if value.ndim < 2:
        return in_words(value.tolist())
    shape = " x ".join(map(str, value.shape))
    boxes = value.ndim == 2 and value.shape[1] == 4 and len(value)
    boxes = boxes and bool((value[:, 2:] >= value[:, :2]).all())
    return f"{shape}, the first {in_words(value[0])}" if boxes else shape


def whole(numbers: Tensor) -> str:
    """All numbers of a small result, in one line."""
    return str(_rounded(numbers.tolist()))


def _rounded(values: Any) -> Any:
    return [_rounded(part) for part in values] if isinstance(values, list) else round(values, 4)


# --- An error -----------------------------------------------------------------------------------


def error_in_words(error: Exception, function: Any, arguments: Mapping[str, Any]) -> str:
    """What was raised, at which line of the learner's own, and the likely cause."""
    message = str(error).strip().rstrip(".").split("\n")[0]
    kind = f"{type(error).__name__}: {message}"
    frame, number = _own_frame(error, function)
    line = linecache.getline(frame.f_code.co_filename, number).strip() if frame else ""
    told = f"your function raised {kind}" + (f"\nat your line: {line}" if line else "")
    if frame is None and hasattr(function, "__code__") and "argument" not in message:
        told = f"what your function returned raised {kind}"
    cause = _meant(error, frame)
    for pattern, words in CAUSES if not cause else ():
        if re.search(pattern, message):
            lists = [name for name, it in arguments.items() if isinstance(it, list | tuple)]
            names = ", ".join(arguments)
            cause = words.format(names=names, lists=", ".join(lists) or "print its type")
            break
    return f"{told}\nProbably: {cause}" if cause else told


def raised_in(function: Any, error: Exception) -> bool:
    """Whether the function's own lines raised this error, not what they call."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code is getattr(function, "__code__", None)


def _own_frame(error: Exception, function: Any) -> tuple[Any, int]:
    """The innermost frame in the learner's own file (a notebook's cell is one), and its line."""
    code, found = getattr(function, "__code__", None), (None, 0)
    trace = error.__traceback__
    while trace is not None and code is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename:
            found = (trace.tb_frame, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _meant(error: Exception, frame: Any) -> str:
    """For a name that does not exist: the one that was probably meant."""
    name = getattr(error, "name", None)
    if not isinstance(error, NameError | AttributeError) or not name or frame is None:
        return ""
    if isinstance(error, UnboundLocalError):
        return ""
    own = isinstance(error, NameError)
    known = [*frame.f_locals, *frame.f_globals] if own else dir(error.obj)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if close:
        return f"did you mean `{close[0]}`?"
    return (
        f"`{name}` is nowhere defined; is a line, an import or a cell above missing?" if own else ""
    )


# --- Two results --------------------------------------------------------------------------------


def value_in_words(answer: Any, right: Any, *case: Any) -> str:
    """In what way one result is not the right one."""
    if answer is None:
        return NOTHING
    numbers, truth = as_numbers(answer), as_numbers(right)
    if numbers is None:
        several = f" of {len(answer)}" if isinstance(answer, list | tuple) else ""
        return f"your function returned a {type(answer).__name__}{several}, not numbers"
    if numbers.shape != truth.shape:
        return _shape_in_words(numbers, truth)
    gap = (numbers - truth).abs()
    worst = torch.nan_to_num(gap, nan=torch.inf).flatten().argmax()
    index = [int(i) for i in torch.unravel_index(worst, truth.shape)]
    at = f" at index {index}" if index else ""
    yours, expected = float(numbers.flatten()[worst]), float(truth.flatten()[worst])
    told = f"largest error{at}: yours {yours:.4f}, right {expected:.4f}"
    if 1 < truth.numel() <= WHOLE:
        told += f"\nyours {whole(numbers)}\nright {whole(truth)}"
    return told


def _shape_in_words(numbers: Tensor, truth: Tensor) -> str:
    told = f"the result has shape {list(numbers.shape)}, it should have {list(truth.shape)}"
    if numbers.numel() != truth.numel():
        return told
    if same(numbers.squeeze(), truth.squeeze()):
        return f"{told}. The numbers are right: only axes of length 1 differ"
    if numbers.ndim == truth.ndim <= 4:
        for axes in itertools.permutations(range(truth.ndim)):
            if same(numbers.permute(axes), truth):
                return f"{told}. The numbers are right: .permute{axes} brings the axes into order"
    if same(numbers.flatten(), truth.flatten()):
        return f"{told}. The numbers are right and in order: reshape them"
    return told


def relation(pairs: Sequence[tuple[Any, Any]]) -> str:
    """What every wrong result has to do with the right one; nothing if that cannot be said."""
    numbers = [(as_numbers(answer), as_numbers(right)) for answer, right in pairs]
    if any(a is None or b is None or a.shape != b.shape for a, b in numbers):
        return ""
    numbers = [(a, b) for a, b in numbers if a.numel()]
    if sum(a.numel() for a, _ in numbers) < 4:
        return ""
    tests: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
        ("is the right one with its last two axes exchanged", lambda b: b.mT if b.ndim > 1 else b),
        ("is the right one with its columns reversed", lambda b: b.flip(-1) if b.ndim else b),
        ("is the right one with its rows reversed", lambda b: b.flip(-2) if b.ndim > 1 else b),
        ("is the right one cut to whole numbers", torch.trunc),
        ("is the right one rounded to whole numbers", torch.round),
    )  # fmt: skip
    for words, change in tests:
        if all(same(a, change(b)) for a, b in numbers):
            return f"In every wrong case your result {words}."
    if all(a.ndim == 1 and same(a.sort().values, b.sort().values) for a, b in numbers):
        return "In every wrong case your result holds the right numbers in another order."
    return _scaled(numbers) or _shifted(numbers)


def _scaled(numbers: Sequence[tuple[Tensor, Tensor]]) -> str:
    """Whether all results are the right ones times a number."""
    factors = []
    for a, b in numbers:
        top = b.abs().flatten().argmax()
        factors.append(float(a.flatten()[top] / b.flatten()[top]))
        if not same(a, factors[-1] * b):
            return ""
    if max(factors) - min(factors) < TOLERANCE:
        return f"In every wrong case your result is {factors[0]:.4g} times the right one."
    if all(a.numel() > 3 for a, _ in numbers):
        some = ", ".join(f"{factor:.4g}" for factor in factors[:3])
        return (
            f"In each wrong case your result is the right one times one number ({some} ...): is a "
            "mean taken over something else, or a sum for a mean?"
        )
    return ""


def _shifted(numbers: Sequence[tuple[Tensor, Tensor]]) -> str:
    """Whether all results are the right ones and a number more."""
    gaps = torch.cat([(a - b).flatten() for a, b in numbers])
    close = torch.allclose(gaps, gaps[0].expand_as(gaps), rtol=TOLERANCE, atol=TOLERANCE)
    return f"In every wrong case your result is the right one {gaps[0]:+.4g}." if close else ""
