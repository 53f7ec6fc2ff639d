// The maps of the page, and what each of them shows of a block. A layer is the same for effects, attributions and
// differences: value, color, class in words, interval and draws of a block, which is given by its number.
const CLASSES = ["hurts", "negligible", "helps", "undecided", "not tested", "out of reach", "ROI"];
const [HURTS, NEGLIGIBLE, HELPS, UNDECIDED, , OUT_OF_REACH, ROI] = CLASSES.keys();

function once(make) {
  let made;
  return () => (made ??= make());
}

const grids = [...document.querySelectorAll(".grid")].map((svg) => {
  const article = svg.parentElement;
  const [side, height, width] = [svg.dataset.block, svg.dataset.height, svg.dataset.width].map(Number);
  return {
    svg, article, side, height, width,
    rows: Math.ceil(height / side), columns: Math.ceil(width / side),
    card: svg.closest(".card"),
    name: svg.getAttribute("aria-label").split(";")[0],
    readout: article.querySelector(".readout"),
    table: article.querySelector(".strongest table"),
    data: once(() => JSON.parse(article.querySelector("script").textContent)),
  };
});
const cards = [...document.querySelectorAll(".card")];
const isMap = (grid) => grid.svg.classList.contains("map");
const maps = grids.filter(isMap);
const differences = grids.filter((grid) => !isMap(grid));
const gridsOf = (card) => grids.filter((grid) => grid.card === card);
const mapsOf = (card) => maps.filter((grid) => grid.card === card);

const codesOf = (map) => map.data()[KINDS[0].name].codes;

function effectLayer(map, kind) {
  const data = map.data()[kind.name];
  if (!data) return null;
  const codes = codesOf(map);
  const code = (index) => Number(codes[index]);
  const record = (index) => data.blocks?.[index] ?? [null, null];
  return {
    kind,
    count: data.effects.length,
    value: (index) => data.effects[index],
    coloured: (index) => kind.signed && data.effects[index] !== 0 && (data.codes ?? codes)[index] != ROI,
    code: (index) => Number((data.codes ?? codes)[index]),
    hatched: (index) => data.codes?.[index] == UNDECIDED,
    word: (index) => CLASSES[kind.signed ? data.codes[index] : code(index)],
    interval: (index) => record(index).slice(0, 2),
    draws: (index) => data.draws?.[index],
    strip: (index) => (data.blocks?.[index] ? stripOf(data.blocks[index]) : null),
  };
}

// All draws of a block: their bytes are places between the lowest and the highest.
function stripOf([low, high, share, least, most, best, worst, code]) {
  const draws = Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0));
  const values = [...draws].map((level) => least + level / 255 * (most - least));
  return { low, high, share, least, most, best, worst, values };
}

// The first model minus the second; a pair that is there the other way round is turned.
function differenceLayer(grid, first, second) {
  const found = grid.data().find((pair) => pair.first === first && pair.second === second);
  const turned = grid.data().find((pair) => pair.first === second && pair.second === first);
  const pair = found ?? turned;
  if (!pair) return null;
  const sign = found ? 1 : -1, kind = KINDS[0];
  const codes = codesOf(mapsOf(grid.card)[0]);
  const blank = [0, null, null, 0, 0];
  const record = (index) => pair.blocks[index] ?? blank;
  const times = (end) => (end === null ? null : sign * end);
  return {
    kind,
    count: codes.length,
    value: (index) => sign * record(index)[0],
    coloured: (index) => record(index)[0] !== 0,
    code: (index) => (record(index)[4] ? HELPS : UNDECIDED),
    hatched: (index) => index in pair.blocks && !record(index)[4],
    word: (index) => (codes[index] == ROI ? "ROI" : index in pair.blocks ? (record(index)[4] ? "differs" : "undecided") : "no effect"),
    interval: (index) => { const ends = record(index).slice(1, 3).map(times); return found ? ends : ends.reverse(); },
    draws: (index) => record(index)[3],
    strip: () => null,
  };
}

const chosenPair = () => ["first", "second"].map((name) => control(name).value);

function layerOf(grid) {
  if (isMap(grid)) return effectLayer(grid, view.kind);
  const [first, second] = chosenPair();
  return first === "" || first === second ? null : differenceLayer(grid, Number(first), Number(second));
}

function pairText() {
  const [first, second] = ["first", "second"].map((name) => control(name).selectedOptions[0].textContent);
  return `${first} minus ${second}`;
}
