// The strongest blocks of a map as rows to sort; a row's button chooses its block.
const BLOCKS_IN_TABLE = 10;

function strongestOf(grid, layer) {
  const rows = [];
  forBlocks(layer, (index) => rows.push({
    index, row: Math.floor(index / grid.columns), column: index % grid.columns,
    value: layer.value(index), draws: layer.draws(index),
  }));
  rows.sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  return rows.slice(0, BLOCKS_IN_TABLE);
}

function lineOf(grid, layer, { index, row, column, value, draws }) {
  const line = document.createElement("tr"), choice = element("button", "", [String(row)]);
  choice.type = "button";
  choice.setAttribute("aria-label", `choose row ${row}, column ${column}`);
  choice.addEventListener("click", () => {
    grid.card.dataset.pinned = "yes";
    choose(grid.card, index);
  });
  line.insertCell().append(choice);
  const texts = [column, signed(value, layer.kind.digits), intervalText(layer, index), draws, layer.word(index)];
  for (const text of texts) line.insertCell().textContent = text;
  return line;
}

function fillTable(grid, layer, key, ascending) {
  const rows = layer ? strongestOf(grid, layer) : [];
  if (key) rows.sort((one, other) => (ascending ? 1 : -1) * (one[key] - other[key]));
  grid.table.querySelector("tbody").replaceChildren(...rows.map((row) => lineOf(grid, layer, row)));
}

for (const grid of grids) {
  for (const button of grid.table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      button.dataset.ascending = button.dataset.ascending === "yes" ? "" : "yes";
      fillTable(grid, layerOf(grid), button.dataset.key, button.dataset.ascending === "yes");
    });
  }
}
