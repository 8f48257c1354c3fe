"""What `check` says of answers that no exercise foresaw."""

import math

import pytest
import torch
from torch import Tensor

from mrcnn_lite.lessons.kit import check, failing
from mrcnn_lite.lessons.kit.exercise import FaultGrader, FunctionGrader, Mistake, find
from mrcnn_lite.lessons.kit.feedback import in_words, is_empty, relation, value_in_words


def cases():
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((3, 4), (2, 3), (4, 5)):
        yield torch.randn(rows, columns, generator=generator), [1.0, 2.0], 2


GRADER = FunctionGrader(lambda maps, box, size: maps * size, cases, (), "all {n} are right.")


def said(function):
    verdict = GRADER(function)
    assert not verdict.passed
    return verdict.message


# --- Errors -------------------------------------------------------------------------------------


def no_numbers(maps, box, size):
    return box * 0.5


def misspelt(maps, box, size):
    return mpas * size  # noqa: F821


def unknown(maps, box, size):
    return cv2.resize(maps)  # noqa: F821


def attribute(maps, box, size):
    return maps.reshpae(-1)


def two_arguments(maps, box):
    return maps


def shapes(maps, box, size):
    return maps + torch.ones(7, 7)


def fraction_as_index(maps, box, size):
    return maps[size / 2]


def choice_of_many(maps, box, size):
    return maps if maps > 0 else -maps


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (no_numbers, "a plain list does no arithmetic (box)"),
        (misspelt, "did you mean `maps`?"),
        (unknown, "`cv2` is nowhere defined"),
        (attribute, "did you mean `reshape`?"),
        (two_arguments, "`check` calls your function with (maps, box, size)"),
        (shapes, "two shapes do not go together"),
        (fraction_as_index, "an index must be a whole number"),
        (choice_of_many, "`if` wants one yes or no"),
    ],
)
def test_an_error_is_told_as_an_error_with_its_likely_cause(function, cause):
    words = said(function)
    assert words.startswith("Not right yet: 0 of 3 cases are right. 3 raise an error.")
    assert f"Probably: {cause}" in words
    own_line = "at your line: return" in words
    assert own_line or function is two_arguments


def test_what_the_grader_refuses_is_not_called_an_error_of_the_function():
    def no_graph(mask_logits, targets, labels):
        return torch.tensor(0.5)

    words = find("09-mask-loss").grade(no_graph).message
    assert "what your function returned raised ValueError: a loss without gradient" in words
    assert "your function raised" not in words


def test_a_mistake_is_not_guessed_from_errors_alone():
    def raises(maps, box, size):
        raise KeyError

    mistakes = (Mistake("any error", raises),)
    words = FunctionGrader(GRADER.right, cases, mistakes, "")(no_numbers).message
    assert "any error" not in words and "plain list" in words


# --- A missing return ---------------------------------------------------------------------------


def test_a_missing_return_is_no_stub():
    def forgot(maps, box, size):
        maps * size

    def empty(maps, box, size):
        """Yours."""

    def constant(maps, box, size):
        return None

    assert "your function returned None. Is a `return` missing" in said(forgot)
    assert is_empty(empty) and is_empty(constant) and not is_empty(forgot)
    for stub in (empty, constant):
        assert said(stub).startswith("Not yet")


def test_a_missing_return_is_told_by_faults_too():
    def fault(function, maps):
        if function(maps) is None:
            raise NotImplementedError
        return "wrong."

    grader = FaultGrader(fault, lambda: [(torch.ones(2),)], lambda maps: "a case", "fine")

    def forgot(maps):
        maps.sum()

    assert "Is a `return` missing" in grader(forgot).message
    assert grader(lambda maps: None).message.startswith("Not yet")
    assert "nowhere defined" in grader(lambda maps: nothing_such + 1).message  # noqa: F821


# --- What two results have in common ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda right: 4 * right, "is 4 times the right one"),
        (lambda right: -right, "is -1 times the right one"),
        (lambda right: right / right.shape[0], "times one number (0.3333, 0.5, 0.25 ...)"),
        (lambda right: right + 0.5, "the right one +0.5"),
        (lambda right: right.flip(0), "its rows reversed"),
        (lambda right: right.flip(1), "its columns reversed"),
        (lambda right: right.trunc(), "cut to whole numbers"),
        (lambda right: right.long(), "cut to whole numbers"),
        (lambda right: right.mT, "the numbers are right: .permute(1, 0)"),
        (lambda right: right[None], "only axes of length 1 differ"),
        (lambda right: right.flatten(), "in order: reshape them"),
        (lambda right: (right, right), "a tuple of 2, not numbers"),
    ],
)
def test_what_a_wrong_result_has_to_do_with_the_right_one(change, words):
    assert words.lower() in said(lambda maps, box, size: change(maps * size)).lower()


def test_nothing_is_said_of_what_has_nothing_in_common():
    random = torch.Generator().manual_seed(1)
    other = [(torch.randn(3, 3, generator=random), case[0][:3, :3]) for case in cases()]
    assert relation(other) == ""
    assert relation([(torch.tensor(2.0), torch.tensor(1.0))]) == "", "of one number: chance"


def test_squares_and_orders():
    square = torch.arange(9.0).view(3, 3)
    assert "last two axes exchanged" in relation([(square.mT, square)])
    row = torch.arange(5.0)
    assert "in another order" in relation([(row[[3, 1, 0, 4, 2]], row)])


# --- The case -----------------------------------------------------------------------------------


def test_the_smallest_case_that_fails_is_told_whole():
    words = said(lambda maps, box, size: maps * size + (len(maps) < 4) * torch.randn(maps.shape))
    assert "1 of 3 cases are right" in words
    assert "Smallest wrong case: maps 2 x 3, box [1, 2], size 2;" in words
    right = [[round(v, 4) for v in row] for row in (2 * list(cases())[1][0]).tolist()]
    assert f"right {right}" in words


def test_nan_is_the_largest_error():
    assert "yours nan, right 1.0000" in value_in_words(torch.tensor([0.0, math.nan]), torch.ones(2))


def test_boxes_are_told_by_the_first_and_maps_of_four_columns_are_not():
    assert in_words(torch.tensor([[0.0, 1, 2, 3]])) == "1 x 4, the first [0, 1, 2, 3]"
    assert in_words(torch.tensor([[3.0, 1, 2, 0]])) == "1 x 4"


def test_the_reader_gets_the_case(capsys):
    with pytest.raises(ValueError, match="no case of '12-flip' has failed"):
        failing("12-flip")
    check("03-bilinear", lambda features, y, x: features[0, 0])
    assert 'failing("03-bilinear")' in capsys.readouterr().out
    features, y, x = failing("03-bilinear")
    assert isinstance(features, Tensor) and isinstance(y, float) and isinstance(x, float)
