"""The row of one map in the table: what the tests gave."""

from __future__ import annotations

from collections.abc import Sequence

from CEM_Demo.faithfulness.additivity import Additivity
from CEM_Demo.faithfulness.assessment import BLOCKS_IN_SENTENCE, Faithfulness, blocks_shown
from CEM_Demo.faithfulness.curves import GREEDY, MAP, NEAREST, RANDOM, Family
from CEM_Demo.faithfulness.randomization import Randomization
from CEM_Demo.faithfulness.reliability import SecondRun
from CEM_Demo.report.row_tables import NONE

ADDITIVITY_SIZE = 8  # of the row; the JSON has all sizes
SHOWN = (MAP, NEAREST, RANDOM, GREEDY)


def row(result: Faithfulness) -> dict[str, str]:
    """The cells of one map by their headers; where a map has fewer blocks than a header says, the number follows."""
    return {
        "origin (dB)": f"{result.origin:.2f}",
        "helping / hurting": f"{result.helping} / {result.hurting}",
        **_deletion(result),
        "area over nearest": _advantage(result.deletion, NEAREST),
        "area over random": _advantage(result.deletion, RANDOM),
        "SRG": _gain(result, MAP),
        "SRG of nearest": _gain(result, NEAREST),
        "insertion: over nearest": _advantage(result.insertion, NEAREST),
        "gain without what hurts": NONE if result.without_hurting is None else str(result.without_hurting),
        "what hurts: over nearest": _advantage(result.hurting_deletion, NEAREST),
        "what hurts: over random": _advantage(result.hurting_deletion, RANDOM),
        **_additivity(result.additivity),
        "reliability": _ratio(result.reliability.halves if result.reliability else None),
        **_second_run(result.second_run),
        **_randomization(result.randomization),
        "verdict": result.verdict,
    }


def _deletion(result: Faithfulness) -> dict[str, str]:
    curves = result.deletion.curves if result.deletion else {}
    count = blocks_shown(result.deletion) if result.deletion else BLOCKS_IN_SENTENCE
    fewer = "" if count == BLOCKS_IN_SENTENCE else f" ({count})"
    costs = {name: curves[name].at(count) if name in curves else None for name in dict.fromkeys([*SHOWN, *curves])}
    costs["sum of effects,"] = result.sum_of_best
    return {
        f"{name} {BLOCKS_IN_SENTENCE}": NONE if cost is None else f"{cost:.2f}{fewer}" for name, cost in costs.items()
    }


def _advantage(family: Family | None, name: str) -> str:
    return NONE if family is None else str(family.advantage(name))


def _gain(result: Faithfulness, name: str) -> str:
    return str(result.symmetric[name].gain) if name in result.symmetric else NONE


def _second_run(found: SecondRun | None) -> dict[str, str]:
    if found is None:
        return {}
    return {
        "second run differs in": ", ".join(key.removesuffix("_sha256") for key in found.differs),
        "second run: rank correlation": _ratio(found.correlation),
        "second run: same class": _ratio(found.same_class),
    }


def _randomization(found: Randomization | None) -> dict[str, str]:
    if found is None:
        return {}
    alone = {f"{name} alone": value for name, value in found.singly.items()}
    of_what = {**found.similarity, **alone, "skip path alone": found.skip}
    return {"new weights": ", ".join(f"{name} {_ratio(value)}" for name, value in of_what.items())}


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _additivity(found: Sequence[Additivity]) -> dict[str, str]:
    chosen = next((one for one in found if one.size == ADDITIVITY_SIZE), found[-1] if found else None)
    fewer = f" ({chosen.size})" if chosen and chosen.size != ADDITIVITY_SIZE else ""
    numbers: dict[str, float | None] = {
        "slope, squared error": chosen.ratio.slope if chosen else None,
        "slope, dB": chosen.decibels.slope if chosen else None,
        "Pearson, dB": chosen.decibels.pearson if chosen else None,
        "infidelity (dB)": chosen.decibels.infidelity if chosen else None,
    }
    return {name: NONE if number is None else f"{number:.3f}{fewer}" for name, number in numbers.items()}
