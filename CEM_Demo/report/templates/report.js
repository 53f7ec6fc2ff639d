"use strict";
const SVG = "http://www.w3.org/2000/svg";
const CLASSES = { "-1": "hurts", 0: "negligible", 1: "helps", 2: "undecided", 3: "not tested", 4: "out of reach", 5: "ROI" };
const UNDECIDED = 2, ROI = 5;
const { table, gamma } = JSON.parse(document.body.dataset.colours);
const tip = document.getElementById("tip");
const control = (name) => document.getElementById(name);

// The published scale: effects in dB, saturated at the bound, to one of the colors of the table.
function colourOf(effect, bound) {
  const share = Math.min(Math.abs(effect) / bound, 1) ** gamma;
  const place = Math.floor((Math.sign(effect) * share + 1) / 2 * table.length);
  return table[Math.min(place, table.length - 1)];
}

const signed = (number, digits) => (number > 0 ? "+" : "") + number.toFixed(digits);

const maps = [...document.querySelectorAll(".map")].map((svg) => {
  const data = JSON.parse(svg.parentElement.querySelector("script").textContent);
  const [side, height, width] = [svg.dataset.block, svg.dataset.height, svg.dataset.width].map(Number);
  const [readout, table] = [".readout", ".strongest table"].map((part) => svg.parentElement.querySelector(part));
  return { svg, data, side, height, width, card: svg.closest(".card"), readout, table };
});

const boxOf = (map, row, column) => [
  column * map.side, row * map.side,
  Math.min(map.side, map.width - column * map.side), Math.min(map.side, map.height - row * map.side),
];

function add(group, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  group.append(element);
}

function forBlocks(map, work) {
  map.data.effects.forEach((effects, row) => effects.forEach((effect, column) => {
    if (effect !== 0 && map.data.codes[row][column] !== ROI) work(row, column, effect, map.data.codes[row][column]);
  }));
}

function drawBlocks(map) {
  const group = map.svg.querySelector(".blocks");
  const bound = Number(control("bound").value), certifiedOnly = control("classes").value === "certified";
  group.replaceChildren();
  forBlocks(map, (row, column, effect, code) => {
    if (certifiedOnly && Math.abs(code) !== 1) return;
    const [x, y, width, height] = boxOf(map, row, column);
    add(group, "rect", { x, y, width, height, fill: colourOf(effect, bound), "shape-rendering": "crispEdges" });
    if (code === UNDECIDED) add(group, "path", { class: "hatch", d: `M${x} ${y + height}L${x + width} ${y}` });
  });
}

// The blocks with effects of all models of an ROI, and one block around.
function windowOf(card) {
  const edges = [Infinity, Infinity, -Infinity, -Infinity];
  const grow = (left, top, right, bottom) => {
    edges[0] = Math.min(edges[0], left); edges[1] = Math.min(edges[1], top);
    edges[2] = Math.max(edges[2], right); edges[3] = Math.max(edges[3], bottom);
  };
  const own = maps.filter((map) => map.card === card);
  for (const map of own) {
    const roi = map.svg.querySelector(".roi").getBBox();
    grow(roi.x, roi.y, roi.x + roi.width, roi.y + roi.height);
    forBlocks(map, (row, column) => {
      const [x, y, width, height] = boxOf(map, row, column);
      grow(x, y, x + width, y + height);
    });
  }
  const { side, width, height } = own[0];
  const [left, top] = [Math.max(edges[0] - side, 0), Math.max(edges[1] - side, 0)];
  return [left, top, Math.min(edges[2] + side, width) - left, Math.min(edges[3] + side, height) - top];
}

function draw() {
  const zoomed = control("window").value === "zoom", under = control("under").value;
  control("bound-value").textContent = `\u00b1${Number(control("bound").value)} dB`;
  for (const map of maps) {
    const photo = `${map.svg.dataset.photo}-${under}${under === "restored" ? `-${map.svg.dataset.model}` : ""}`;
    map.svg.querySelector(".under").setAttribute("href", `#${photo}`);
    map.svg.setAttribute("viewBox", (zoomed ? windowOf(map.card) : [0, 0, map.width, map.height]).join(" "));
    drawBlocks(map);
  }
  const paper = control("scale").getContext("2d"), width = control("scale").width;
  const bound = Number(control("bound").value);
  for (let x = 0; x < width; x += 1) {
    paper.fillStyle = colourOf((2 * x / (width - 1) - 1) * bound, bound);
    paper.fillRect(x, 0, 1, 10);
  }
}

function describe(map, row, column) {
  const { effects, interventions, codes } = map.data;
  const ends = intervalOf(map, row, column);
  const effect = `${signed(effects[row][column], 2)} dB${ends && " "}${ends}`;
  return `${effect}, ${interventions[row][column]} draws, ${CLASSES[codes[row][column]]}`;
}

function intervalOf(map, row, column) {
  const low = map.data.low[row][column], high = map.data.high[row][column];
  return low === null ? "" : `[${signed(low, 2)}, ${signed(high, 2)}]`;
}

// Shows one block in all models of its ROI.
function choose(card, row, column) {
  for (const map of maps.filter((one) => one.card === card)) {
    const cursor = map.svg.querySelector(".cursor");
    ["x", "y", "width", "height"].forEach((key, index) => cursor.setAttribute(key, boxOf(map, row, column)[index]));
    cursor.style.visibility = "visible";
    map.readout.textContent = `row ${row}, column ${column}: ${describe(map, row, column)}`;
  }
  card.dataset.row = row;
  card.dataset.column = column;
}

