// Blocks, hatching, outlines and windows of maps.
function boxOf(grid, index) {
  const [row, column] = [Math.floor(index / grid.columns), index % grid.columns];
  return [
    column * grid.side, row * grid.side,
    Math.min(grid.side, grid.width - column * grid.side), Math.min(grid.side, grid.height - row * grid.side),
  ];
}

function add(group, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  group.append(element);
  return element;
}

function forBlocks(layer, work) {
  for (let index = 0; index < layer.count; index += 1) if (layer.coloured(index)) work(index);
}

const isWanted = {
  published: () => true,
  weighty: (code) => code !== NEGLIGIBLE,
  certified: (code) => code === HURTS || code === HELPS,
};

function drawBlocks(grid, layer) {
  const group = grid.svg.querySelector(".blocks");
  group.replaceChildren();
  if (!layer) return;
  const bound = boundOf(layer.kind), wanted = isWanted[control("classes").value];
  forBlocks(layer, (index) => {
    if (!wanted(layer.code(index))) return;
    const [x, y, width, height] = boxOf(grid, index);
    add(group, "rect", { x, y, width, height, fill: colourOf(layer.value(index), bound), "shape-rendering": "crispEdges" });
    if (layer.hatched(index)) add(group, "path", { class: "hatch", d: `M${x} ${y + height}L${x + width} ${y}` });
  });
}

// Blocks that can change the ROI: of a map, by its network; of a difference, by either.
function reachOf(grid) {
  const models = isMap(grid) ? [grid] : chosenPair().map((number) => mapsOf(grid.card)[number]);
  return (index) => models.some((map) => map && codesOf(map)[index] != OUT_OF_REACH);
}

function outlineOf(grid) {
  const reached = reachOf(grid), lines = [];
  const inside = (row, column) => row >= 0 && row < grid.rows && column >= 0 && column < grid.columns && reached(row * grid.columns + column);
  for (let row = 0; row < grid.rows; row += 1) {
    for (let column = 0; column < grid.columns; column += 1) {
      if (!inside(row, column)) continue;
      const [x, y, width, height] = boxOf(grid, row * grid.columns + column);
      if (!inside(row - 1, column)) lines.push(`M${x} ${y}h${width}`);
      if (!inside(row + 1, column)) lines.push(`M${x} ${y + height}h${width}`);
      if (!inside(row, column - 1)) lines.push(`M${x} ${y}v${height}`);
      if (!inside(row, column + 1)) lines.push(`M${x + width} ${y}v${height}`);
    }
  }
  return lines.join("");
}

// The chosen blocks of all models of an ROI, the ROI, and one block around.
function windowOf(card, isInside) {
  const edges = [Infinity, Infinity, -Infinity, -Infinity];
  const grow = (left, top, right, bottom) => {
    edges[0] = Math.min(edges[0], left); edges[1] = Math.min(edges[1], top);
    edges[2] = Math.max(edges[2], right); edges[3] = Math.max(edges[3], bottom);
  };
  const own = mapsOf(card);
  for (const map of own) {
    const roi = map.svg.querySelector(".roi");
    const [x, y, across, down] = ["x", "y", "width", "height"].map((name) => Number(roi.getAttribute(name)));
    grow(x, y, x + across, y + down);
    for (let index = 0; index < codesOf(map).length; index += 1) {
      if (!isInside(map, index)) continue;
      const [left, top, width, height] = boxOf(map, index);
      grow(left, top, left + width, top + height);
    }
  }
  const { side, width, height } = own[0];
  const [left, top] = [Math.max(edges[0] - side, 0), Math.max(edges[1] - side, 0)];
  return [left, top, Math.min(edges[2] + side, width) - left, Math.min(edges[3] + side, height) - top];
}

const WINDOWS = {
  whole: (card) => [0, 0, mapsOf(card)[0].width, mapsOf(card)[0].height],
  zoom: (card) => windowOf(card, (map, index) => effectLayer(map, KINDS[0]).coloured(index)),
  reach: (card) => windowOf(card, (map, index) => codesOf(map)[index] != OUT_OF_REACH),
};

// How many blocks help which of two models more.
function countDifference(grid, layer) {
  const counts = [0, 0, 0];
  if (layer) forBlocks(layer, (index) => { counts[layer.hatched(index) ? 2 : layer.value(index) > 0 ? 0 : 1] += 1; });
  const [first, second, open] = counts;
  grid.article.querySelector(".count").textContent = layer
    ? `${pairText()}: ${first} blocks help the first more, ${second} the second, ${open} are undecided.`
    : "This pair was not compared: of so many models, only the first is compared with each other one.";
}

function drawGrid(grid, box) {
  const layer = layerOf(grid), under = control("under").value, model = grid.svg.dataset.model;
  const photo = `${grid.svg.dataset.photo}-${under}`;
  const wanted = under !== "restored" ? photo : model === "0" ? `${grid.svg.dataset.photo}-truth` : `${photo}-${model}`;
  grid.svg.querySelector(".under").setAttribute("href", `#${wanted}`);
  grid.svg.setAttribute("viewBox", box.join(" "));
  grid.svg.classList.toggle("unsigned", Boolean(layer && !layer.kind.signed));
  grid.svg.querySelector(".reach").setAttribute("d", control("outline").checked ? outlineOf(grid) : "");
  drawBlocks(grid, layer);
  grid.article.querySelectorAll(".unit").forEach((unit) => { unit.textContent = layer?.kind.unit ? `(${layer.kind.unit})` : ""; });
  if (!isMap(grid)) countDifference(grid, layer);
  fillTable(grid, layer);
}

// Only what is near the window is drawn; the rest follows when it comes near.
const stale = new Set();
function drawCards(chosen) {
  for (const card of chosen) {
    stale.delete(card);
    const box = WINDOWS[control("window").value](card);
    for (const grid of gridsOf(card)) drawGrid(grid, box);
    if (card.dataset.index) choose(card, Number(card.dataset.index));
  }
}

function isNear(card) {
  const box = card.getBoundingClientRect();
  return box.bottom > -innerHeight && box.top < 2 * innerHeight;
}

const drawNear = () => drawCards([...stale].filter(isNear));

function draw() {
  cards.forEach((card) => stale.add(card));
  drawNear();
}
