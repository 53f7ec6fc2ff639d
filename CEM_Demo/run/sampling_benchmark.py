"""What draws that know when to stop save: ``python -m CEM_Demo.run.sampling_benchmark POPULATION.npz ...``.

Replays the published rule (coarse and fine draws) and the adaptive one on recorded draws and prints Markdown tables:
the passes and errors of both, and how many times fewer passes the adaptive rule takes for the published rule's error.
A population is a ``.npz`` with the arrays

    effects    rows x columns x M, dB: the effect of M patches on every block
    patches    M, the indices of the patches in the bank
    colors     N x 3, the mean red, green and blue of the bank's patches
    reached    rows x columns, bool: the blocks that can change the ROI
    roi        rows x columns, bool: the blocks that overlap the ROI
    predicted  rows x columns, dB: the deviations that the gradient predicts; without it, nothing is screened
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from CEM_Demo.command_line import exit_code
from CEM_Demo.errors import InputError
from CEM_Demo.files import reading
from CEM_Demo.method.allocation import PRECISIONS, Rule
from CEM_Demo.method.replay import Population, Scores, error_at_passes, passes_at_error, replay_rules

COARSE_NUM, FINE_NUM = 3, 50
SWEEP = {"c = 2": 2.0, "c = 4": 4.0, **PRECISIONS, "c = 64": 64.0}
ERRORS = {"rmse": "RMSE", "wrong_class": "class", "pie": "pie"}
PASSES = {"whole": "whole image", "outside": "outside the ROI", "reached": "in reach, outside the ROI"}
BOUNDS = {"": "", "<=": ">= ", ">": "< "}  # of passes, and of how many times fewer they are
NEEDED = ("effects", "patches", "colors", "reached", "roi")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and return the exit code; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("populations", nargs="+", type=Path, metavar="POPULATION.npz")
    parser.add_argument("--tol", type=float, default=0.01, help="dB, least effect that counts (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=50, help="runs of each rule (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first repetition (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    return exit_code(lambda: print_tables(chosen.populations, chosen.tol, chosen.repetitions, chosen.seed))


def print_tables(paths: Sequence[Path], tol: float, repetitions: int, seed: int) -> None:
    """Print for each population what both rules spend and miss, and what the adaptive one saves.

    Raises:
        InputError: a file holds no population.
    """
    for path in paths:
        population = read_population(path)
        rules = [Rule(tol, constant) for constant in SWEEP.values()]
        published, adaptive = replay_rules(population, rules, COARSE_NUM, FINE_NUM, repetitions, seed)
        truth = population.effects.mean(axis=-1)[~population.roi]
        matter = f"{int((abs(truth) >= tol).sum())} of {truth.size} blocks outside the ROI matter"
        print(f"\n{path.name}: {population.effects.shape[-1]} patches, {matter}\n")
        print(_line(["rule", *PASSES.values(), "RMSE (dB)", "class (%)", "sign (%)", "pie (points)", "covered (%)"]))
        print(_line(["---"] * 9))
        for name, scores in zip(["published", *SWEEP], [published, *adaptive], strict=True):
            print(_line([name, *_cells(scores)]))
        print("\nAdaptive draws at the published rule's error: how many times fewer passes")
        print("At its passes in reach: the error, as a share of its own\n")
        print(_line(["", *ERRORS.values()]), _line(["---"] * 4), sep="\n")
        for kind, name in PASSES.items():
            print(_line([f"fewer passes, {name}", *(_saved(published, adaptive, kind, error) for error in ERRORS)]))
        print(_line(["error at equal passes", *(_share(published, adaptive, error) for error in ERRORS)]), flush=True)


def read_population(path: Path) -> Population:
    """Read recorded draws.

    Raises:
        InputError: the file is no ``.npz``, lacks an array, or holds arrays that do not fit each other.
    """
    try:
        with reading(path), np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except InputError:
        raise
    except Exception as error:  # the readers of archives raise whatever the broken bytes make fail
        raise InputError(f"{path}: is no .npz of recorded draws ({type(error).__name__}: {error})") from error
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise InputError(f"{path}: has no array `{missing[0]}`; it needs {', '.join(NEEDED)}")
    effects = arrays["effects"]
    maps = [arrays[name].shape for name in ("reached", "roi", "predicted") if name in arrays]
    if effects.ndim != 3 or any(shape != effects.shape[:2] for shape in maps):
        raise InputError(f"{path}: `effects` is {effects.shape}, not rows x columns x patches like its maps {maps}")
    if arrays["patches"].shape != effects.shape[2:]:
        raise InputError(f"{path}: `effects` has {effects.shape[2]} patches, `patches` names {arrays['patches'].size}")
    colors = arrays["colors"][arrays["patches"]]
    return Population(effects, colors, arrays["reached"], arrays["roi"], arrays.get("predicted"))


def _cells(scores: Scores) -> list[str]:
    passes = [f"{getattr(scores, kind):,.0f}" for kind in PASSES]
    shares = (scores.wrong_class, scores.wrong_sign, scores.pie)
    return [*passes, f"{scores.rmse:.4f}", *(f"{share:.2f}" for share in shares), f"{scores.coverage:.1f}"]


def _saved(published: Scores, adaptive: Sequence[Scores], kind: str, error: str) -> str:
    """Say how many times fewer passes reach the published rule's error; with a sign where the sweep ends before."""
    spent, errors = ([getattr(scores, name) for scores in adaptive] for name in (kind, error))
    passes, bound = passes_at_error(spent, errors, getattr(published, error))
    return f"{BOUNDS[bound]}{getattr(published, kind) / passes:.1f}"


def _share(published: Scores, adaptive: Sequence[Scores], error: str) -> str:
    spent, errors = ([getattr(scores, name) for scores in adaptive] for name in ("reached", error))
    at_equal = error_at_passes(spent, errors, published.reached)
    own = getattr(published, error)
    return f"{at_equal / own:.2f}" if own else f"{at_equal:.3g} against 0"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