function forget(card) {
  for (const map of maps.filter((one) => one.card === card)) {
    map.svg.querySelector(".cursor").style.visibility = "hidden";
    map.readout.textContent = "no block chosen";
  }
}

function blockAt(map, event) {
  const box = map.svg.getBoundingClientRect(), view = map.svg.viewBox.baseVal;
  const x = view.x + (event.clientX - box.left) / box.width * view.width;
  const y = view.y + (event.clientY - box.top) / box.height * view.height;
  return [Math.floor(y / map.side), Math.floor(x / map.side)];
}

function showTip(map, row, column, event) {
  const { effects, interventions, codes } = map.data;
  const place = `row ${row}, column ${column}${codes[row][column] === ROI ? " (ROI)" : ""}`;
  tip.textContent = `${place}: ${signed(effects[row][column], 3)} dB, ${interventions[row][column]} interventions`;
  tip.style.display = "block";
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4)}px`;
  tip.style.top = `${event.clientY + 18}px`;
}

const BLOCKS_IN_TABLE = 10;

// The strongest blocks of a map as rows to sort; a row's button chooses its block.
function fillTable(map, key, ascending) {
  const rows = [];
  forBlocks(map, (row, column, effect) => rows.push({ row, column, effect, draws: map.data.interventions[row][column] }));
  rows.sort((one, other) => Math.abs(other.effect) - Math.abs(one.effect));
  const shown = rows.slice(0, BLOCKS_IN_TABLE);
  if (key) shown.sort((one, other) => (ascending ? 1 : -1) * (one[key] - other[key]));
  map.table.querySelector("tbody").replaceChildren(...shown.map(({ row, column, effect, draws }) => {
    const line = document.createElement("tr"), choice = document.createElement("button");
    choice.type = "button";
    choice.textContent = row;
    choice.setAttribute("aria-label", `choose row ${row}, column ${column}`);
    choice.addEventListener("click", () => {
      map.card.dataset.pinned = "yes";
      choose(map.card, row, column);
    });
    line.insertCell().append(choice);
    for (const text of [column, signed(effect, 2), intervalOf(map, row, column), draws, CLASSES[map.data.codes[row][column]]]) {
      line.insertCell().textContent = text;
    }
    return line;
  }));
}

function download(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// A map as a file of its own: photographs in place of the references to them, and the rules that it needs.
function svgText(map) {
  const copy = map.svg.cloneNode(true);
  for (const use of copy.querySelectorAll("use")) {
    const image = document.querySelector(use.getAttribute("href")).cloneNode();
    image.removeAttribute("id");
    image.setAttribute("class", use.getAttribute("class") ?? "");
    use.replaceWith(image);
  }
  copy.querySelector(".cursor").remove();
  const rules = ".roi{fill:none;stroke:#00b140;stroke-width:1}.under{opacity:.12}image{image-rendering:pixelated}"
    + ".hatch{stroke:#404040;stroke-width:.4;fill:none}";
  const style = document.createElementNS(SVG, "style");
  style.textContent = rules;
  copy.prepend(style);
  return new XMLSerializer().serializeToString(copy);
}

function csvText(map) {
  const { effects, interventions, low, high, codes } = map.data;
  const lines = ["row,column,effect,interventions,low,high,class"];
  effects.forEach((values, row) => values.forEach((effect, column) => lines.push([
    row, column, effect, interventions[row][column], low[row][column] ?? "", high[row][column] ?? "",
    CLASSES[codes[row][column]],
  ].join(","))));
  return lines.join("\n") + "\n";
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

for (const map of maps) {
  const pinned = () => map.card.dataset.pinned === "yes";
  map.svg.addEventListener("pointermove", (event) => {
    const [row, column] = blockAt(map, event);
    if (map.data.effects[row]?.[column] === undefined) return;
    showTip(map, row, column, event);
    if (!pinned()) choose(map.card, row, column);
  });
  map.svg.addEventListener("pointerleave", () => {
    tip.style.display = "none";
    if (!pinned()) forget(map.card);
  });
  map.svg.addEventListener("click", (event) => {
    const [row, column] = blockAt(map, event);
    map.card.dataset.pinned = pinned() && map.card.dataset.row == row && map.card.dataset.column == column ? "" : "yes";
    choose(map.card, row, column);
  });
  map.svg.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (event.key === "Escape") { map.card.dataset.pinned = ""; forget(map.card); }
    if (!step) return;
    event.preventDefault();
    const rows = map.data.effects.length, columns = map.data.effects[0].length;
    const row = Math.min(Math.max(Number(map.card.dataset.row ?? 0) + step[0], 0), rows - 1);
    const column = Math.min(Math.max(Number(map.card.dataset.column ?? 0) + step[1], 0), columns - 1);
    map.card.dataset.pinned = "yes";
    choose(map.card, row, column);
    tip.textContent = map.readout.textContent;
  });
}
for (const map of maps) {
  fillTable(map);
  for (const button of map.table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      button.dataset.ascending = button.dataset.ascending === "yes" ? "" : "yes";
      fillTable(map, button.dataset.key, button.dataset.ascending === "yes");
    });
  }
  const name = map.svg.getAttribute("aria-label").split(";")[0];
  const [svg, csv] = map.svg.parentElement.querySelectorAll(".downloads button");
  svg.addEventListener("click", () => download(`${name}.svg`, "image/svg+xml", svgText(map)));
  csv.addEventListener("click", () => download(`${name}.csv`, "text/csv", csvText(map)));
}
for (const name of ["window", "under", "classes", "bound"]) control(name).addEventListener("input", draw);
for (const button of document.querySelectorAll("button.bound")) {
  button.addEventListener("click", () => {
    control("bound").value = button.dataset.bound;
    draw();
  });
}
draw();
