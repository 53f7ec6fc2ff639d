"""Interventions inside a network: channels of feature maps are replaced, and only what lies behind them is computed.

Behind the replaced channels, windows follow the same rules as behind a replaced block of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.baseline import run_cone, run_noting, run_whole
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.feature_maps import on_feature_maps
from CEM_Demo.inference.graph import Graph, Node, export_graph
from CEM_Demo.inference.incremental import BYTES_PER_STEP, TRACED_OTHERWISE
from CEM_Demo.inference.keeping import keep_for_layers
from CEM_Demo.inference.network_memory import Halving
from CEM_Demo.inference.operators import computed_whole, is_batchable
from CEM_Demo.inference.roi_graph import RoiGraph, graph_from_roi, kept_bytes, windows_behind
from CEM_Demo.inference.rules import Run
from CEM_Demo.inference.sites import Layer, Site, with_sites
from CEM_Demo.inference.window_steps import Steps, Values, compile_steps
from CEM_Demo.inference.windows import Window, Windows, no_windows, one_window, whole

# For each site, by its node's number, what stands there instead: 1 x C x h x w, or 1 x C x 1 x 1. Where the node is no
# feature map, rows and columns are those of its layout.
SiteValues = Mapping[int, Tensor]


@dataclass(frozen=True)
class Work:
    """What one intervention on a layer takes.

    Attributes:
        multiply_adds: of the part of the network behind the layer that the ROI depends on.
        whole: of the whole network on the whole image.
        bytes: of the layer's values in that part, for one image.
    """

    multiply_adds: float
    whole: float
    bytes: int


class FilterInference:
    """A network, one degraded image and one ROI, ready for interventions on the output channels of layers."""

    def __init__(
        self, net: nn.Module, degraded: UInt8Image, roi: ROI, device: torch.device, other: nn.Module | None = None
    ) -> None:
        """Take ``degraded``, H x W x 3 uint8 RGB, and ``roi`` in pixels of the output.

        Args:
            net: maps N x 3 x H x W in 0..1 to N x 3 x sH x sW.
            degraded: the network's input.
            roi: what is restored.
            device: where to compute.
            other: the same network with other weights, whose filters may take the place of the network's.

        Raises:
            InputError: torch.export cannot flatten the network, or ``other`` is of another architecture.
        """
        height, width = degraded.shape[:2]
        graphs = [_flattened(one, height, width, device) for one in (net, other) if one is not None]
        sited = with_sites(graphs[0], *graphs[1:])
        self.device = device
        roi_graph = graph_from_roi(sited.graph, Window(roi.top, roi.bottom, roi.left, roi.right))
        self.layers = tuple(_in_reach(roi_graph, layer) for layer in sited.layers)
        self.roi_graph = keep_for_layers(roi_graph, self.layers)
        self._net = net
        self._image = self._to_input(degraded)

    def _to_input(self, degraded: UInt8Image) -> Tensor:
        return to_unit_range(torch.from_numpy(degraded).to(self.device)).permute(2, 0, 1)[None]

    @cached_property
    def _baseline(self) -> tuple[Tensor, Values]:
        """The restored ROI, and what is kept of the untouched image."""
        roi, kept = self._run(self._image)
        with torch.inference_mode():
            expected = self._net(self._image)[(..., *self._roi_slices)]
        if (roi - expected).abs().max() > TRACED_OTHERWISE * max(1.0, float(expected.abs().max())):
            name = type(self._net).__name__
            raise InputError(f"torch.export does not trace {name} faithfully, so its filters cannot be replaced")
        return roi, kept

    @property
    def _roi_slices(self) -> tuple[slice, slice]:
        top, bottom, left, right = self.roi_graph.roi
        return slice(top, bottom), slice(left, right)

    def _run(self, image: Tensor) -> tuple[Tensor, Values]:
        """Restore the ROI of an image; give it, and what is kept of each node."""
        with torch.inference_mode():
            if self.roi_graph.is_local:
                return run_cone(self.roi_graph, image)
            output, kept = run_whole(self.roi_graph, image)
            return output[(..., *self._roi_slices)], kept

    def restored(self) -> Tensor:
        """Restore the ROI of the untouched image: 3 x h x w, on the device.

        Raises:
            InputError: the traced network gives another image than the network does.
        """
        return self._baseline[0][0]

    def own_values(self, sites: Sequence[Site]) -> SiteValues:
        """Give what the untouched image has at some sites, 1 x C x h x w in :meth:`window` of them."""
        return self._at_sites(self._baseline[1], sites)

    def values_of(self, degraded: UInt8Image) -> SiteValues:
        """Give what another image (H x W x 3 uint8, of the same size) has at all sites; see :meth:`own_values`."""
        return self._at_sites(self._run(self._to_input(degraded))[1], self.sites)

    def other_values(self, sites: Sequence[Site]) -> SiteValues:
        """Give what the other weights make of the untouched image at some sites; see :meth:`own_values`."""
        return self._at_sites(self._baseline[1], sites, place=1)

    def _at_sites(self, kept: Values, sites: Sequence[Site], place: int = 0) -> dict[int, Tensor]:
        # The node before a site keeps just the window that the site may replace.
        nodes = self.roi_graph.graph.nodes
        return {site.number: site.to_channels(kept[nodes[site.number].inputs[place]]) for site in sites}

    def gradients(self, loss: Callable[[Tensor], Tensor]) -> SiteValues:
        """Differentiate a number by what the untouched image has at all sites, in one backward pass.

        Args:
            loss: makes the number from the restored ROI, 3 x h x w.

        Returns:
            What :meth:`own_values` gives the values of.

        Raises:
            InputError: the network has no gradient.
        """
        noted: dict[int, Tensor] = {}
        sites = {site.number: site for site in self.sites}

        def note(number: int, value: Tensor) -> None:
            if number in sites:
                noted[number] = value

        with torch.enable_grad():
            image = self._image.clone().requires_grad_()
            roi = run_noting(self.roi_graph, image, note)
            if not roi.requires_grad:
                raise InputError(f"{type(self._net).__name__} has no gradient, so no effect is estimated from it")
            # Some values reach the ROI through nothing that has a gradient, such as a comparison.
            differentiable = [value for value in noted.values() if value.requires_grad]
            found = iter(torch.autograd.grad(loss(roi[0]), differentiable, materialize_grads=True))
            gradients = {
                number: next(found) if value.requires_grad else torch.zeros_like(value)
                for number, value in noted.items()
            }
        return {number: self._windowed(sites[number], gradient) for number, gradient in gradients.items()}

    def _windowed(self, site: Site, value: Tensor) -> Tensor:
        """Lay out what a site has, in its window; a network that has a rule for every operator computes that alone."""
        if site.layout is not None or self.roi_graph.is_local or not self.roi_graph.graph.nodes[site.number].is_map:
            return site.to_channels(value)
        height, width = self.size(site)
        return value[(..., *self.window(site).slices(Window(0, height, 0, width)))]

    @property
    def sites(self) -> list[Site]:
        """The sites of all layers."""
        return [site for layer in self.layers for site in layer.sites]

    def window(self, site: Site) -> Window:
        """Give the window of a site's channels on which the ROI depends: all of them where they are no feature maps."""
        if site.layout is None:
            return self.roi_graph.needed[site.number].box(0)
        height, width = self.size(site)
        return Window(0, height, 0, width)

    def size(self, site: Site) -> tuple[int, int]:
        """Give height and width of a site's channels."""
        return self.roi_graph.graph.nodes[site.number].size if site.layout is None else site.layout.size

    @property
    def bytes(self) -> int:
        """The memory for what is kept of the untouched image."""
        return kept_bytes(self.roi_graph)

    def work(self, layer: Layer) -> Work:
        """Count what an intervention on a layer takes; nothing is computed."""
        nodes, windows = self.roi_graph.graph.nodes, self._windows(layer.sites)
        of_nodes = zip(windows, nodes, self.roi_graph.multiply_adds, strict=True)
        count = sum(window.areas[0] * (work / math.prod(node.size)) for window, node, work in of_nodes)
        held = sum(self._bytes(site) for site in layer.sites)
        added = {number for site in self.sites for number in site.others}
        whole = sum(work for number, work in enumerate(self.roi_graph.multiply_adds) if number not in added)
        return Work(float(count), whole, held)

    def _bytes(self, site: Site) -> int:
        node = self.roi_graph.graph.nodes[site.number]
        assert node.shape is not None
        in_windows = site.layout is None and node.is_map
        return 4 * (node.shape[1] * math.prod(self.window(site).sides) if in_windows else math.prod(node.shape))

    def suffix(self, layers: Sequence[Layer]) -> Suffix:
        """Prepare interventions on filters of some layers, at all uses of them."""
        sites = [site for layer in layers for site in layer.sites]
        with torch.inference_mode():
            steps = compile_steps(self.roi_graph, self._baseline[1], self._windows(sites))
        most = self._most_at_once(steps)
        return Suffix(
            steps, self.roi_graph.graph, {site.number: site for site in sites}, most, Halving(self.device, most)
        )

    def _windows(self, sites: Sequence[Site]) -> list[Windows]:
        """Find the windows to compute when channels of some sites are replaced."""
        replaced = {site.number for site in sites}
        changed = {site.number: self._changed(site) for site in sites}
        # What the other weights would give matters at the replaced sites alone.
        idle = {number for site in self.sites if site.number not in replaced for number in site.others}
        windows = windows_behind(self.roi_graph, changed, 1)
        return [no_windows(1) if number in idle else window for number, window in enumerate(windows)]

    def _changed(self, site: Site) -> Windows:
        needed, node = self.roi_graph.needed[site.number], self.roi_graph.graph.nodes[site.number]
        return one_window(needed.box(0)) if site.layout is None else whole(node.size, 1)

    def _most_at_once(self, steps: Steps) -> int:
        graph, rules = self.roi_graph.graph, self.roi_graph.rules
        running = [step.number for step in steps.steps]
        if not all(rules[number] or is_batchable(*_with_inputs(graph, number)) for number in running):
            return 1
        return max(1, BYTES_PER_STEP[self.device.type] // max(1, steps.bytes))


@dataclass(frozen=True)
class Suffix:
    """The part of a network behind some layers that an ROI depends on.

    Attributes:
        most: how many interventions are restored at a time.
    """

    _steps: Steps
    _graph: Graph
    _sites: Mapping[int, Site]
    most: int
    _halving: Halving

    def restore(self, chosen: Mapping[int, Tensor], replacement: SiteValues | None) -> Tensor:
        """Restore the ROI for N interventions.

        Args:
            chosen: for each site by its number, N x filters bool, those that are replaced.
            replacement: what stands there instead; None for what the other weights make of the same input.

        Returns:
            N x 3 x h x w, on the device.
        """
        count = len(next(iter(chosen.values())))

        def restore_part(part: slice) -> Tensor:
            instead: dict[int, Run] = {}
            for number, mask in chosen.items():
                value = None if replacement is None else replacement[number]
                instead[number] = partial(_replaced, self._sites[number], mask[part], value)
            return self._steps.run([None] * len(self._graph.nodes), part.stop - part.start, instead)

        with torch.inference_mode():
            return torch.cat(self._halving(restore_part, count))


def _flattened(net: nn.Module, height: int, width: int, device: torch.device) -> Graph:
    """Export a network; where that makes it local, linear layers on lists of pixels count as those of feature maps."""
    graph = export_graph(net.to(device).eval(), height, width, device)
    followed = on_feature_maps(graph)
    # In a transformer they stay as they are, since heads of attention are found by what lies between.
    return graph if computed_whole(followed) else followed


def _in_reach(roi_graph: RoiGraph, layer: Layer) -> Layer:
    """Leave out the uses of a layer that the ROI does not depend on."""
    return replace(layer, sites=tuple(site for site in layer.sites if roi_graph.needed[site.number].filled.all()))


def _replaced(site: Site, mask: Tensor, replacement: Tensor | None, inputs: list[Tensor]) -> Tensor:
    channels = mask.repeat_interleave(site.deleted.shape[1] // mask.shape[1], dim=1)[..., None, None]
    instead = site.to_channels(inputs[1]) if replacement is None else replacement
    return site.to_value(torch.where(channels, instead, site.to_channels(inputs[0])))


def _with_inputs(graph: Graph, number: int) -> tuple[Node, list[Node]]:
    node = graph.nodes[number]
    return node, [graph.nodes[source] for source in node.inputs]
