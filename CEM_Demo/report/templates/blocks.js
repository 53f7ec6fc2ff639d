// One block in all models of its ROI: its numbers, its draws, and the patches with which the ROI was best and worst.
const tip = control("tip");
const WIDE = 220, HIGH = 30, MARGIN = 6;

function intervalText(layer, index) {
  const [low, high] = layer.interval(index);
  return low === null || high === null ? "" : `[${signed(low, layer.kind.digits)}, ${signed(high, layer.kind.digits)}]`;
}

function describe(layer, index) {
  const ends = intervalText(layer, index), draws = layer.draws(index);
  const effect = `${effectText(layer.value(index), layer.kind)}${ends && " "}${ends}`;
  return draws === undefined ? `${effect}, ${layer.word(index)}` : `${effect}, ${draws} draws, ${layer.word(index)}`;
}

const placeOf = (grid, index) => `row ${Math.floor(index / grid.columns)}, column ${index % grid.columns}`;

function element(name, words, parts = []) {
  const made = document.createElement(name);
  if (words) made.className = words;
  made.append(...parts);
  return made;
}

function picture(words, label, box) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ class: words, role: "img", "aria-label": label, viewBox: box })) svg.setAttribute(key, value);
  return svg;
}

// The draws as dots on an axis that all models share; mean and interval in the color of the text.
function stripPicture(strip, mean, kind, [least, most]) {
  const place = (value) => MARGIN + (value - least) / ((most - least) || 1) * (WIDE - 2 * MARGIN);
  const label = `${strip.values.length} draws from ${effectText(strip.least, kind)} to ${effectText(strip.most, kind)}`;
  const svg = picture("strip", label, `0 0 ${WIDE} ${HIGH}`);
  add(svg, "path", { class: "zero", d: `M${place(0)} 0V${HIGH}` });
  strip.values.forEach((value, number) => add(svg, "circle", {
    // A fixed spread, so that dots of equal draws lie beside each other.
    cx: place(value), cy: HIGH / 2 + 8 * Math.sin(2.4 * number), r: 2, fill: colourOf(value, boundOf(kind)),
  }));
  const ends = strip.low === null || strip.high === null ? "" : `M${place(strip.low)} ${HIGH / 2}H${place(strip.high)}`;
  add(svg, "path", { class: "mean", d: `${ends}M${place(mean)} 3V${HIGH - 3}` });
  return svg;
}

function patchFigure(number, words, effect, kind) {
  const { side, columns } = control("patches").dataset;
  const [x, y] = [number % columns * side, Math.floor(number / columns) * side];
  const lost = effectText(-effect, kind);
  const svg = picture("patch", `patch with which the ROI is ${words}`, `${x} ${y} ${side} ${side}`);
  add(svg, "use", { href: "#patches" });
  return element("figure", "", [svg, element("figcaption", "", [`${words} patch: ${lost}`])]);
}

function showDraws(map, index, layer, ends) {
  const box = map.article.querySelector(".draws"), strip = layer?.strip(index);
  if (!strip) {
    box.replaceChildren();
    return;
  }
  const { kind } = layer;
  const words = `${strip.share} % of ${strip.values.length} draws have the sign of their mean; axis from ${effectText(ends[0], kind)} to ${effectText(ends[1], kind)}`;
  const parts = [stripPicture(strip, layer.value(index), kind, ends), element("p", "faint", [words])];
  if (strip.best >= 0) {
    const patches = [patchFigure(strip.best, "best", strip.least, kind), patchFigure(strip.worst, "worst", strip.most, kind)];
    parts.push(element("div", "patches", patches));
  }
  box.replaceChildren(...parts);
}

// From the lowest to the highest draw of all models, and zero.
function axisOf(layers, index) {
  const strips = layers.map((layer) => layer?.strip(index)).filter(Boolean);
  return [Math.min(0, ...strips.map((strip) => strip.least)), Math.max(0, ...strips.map((strip) => strip.most))];
}

function choose(card, index) {
  const layers = new Map(gridsOf(card).map((grid) => [grid, layerOf(grid)]));
  const ends = axisOf([...layers.values()], index);
  for (const [grid, layer] of layers) {
    const cursor = grid.svg.querySelector(".cursor");
    ["x", "y", "width", "height"].forEach((key, number) => cursor.setAttribute(key, boxOf(grid, index)[number]));
    cursor.style.visibility = "visible";
    grid.readout.textContent = `${placeOf(grid, index)}: ${layer ? describe(layer, index) : "no such map"}`;
    if (grid.article.querySelector(".draws")) showDraws(grid, index, layer, ends);
  }
  card.dataset.index = index;
}

function forget(card) {
  for (const grid of gridsOf(card)) {
    grid.svg.querySelector(".cursor").style.visibility = "hidden";
    grid.readout.textContent = "no block chosen";
    grid.article.querySelector(".draws")?.replaceChildren();
  }
  delete card.dataset.index;
}

function blockAt(grid, event) {
  const box = grid.svg.getBoundingClientRect(), area = grid.svg.viewBox.baseVal;
  const x = area.x + (event.clientX - box.left) / box.width * area.width;
  const y = area.y + (event.clientY - box.top) / box.height * area.height;
  const [row, column] = [Math.floor(y / grid.side), Math.floor(x / grid.side)];
  const inside = row >= 0 && column >= 0 && row < grid.rows && column < grid.columns;
  return inside ? row * grid.columns + column : undefined;
}

function showTip(grid, index, event) {
  const layer = layerOf(grid), draws = layer?.draws(index);
  if (!layer) return;
  const place = `${placeOf(grid, index)}${layer.word(index) === "ROI" ? " (ROI)" : ""}`;
  const count = draws === undefined ? "" : `, ${draws} interventions`;
  tip.textContent = `${place}: ${effectText(layer.value(index), layer.kind, 1)}${count}`;
  tip.style.display = "block";
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4)}px`;
  tip.style.top = `${event.clientY + 18}px`;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function walk(grid, [down, across]) {
  const index = Number(grid.card.dataset.index ?? 0);
  const row = Math.min(Math.max(Math.floor(index / grid.columns) + down, 0), grid.rows - 1);
  const column = Math.min(Math.max(index % grid.columns + across, 0), grid.columns - 1);
  grid.card.dataset.pinned = "yes";
  choose(grid.card, row * grid.columns + column);
  tip.textContent = grid.readout.textContent;
}

for (const grid of grids) {
  const { card } = grid;
  const isPinned = () => card.dataset.pinned === "yes";
  grid.svg.addEventListener("pointermove", (event) => {
    const index = blockAt(grid, event);
    if (index === undefined) return;
    showTip(grid, index, event);
    if (!isPinned() && card.dataset.index !== String(index)) choose(card, index);
  });
  grid.svg.addEventListener("pointerleave", () => {
    tip.style.display = "none";
    if (!isPinned()) forget(card);
  });
  grid.svg.addEventListener("click", (event) => {
    const index = blockAt(grid, event);
    if (index === undefined) return;
    card.dataset.pinned = isPinned() && card.dataset.index === String(index) ? "" : "yes";
    choose(card, index);
  });
  grid.svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { card.dataset.pinned = ""; forget(card); }
    if (!STEPS[event.key]) return;
    event.preventDefault();
    walk(grid, STEPS[event.key]);
  });
}
