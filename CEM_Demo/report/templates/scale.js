// Kinds of maps, and the color of a number.
const SVG = "http://www.w3.org/2000/svg";
const KINDS = JSON.parse(document.body.dataset.kinds);
const { table: COLOURS, gamma: GAMMA } = JSON.parse(document.body.dataset.colours);
const control = (name) => document.getElementById(name);

const view = { kind: KINDS[0], bounds: Object.fromEntries(KINDS.map((kind) => [kind.name, kind.bound])) };
const boundOf = (kind) => view.bounds[kind.name];

// The published scale: effects, saturated at the bound, to one of the colors of the table.
function colourOf(effect, bound) {
  const share = Math.min(Math.abs(effect) / bound, 1) ** GAMMA;
  const place = Math.floor((Math.sign(effect) * share + 1) / 2 * COLOURS.length);
  return COLOURS[Math.min(place, COLOURS.length - 1)];
}

const signed = (number, digits) => (number > 0 ? "+" : "") + number.toFixed(digits);
const withUnit = (text, kind) => (kind.unit ? `${text} ${kind.unit}` : text);
const effectText = (number, kind, more = 0) => withUnit(
  (kind.signed ? signed : (value, digits) => value.toFixed(digits))(number, kind.digits + more), kind,
);

function paintScale() {
  const canvas = control("scale"), paper = canvas.getContext("2d"), { signed: both } = view.kind;
  for (let x = 0; x < canvas.width; x += 1) {
    const share = x / (canvas.width - 1);
    paper.fillStyle = both ? colourOf(2 * share - 1, 1) : COLOURS[Math.floor((share + 1) / 2 * (COLOURS.length - 1))];
    paper.fillRect(x, 0, 1, canvas.height);
  }
  control("lowest").textContent = both ? "hurts" : "nothing";
  control("highest").textContent = both ? "helps" : "most";
  canvas.setAttribute("aria-label", both ? "blue hurts, white does neither, red helps" : "white is nothing, dark red the most");
}
