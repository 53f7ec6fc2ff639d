"use strict";
// A heading sorts its table by its column: numbers first, the largest on top; again, the other way round.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
};

function compare(first, second) {
  if (typeof first === "string") return second.localeCompare(first);
  return (Number.isNaN(first) ? -Infinity : first) - (Number.isNaN(second) ? -Infinity : second);
}

for (const table of document.querySelectorAll(".sortable")) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const upwards = heading.getAttribute("aria-sort") === "descending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => compare(valueOf(other, column), valueOf(one, column)) * (upwards ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
}
