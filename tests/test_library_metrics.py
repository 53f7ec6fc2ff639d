"""Metrics of lpips and pyiqa measure as these libraries do, from files that are there; nothing is fetched."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

from CEM_Demo.config.metric_sources import parse_metrics
from CEM_Demo.errors import InputError
from CEM_Demo.method.metric import Metric
from CEM_Demo.method.metric_maps import effect_maps
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.metrics import load_metrics
from CEM_Demo.run.preparation import prepare
from conftest import make_config


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of the smallest network that LPIPS knows; random ones will do."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeeze.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where PyTorch keeps what was fetched; it is empty, and the network is out of reach."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("went to the network"))
    return tmp_path / "home" / "hub" / "checkpoints"


def load(given: Any) -> Metric:
    ((metric,), _) = load_metrics(parse_metrics([given]))
    return metric


def pair(count: int = 3, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Restored images in 0..1, of 8-bit values, and one ground truth, uint8."""
    random = np.random.RandomState(0)
    truth = torch.from_numpy(random.randint(0, 256, (3, side, side)).astype(np.uint8))
    images = torch.from_numpy(random.randint(0, 256, (count, 3, side, side)).astype(np.float32)) / 255
    return images, truth


def test_lpips_is_what_the_library_measures(backbone: Path, home: Path) -> None:
    lpips = pytest.importorskip("lpips", reason="lpips is not installed")
    metric = load({"name": "lpips", "weights": str(backbone)})
    assert (metric.name, metric.unit, metric.higher_is_better, metric.margin) == ("lpips", "", False, 0)
    home.mkdir(parents=True)
    shutil.copy(backbone, home / Path(SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name)
    images, truth = pair()
    with torch.inference_mode():
        own = lpips.LPIPS(net="squeeze", verbose=False)(images, truth[None] / 255, normalize=True)
    np.testing.assert_allclose(metric.measure(images, truth), own.flatten().numpy(), rtol=1e-5)
    assert metric.measure(truth[None] / 255, truth)[0] == 0


def test_a_missing_file_is_named_and_not_fetched(home: Path) -> None:
    pytest.importorskip("lpips", reason="lpips is not installed")
    with pytest.raises(InputError, match=f"metrics: lpips: there is no file {home}/alexnet.*; fetch https://.*alexnet"):
        load("lpips")
    with pytest.raises(InputError, match="metrics: lpips: there is no file my_weights.pth"):
        load({"name": "lpips", "weights": "my_weights.pth"})


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lpips", reason="lpips is not installed")
    torch.save({"body.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth holds none of the networks that LPIPS knows: AlexNet"):
        load({"name": "lpips", "weights": str(tmp_path / "other.pth")})


def test_a_run_measures_lpips_and_remembers_its_weights(
    backbone: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    pytest.importorskip("lpips", reason="lpips is not installed")
    named = ["psnr", {"name": "lpips", "weights": str(backbone)}]
    config = make_config(tmp_path, settings, metrics=named, w=4, h=4, ROI_size=24)
    compute_effects(prepare(config))
    (roi,) = config.rois_of("photo_1.png")
    stored = read_results(result_paths(config, "Tiny", "photo_1.png", roi))
    assert stored.manifest is not None
    measured = stored.manifest.metrics["lpips"]
    assert (measured.unit, measured.higher_is_better) == ("", False) and measured.origin > 0
    maps = effect_maps(stored.origin, stored.rounds, stored.manifest.metrics, 0.0, np.zeros((4, 5), bool))
    losses = stored.rounds["lpips coarse"].values.mean(axis=2) - measured.origin  # of a distance: more of it is worse
    coarse_only = stored.rounds["lpips fine"].counts == 0
    np.testing.assert_allclose(maps["lpips"].effects[coarse_only], losses[coarse_only], atol=1e-12)
    other = torch.load(backbone, weights_only=True)
    other["features.0.bias"] += 1
    torch.save(other, tmp_path / "other.pth")
    named[1] = {"name": "lpips", "weights": str(tmp_path / "other.pth")}
    with pytest.raises(InputError, match="weights was .*, is now"):
        compute_effects(prepare(make_config(tmp_path, settings, metrics=named, w=4, h=4, ROI_size=24, load_previous=1)))


def test_any_full_reference_metric_of_pyiqa_is_measured(home: Path) -> None:
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    images, truth = pair()
    truths = truth[None].repeat(3, 1, 1, 1) / 255
    for label in ("gmsd", "ssim"):
        own, metric = pyiqa.create_metric(label, device=torch.device("cpu")), load(f"pyiqa:{label}")
        assert metric.name == f"pyiqa_{label}" and metric.higher_is_better is not own.lower_better
        np.testing.assert_allclose(metric.measure(images, truth), own(images, truths).flatten().numpy(), rtol=1e-5)
    assert load("pyiqa:ssim").higher_is_better and not load("pyiqa:gmsd").higher_is_better


def test_what_pyiqa_would_fetch_is_named(home: Path) -> None:
    pytest.importorskip("pyiqa", reason="pyiqa is not installed")
    with pytest.raises(InputError, match="metrics: pyiqa:dists: there is no file .*vgg16.*pth; fetch https://"):
        load("pyiqa:dists")
    with pytest.raises(InputError, match="metrics: pyiqa:lpips: there is no file .*pth; fetch https://"):
        load("pyiqa:lpips")
    with pytest.raises(InputError, match="pyiqa:dist: .*no full-reference metric of this name; did you mean dists"):
        load("pyiqa:dist")
    with pytest.raises(InputError, match="pyiqa:musiq: .*no full-reference metric of this name"):
        load("pyiqa:musiq")
    images, truth = pair(side=16)
    with pytest.raises(InputError, match="metrics: pyiqa:ms_ssim: "):
        load("pyiqa:ms_ssim").measure(images, truth)


@pytest.mark.parametrize("name", ["lpips", "pyiqa:gmsd"])
def test_a_library_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = name.partition(":")[0]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=f"metrics: {name}: the library is not there .*pip install {library}"):
        load(name)


def test_a_metric_that_draws_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    code = "import torch\n\ndef luck(restored, truth):\n    return torch.rand(len(restored))\n"
    (tmp_path / "my_metric.py").write_text(f"{code}\nluck.higher_is_better = True\n")
    with pytest.raises(InputError, match="metrics: luck measures the same images differently each time"):
        prepare(make_config(tmp_path, settings, metrics=[f"{tmp_path / 'my_metric.py'}:luck"]))


def test_names_of_metrics_of_pyiqa_are_names_that_files_may_have() -> None:
    names = [source.name for source in parse_metrics(["pyiqa:lpips-vgg", "pyiqa:lpips+", "pyiqa:topiq_fr-pipal"])]
    assert names == ["pyiqa_lpips_vgg", "pyiqa_lpips_plus", "pyiqa_topiq_fr_pipal"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("pyiqa:", "names no metric of pyiqa"),
        ({"name": "lpips"}, "write {name: lpips, weights: alexnet.pth}, or a name"),
        ({"name": "ssim", "weights": "a.pth"}, "write {name: lpips"),
        ({"name": "lpips", "weights": 3}, "write {name: lpips"),
        ("my.py:lpips", "lpips is built in"),
    ],
    ids=str,
)
def test_mistaken_names_are_named(given: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match="is no metric|no metric of|built in") as found:
        parse_metrics([given])
    assert complaint in str(found.value)
