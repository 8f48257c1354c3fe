"""Notebook 11: the explorer shows every stage of every object."""

from mrcnn_lite.lessons.n11_whole_network.explorer import STAGES, explore_journey


def test_the_journey_shows_every_stage_and_object():
    first = explore_journey()
    seen = [explore_journey().set(stage=stage) for stage in range(1, len(STAGES) + 1)]
    assert len({view.png for view in seen}) == len(STAGES)
    assert [view.text.splitlines()[0].split(": ")[1] for view in seen] == [
        f"{name}, object 1" for name in STAGES
    ]
    for stage in (1, 4, 5, 6):
        one, two = (explore_journey().set(stage=stage, object=k) for k in (1, 2))
        assert one.png != two.png and one.text != two.text
    assert first.png == seen[0].png
