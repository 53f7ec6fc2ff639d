// A map, its numbers or the config as a file of its own.
function download(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Photographs in place of the references to them, and the rules that a file needs.
function svgText(grid) {
  const copy = grid.svg.cloneNode(true);
  for (const use of copy.querySelectorAll("use")) {
    if (use.classList.contains("attribution") && !copy.classList.contains("unsigned")) {
      use.remove();
      continue;
    }
    const image = document.querySelector(use.getAttribute("href")).cloneNode();
    image.removeAttribute("id");
    image.setAttribute("class", use.getAttribute("class") ?? "");
    use.replaceWith(image);
  }
  copy.querySelector(".cursor").remove();
  const style = document.createElementNS(SVG, "style");
  style.textContent = ".roi,.reach{fill:none;stroke:#00b140;stroke-width:1}.reach{stroke:#111;stroke-dasharray:3 2}"
    + ".under{opacity:.12}image{image-rendering:pixelated}.hatch{stroke:#404040;stroke-width:.4;fill:none}";
  copy.prepend(style);
  return new XMLSerializer().serializeToString(copy);
}

function csvText(grid, layer) {
  const lines = ["row,column,effect,interventions,low,high,class"];
  for (let index = 0; index < layer.count; index += 1) {
    const [low, high] = layer.interval(index);
    lines.push([
      Math.floor(index / grid.columns), index % grid.columns, layer.value(index), layer.draws(index) ?? "", low ?? "", high ?? "",
      layer.word(index),
    ].join(","));
  }
  return lines.join("\n") + "\n";
}

// Maps of PSNR are called as on the page; of others, the kind is added.
function fileName(grid) {
  if (!isMap(grid)) return `${grid.name}, ${pairText()}`;
  return view.kind === KINDS[0] ? grid.name : `${grid.name}, ${view.kind.name}`;
}

for (const grid of grids) {
  const [svg, csv] = grid.article.querySelectorAll(".downloads button");
  svg.addEventListener("click", () => download(`${fileName(grid)}.svg`, "image/svg+xml", svgText(grid)));
  csv.addEventListener("click", () => {
    const layer = layerOf(grid);
    if (layer) download(`${fileName(grid)}.csv`, "text/csv", csvText(grid, layer));
  });
}
const configFile = control("config-file");
configFile.addEventListener("click", () => download(configFile.dataset.name, "text/yaml", control("config").textContent));
